// The nearest occurrences of the chosen word, as lines with a bar for the cosine.

import { el, glide, inContext, message } from "./dom.js";

function line(found, choose) {
  const { before, word, after, score, sense, place } = found;
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("i"));
  bar.firstChild.style.setProperty("--score", Math.max(0, score));
  const content = [
    el("span", { class: "score" }, score.toFixed(2)),
    bar,
    el("span", { class: "context", "data-sense": sense }, inContext({ before, word, after })),
  ];
  const key = `${place ? `${place.sentence}.${place.word}` : found.key}`;
  if (!place) return el("li", { "data-key": key }, el("div", { class: "near" }, content));
  const chosen = (event) => choose(place, { byKey: event.detail === 0 });
  return el("li", { "data-key": key }, el("button", { type: "button", class: "near", onclick: chosen }, content));
}

/** Draw a list of neighbours into `node`; lines that stay glide to their new place. */
export function drawNeighbours(node, found, { choose, empty }) {
  if (!found.length) {
    node.replaceChildren(message(empty));
    return;
  }
  let list = node.querySelector("ol");
  if (!list) {
    list = el("ol", { class: "neighbours" });
    node.replaceChildren(list);
  }
  glide(list, () => list.replaceChildren(...found.map((one) => line(one, choose))));
}
