// A document opens at its marked passage.
document.getElementById("passage")?.scrollIntoView({ block: "center" });
