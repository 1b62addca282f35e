// What an address holds behind its "#" is for the page that is signed in for: browsers keep it on the way there.
for (const form of document.forms) form.action += location.hash;

// A session may end while somebody writes.
try {
  document.getElementById("kept").hidden = !sessionStorage.getItem("kb.question");
} catch { /* storage is switched off: nothing was kept */ }
