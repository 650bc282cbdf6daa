"""What a page owes to everybody who uses it, checked in the browser: contrast, names, headings, sizes (WCAG 2.2 AA)."""

FAULTS = """
const faults = [];
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const colour = (text) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const over = (top, below) => [0, 1, 2].map((at) => (top[at] * top[3] + below[at] * (255 - top[3])) / 255).concat(255);
const behind = (element) => {
  if (!element) return [255, 255, 255, 255];
  const own = colour(getComputedStyle(element).backgroundColor);
  return own[3] === 255 ? own : over(own, behind(element.parentElement));
};
const light = (rgb) => {
  const part = rgb.slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
};
const ratio = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const isShown = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest(".unseen, .skip");
const named = (element) => element.getAttribute("aria-label") || element.textContent.trim();

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.textContent.trim() || !isShown(element) || element.closest("button:disabled")) continue;
  const style = getComputedStyle(element);
  const ground = behind(element);
  const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  const found = ratio(over(colour(style.color), ground), ground);
  if (found < (isLarge ? 3 : 4.5)) faults.push(`contrast ${found.toFixed(2)}: ${texts.currentNode.textContent}`);
}
for (const one of document.querySelectorAll("button, [role=switch], input")) {
  const { width, height } = one.getBoundingClientRect();
  if (isShown(one) && Math.min(width, height) < 24) faults.push(`small: ${named(one)}`);
  if (isShown(one) && !named(one) && !one.labels?.length) faults.push(`no name: ${one.outerHTML}`);
}
for (const one of document.querySelectorAll("[aria-label]:not([role])"))
  if (["SPAN", "DIV", "P", "I"].includes(one.tagName)) faults.push(`a label without a role: ${one.outerHTML}`);
for (const one of document.querySelectorAll("[aria-controls], [aria-labelledby]"))
  if (!document.getElementById(one.getAttribute("aria-controls") ?? one.getAttribute("aria-labelledby")))
    faults.push(`points nowhere: ${one.outerHTML}`);
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
if (new Set(ids).size < ids.length) faults.push("an id is used twice");
const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => one.checkVisibility());
const levels = headings.map((one) => +one.tagName[1]);
levels.forEach((level, at) => level > (levels[at - 1] ?? 0) + 1 && faults.push(`heading ${at + 1} jumps to ${level}`));
if (levels.filter((level) => level === 1).length !== 1) faults.push("not one heading of level 1");
return faults;
"""


def faults(driver, *, dark: bool = False) -> list[str]:
    """What is wrong with the page as it is shown now, in light or dark colours."""
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    try:
        return driver.execute_script(FAULTS)
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
