// The map of a word's occurrences: an SVG of our own. A point is an occurrence; shape and colour tell its sense.

import { calm, el, inContext, message, rove, short, svg } from "./dom.js";

const MARGIN = 34;
const APART = 15;
const SHAPES = [
  "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z", // circle
  "M-5.5 -5.5h11v11h-11Z", // square
  "M0 -7L6.5 5H-6.500Z", // triangle
  "M0 -7.500L7.5 0L0 7.500L-7.5 0Z", // diamond
  "M0 7L6.5 -5H-6.500Z", // triangle, turned
  "M-2.2 -6.500h4.400v4.300h4.300v4.400h-4.300v4.300h-4.400v-4.300h-4.300v-4.400h4.300Z", // cross
];
export const N_SHAPES = SHAPES.length;

/** A sense's mark, for legends. */
export function mark(sense) {
  const shape = svg("path", { d: SHAPES[sense % N_SHAPES], class: `mark sense-${sense % N_SHAPES}` });
  return svg("svg", { viewBox: "-8 -8 16 16", width: 14, height: 14, "aria-hidden": "true" }, shape);
}

/** Points of one view, scaled alike in both directions, pushed apart where they would cover each other. */
function placed(points, width, height) {
  const reach = Math.max(1e-9, ...points.map(([x]) => Math.abs(x) / (width / 2 - MARGIN)),
    ...points.map(([, y]) => Math.abs(y) / (height / 2 - MARGIN)));
  const at = points.map(([x, y], i) => {
    const turn = i * 2.399963; // a sunflower's angle: equal points open up into a disc
    const off = 0.01 * Math.sqrt(i);
    return [width / 2 + x / reach + off * Math.cos(turn), height / 2 - y / reach + off * Math.sin(turn)];
  });
  for (let round = 0; round < 60; round++) {
    let moved = false;
    for (let i = 0; i < at.length; i++) {
      for (let j = i + 1; j < at.length; j++) {
        const dx = at[j][0] - at[i][0];
        const dy = at[j][1] - at[i][1];
        const far = Math.hypot(dx, dy) || 1e-6;
        if (far >= APART) continue;
        const push = (APART - far) / 2 / far;
        at[i][0] -= dx * push; at[i][1] -= dy * push;
        at[j][0] += dx * push; at[j][1] += dy * push;
        moved = true;
      }
    }
    if (!moved) break;
  }
  return at.map(([x, y]) => [Math.min(width - 10, Math.max(10, x)), Math.min(height - 10, Math.max(10, y))]);
}

