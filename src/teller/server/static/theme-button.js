// The button that switches between light and dark colours; `theme.js` puts the choice back before the first paint.

import { byId } from "./elements.js";

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

function show() {
  byId("theme").firstElementChild.className = `icon icon-${isDark() ? "sun" : "moon"}`;
  byId("theme").setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
}

/** Switch to the other colours, and remember it. */
function switchTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("teller-theme", root.dataset.theme);
  } catch {
    // Storage may be switched off; the choice lasts until the page is left.
  }
  show();
}

/** Make the page's theme button work. */
export function themeButton() {
  byId("theme").addEventListener("click", switchTheme);
  system.addEventListener("change", show);
  show();
}
