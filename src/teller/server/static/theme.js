// Before the first paint: the colours that were chosen, if any; otherwise the system's.
(() => {
  try {
    const chosen = localStorage.getItem("teller-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be switched off; the system's colours will do.
  }
})();
