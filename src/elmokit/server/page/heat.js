// Two sentences, word by word: a table whose cells are the darker the more alike two words are.

import { el, message, rove } from "./dom.js";

/** Draw a comparison (from "compare") in a view. */
export function drawHeat(node, data, view, { chosen }) {
  if (!data.first.length || !data.second.length) {
    node.replaceChildren(message("One of the two sentences has no words."));
    return;
  }
  const key = JSON.stringify([data.first, data.second]);
  if (node.dataset.key !== key || !node.querySelector("table")) build(node, data, key);
  paint(node, data, view);
  node.querySelectorAll("tbody th").forEach((head, i) => head.classList.toggle("chosen", i === chosen));
}

function build(node, data, key) {
  const readout = el("p", { class: "readout", "aria-live": "polite" });
  const cells = [];
  const read = (cell) => { readout.textContent = cell.getAttribute("aria-label"); };
  const rows = data.first.map((word) => {
    const row = data.second.map(() => el("td", { role: "gridcell", onfocus: (e) => read(e.target), onpointerenter: (e) => read(e.target),
      onclick: (e) => { rove(cells.flat(), e.currentTarget); e.currentTarget.focus(); } }));
    cells.push(row);
    return el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, word), row);
  });
  const heads = data.second.map((word) => el("th", { scope: "col", role: "columnheader" }, el("span", {}, word)));
  const table = el("table", { class: data.second.length > 14 ? "heat dense" : "heat", role: "grid", "aria-label": "Similarity of every word of the one sentence to every word of the other" },
    el("thead", {}, el("tr", { role: "row" }, el("td", { class: "corner", role: "gridcell" }), heads)), el("tbody", {}, rows));
  table.addEventListener("keydown", (event) => {
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const i = cells.findIndex((row) => row.includes(event.target));
    if (!way || i < 0) return;
    event.preventDefault();
    const next = cells[i + way[0]]?.[cells[i].indexOf(event.target) + way[1]];
    if (!next) return;
    rove(cells.flat(), next);
    next.focus();
  });
  const scale = el("p", { class: "scale quiet" }, el("span", { class: "low" }), el("i", { "aria-hidden": "true" }), el("span", { class: "high" }));
  node.replaceChildren(el("div", { class: "scroll" }, table), el("div", { class: "row spread" }, readout, scale));
  node.dataset.key = key;
  rove(cells.flat(), cells[0][0]);
}

function paint(node, data, view) {
  const values = data.views[view];
  const low = Math.min(...values.flat());
  const high = Math.max(...values.flat());
  const range = high - low || 1;
  const rows = [...node.querySelectorAll("tbody tr")];
  rows.forEach((row, i) => [...row.querySelectorAll("td")].forEach((cell, j) => {
    const value = values[i][j];
    cell.style.setProperty("--warmth", ((value - low) / range).toFixed(3));
    cell.textContent = value.toFixed(2).replace("0.", ".");
    cell.setAttribute("aria-label", `${data.first[i]} and ${data.second[j]}: ${value.toFixed(2)}`);
  }));
  node.querySelector(".low").textContent = low.toFixed(2);
  node.querySelector(".high").textContent = high.toFixed(2);
  const readout = node.querySelector(".readout");
  const here = node.querySelector("td:focus");
  readout.textContent = here ? here.getAttribute("aria-label") : "Point at a cell, or move with the arrow keys.";
}
