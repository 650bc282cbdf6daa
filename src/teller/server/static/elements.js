// Small things for building the page.

/** An element with attributes and children; strings become text, never markup. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export const icon = (name) => element("span", { class: `icon icon-${name}`, "aria-hidden": "true" });

export const byId = (id) => document.getElementById(id);

/** A stacked bar; parts are {name, value, label}, coloured by [data-part=name]. */
export function fillStack(bar, parts) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  bar.replaceChildren(
    ...parts.map((part) => {
      const piece = element("span", { "data-part": part.name, title: part.label });
      piece.style.flexGrow = total ? part.value / total : 0;
      return piece;
    }),
  );
  bar.setAttribute("aria-label", parts.map((part) => part.label).join(", "));
}