function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const turns = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (list) => {
    const kept = [];
    for (const point of list) {
      while (kept.length > 1 && turns(kept.at(-2), kept.at(-1), point) <= 0) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  const ring = [...half(sorted), ...half(sorted.reverse())];
  return `M${(ring.length ? ring : points).map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}Z`;
}

/** The words around an occurrence that fit on a label. */
function labelOf({ before, word, after }) {
  const left = before.trim().split(/\s+/).slice(-2).join(" ");
  const right = after.trim().split(/\s+/).slice(0, 2).join(" ");
  return short(`${left} ${word} ${right}`.trim(), 26);
}

/** Put labels beside points where there is room: right, left, above, below; else none. */
function placeLabels(labels, at, width, height) {
  const taken = at.map(([x, y]) => [x - 9, y - 9, x + 9, y + 9]);
  const free = (box) =>
    box[0] > 2 && box[2] < width - 2 && box[1] > 2 && box[3] < height - 2 &&
    taken.every((o) => box[2] < o[0] || box[0] > o[2] || box[3] < o[1] || box[1] > o[3]);
  labels.forEach((label, i) => {
    const [x, y] = at[i];
    const long = label.dataset.width * 1;
    const spots = [
      ["start", x + 12, y + 4, [x + 10, y - 8, x + 14 + long, y + 8]],
      ["end", x - 12, y + 4, [x - 14 - long, y - 8, x - 10, y + 8]],
      ["middle", x, y - 13, [x - long / 2, y - 25, x + long / 2, y - 10]],
      ["middle", x, y + 22, [x - long / 2, y + 10, x + long / 2, y + 26]],
    ];
    const spot = spots.find(([, , , box]) => free(box));
    label.classList.toggle("out", !spot);
    if (!spot) return;
    taken.push(spot[3]);
    label.setAttribute("text-anchor", spot[0]);
    label.style.transform = `translate(${spot[1]}px, ${spot[2]}px)`;
  });
}

/** A map inside `node`. `choose(place)` is called for an occurrence in the sentences. */
export function occurrenceMap(node, { choose, add }) {
  let drawn = null; // { key, data, width, height, dots, labels, hulls, view }

  function caption(i) {
    const one = drawn.data.occurrences[i];
    const source = one.place ? `sentence ${one.place.sentence + 1}` : "from the index";
    const more = one.place ? null : el("button", { type: "button", class: "link", onclick: () => add(one) }, "Add it to yours");
    drawn.caption.replaceChildren(mark(one.sense), el("span", {}, inContext(one, 90)), el("span", { class: "quiet" }, ` ${source} `), more ?? "");
  }

  function build(data, key, view) {
    const width = Math.max(240, Math.round(node.clientWidth));
    const height = Math.round(Math.min(420, Math.max(250, width * 0.62)));
    const picture = svg("svg", { class: "plane", viewBox: `0 0 ${width} ${height}`, width, height, role: "group",
      "aria-label": `Map of ${data.occurrences.length} occurrences of ${data.word}` });
    const hulls = data.senses.map((_, s) => svg("path", { class: `hull sense-${s % N_SHAPES}` }));
    const labels = data.occurrences.map((one) => svg("text", { class: "label", "aria-hidden": "true" }, labelOf(one)));
    const dots = data.occurrences.map((one, i) => {
      const name = `Sense ${one.sense + 1}: ${one.before}${one.word}${one.after}`;
      const go = (event) => { caption(i); rove(dots, dots[i]); if (one.place) choose(one.place, { byKey: false }); event.preventDefault(); };
      const dot = svg("g", { class: `dot sense-${one.sense % N_SHAPES}${one.place ? "" : " far"}`, role: "button", "aria-label": name,
        onclick: go, onfocus: () => caption(i),
        onkeydown: (event) => (event.key === "Enter" || event.key === " ") && go(event) },
      svg("title", {}, name), svg("circle", { class: "hit", r: 13 }), svg("circle", { class: "ring", r: 11 }),
      svg("path", { d: SHAPES[one.sense % N_SHAPES], class: "mark" }));
      return dot;
    });
    picture.append(...hulls, ...labels, ...dots);
    picture.addEventListener("keydown", (event) => step(event));
    const shares = el("p", { class: "quiet shares" });
    const captionLine = el("p", { class: "caption", "aria-live": "polite" }, "Choose a point to read its sentence.");
    node.replaceChildren(legend(data), picture, captionLine, shares);
    for (const label of labels) label.dataset.width = label.getComputedTextLength();
    drawn = { key, data, width, height, dots, labels, hulls, shares, caption: captionLine, at: [] };
    rove(dots, dots[0]);
    picture.classList.add("still");
    move(view);
    picture.getBoundingClientRect(); // settle before transitions are allowed
    picture.classList.remove("still");
  }

  function legend(data) {
    if (data.senses.length < 2) {
      return el("p", { class: "quiet legend" }, `${data.occurrences.length} occurrences of “${data.word}”, one sense found.`);
    }
    return el("ul", { class: "legend" }, data.senses.map((sense, s) =>
      el("li", {}, mark(s), el("span", {}, el("b", {}, `Sense ${s + 1}`), ` (${sense.size}) `,
        el("span", { class: "quiet" }, short(sense.example, 48))))));
  }

  function move(view) {
    const { data, width, height, dots, labels, hulls, shares } = drawn;
    const points = data.views[view].points;
    const at = placed(points, width, height);
    drawn.at = at;
    dots.forEach((dot, i) => { dot.style.transform = `translate(${at[i][0]}px, ${at[i][1]}px)`; });
    placeLabels(labels, at, width, height);
    hulls.forEach((path, s) => {
      const inside = at.filter((_, i) => data.occurrences[i].sense === s);
      path.setAttribute("d", hull(inside));
    });
    shares.textContent = points.some(([x, y]) => x || y)
      ? `The first two principal components explain ${Math.round(data.views[view].explained * 100)} % of the variance. Senses are clusters of similar vectors. Overlapping points are moved apart.`
      : "All occurrences have the same vector in this layer, as with static word vectors. They are drawn side by side.";
  }

  function step(event) {
    const i = drawn.dots.indexOf(event.target);
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (i < 0 || !way) return;
    event.preventDefault();
    const [x, y] = drawn.at[i];
    const costs = drawn.at.map(([ox, oy]) => {
      const along = (ox - x) * way[0] + (oy - y) * way[1];
      const across = Math.abs((ox - x) * way[1]) + Math.abs((oy - y) * way[0]);
      return along > 0.5 ? along + 2 * across : Infinity;
    });
    const best = costs.indexOf(Math.min(...costs));
    if (costs[best] === Infinity) return;
    rove(drawn.dots, drawn.dots[best]);
    drawn.dots[best].focus();
  }

  function clear(text, options) {
    drawn = null;
    node.replaceChildren(message(text, options));
  }

  /** Show data (from "word") in a view, the chosen place ringed. The same data under the same key only moves. */
  function show(data, key, view, chosen) {
    if (data.occurrences.length < 2) {
      clear(`“${data.word}” occurs once here. Add sentences with it, and they are drawn by their senses.`);
      return;
    }
    if (drawn?.key === key) move(view);
    else build(data, key, view);
    const at = data.occurrences.findIndex((o) => o.place && o.place.sentence === chosen.sentence && o.place.word === chosen.word);
    drawn.dots.forEach((dot, i) => dot.classList.toggle("chosen", i === at));
    if (at >= 0) {
      caption(at);
      if (!drawn.dots.includes(document.activeElement)) rove(drawn.dots, drawn.dots[at]);
    }
  }

  let last = node.clientWidth;
  let again = () => {}; // draws what is shown once more
  new ResizeObserver(() => {
    if (!drawn || Math.abs(node.clientWidth - last) < 2) return;
    last = node.clientWidth;
    drawn = null;
    again();
  }).observe(node);

  return {
    clear,
    show(data, key, view, chosen) {
      show(data, key, view, chosen);
      again = () => show(data, key, view, chosen);
      last = node.clientWidth;
    },
  };
}
