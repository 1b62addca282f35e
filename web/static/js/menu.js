// The menu on phones: one button opens and closes the drawer; Escape and a choice close it. Tabs: the present one is in sight.
const button = document.getElementById("menu");
const drawer = document.getElementById("drawer");

function show(open) {
  button.setAttribute("aria-expanded", String(open));
  button.setAttribute("aria-label", open ? "Close menu" : "Open menu");
  if (drawer.classList.contains("side")) drawer.classList.toggle("open", open);
  else drawer.hidden = !open;
  if (open) drawer.querySelector("a")?.focus();
}

if (button && drawer) {
  const isOpen = () => button.getAttribute("aria-expanded") === "true";
  button.addEventListener("click", () => show(!isOpen()));
  drawer.addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isOpen()) { event.preventDefault(); show(false); button.focus(); }
  });
  for (const kind of ["click", "focusin"]) { // who goes on by keys must not be in what the drawer covers
    document.addEventListener(kind, (event) => {
      if (isOpen() && !drawer.contains(event.target) && !button.contains(event.target)) show(false);
    });
  }
}

// What was written and not sent is not for who signs in next.
document.querySelector("form[action='/logout']").addEventListener("submit", () => {
  try { sessionStorage.clear(); } catch { /* storage is switched off: nothing is kept */ }
});

// Where the tabs do not fit, the page's own is in sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
