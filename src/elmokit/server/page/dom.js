// Making and moving elements. Text goes in as text nodes only: nothing that a user types is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element: attributes (those called "onclick" … are listeners), then children: nodes or strings. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element, made as `el` makes one. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export const byId = (id) => document.getElementById(id);

/** A sentence of grey text for places where there is nothing to show, or not yet. */
export function message(text, { busy = false } = {}) {
  return el("p", { class: busy ? "empty busy" : "empty" }, text);
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Let children glide to their new places: call with a function that changes their order. Keyed by `data-key`. */
export function glide(list, change) {
  const before = new Map([...list.children].map((child) => [child.dataset.key, child.getBoundingClientRect().top]));
  change();
  if (calm()) return;
  for (const child of list.children) {
    const was = before.get(child.dataset.key);
    const way = was === undefined ? 0 : was - child.getBoundingClientRect().top;
    const from = was === undefined ? { opacity: 0 } : { transform: `translateY(${way}px)` };
    if (was === undefined || way) child.animate([from, {}], { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" });
  }
}

/** One tab stop for many elements (roving focus): the current one has tabindex 0, the others -1. */
export function rove(elements, current) {
  for (const element of elements) element.setAttribute("tabindex", element === current ? "0" : "-1");
}

/** A text's end, or its beginning, shortened at a space so that a line holds it. */
function clipped(text, room, { end }) {
  const characters = [...text];
  if (characters.length <= room) return text;
  const kept = (end ? characters.slice(-room) : characters.slice(0, room)).join("");
  const space = end ? kept.indexOf(" ") : kept.lastIndexOf(" ");
  if (end) return "… " + kept.slice(space + 1);
  return (space > 0 ? kept.slice(0, space) : kept) + " …";
}

/** A word between its neighbours, shortened on both sides. */
export function inContext({ before, word, after }, room = 52) {
  return [clipped(before, room, { end: true }), el("strong", {}, word), clipped(after, room, { end: false })];
}

/** A text that fits on a label. */
export const short = (text, room = 44) => clipped(text, room, { end: false });
