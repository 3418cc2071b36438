"""Texts on a plane → one HTML page to move about in: a canvas, a little JavaScript, and the texts themselves.

The page asks nobody for anything (its own policy forbids it): data, style and script are inside. Texts are data, never
markup: they stand in a JSON block in which "<" is written as an escape, and reach the page as plain text. The wheel
zooms, dragging moves, pointing at a dot shows its text, a click on a group hides it; the search box lights up texts
with a word in them. Some 100,000 texts are drawn smoothly.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path

from elmokit.errors import ConfigError
from elmokit.files import atomic_path
from elmokit.tasks.maps import Plane

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src \
'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ margin: 0; font: 14px system-ui, sans-serif; color: #222; overflow: hidden }}
header {{ position: fixed; top: 8px; left: 12px; right: 12px; display: flex; gap: 16px; align-items: baseline;
  pointer-events: none }}
header * {{ pointer-events: auto }}
h1 {{ font-size: 16px; margin: 0 }}
#groups {{ position: fixed; right: 12px; top: 40px; max-height: 85vh; overflow: auto; background: #fffc; padding: 4px }}
#groups button {{ display: block; border: 0; background: none; font: inherit; text-align: left; cursor: pointer;
  max-width: 22em }}
#groups button[aria-pressed=false] {{ opacity: .3 }}
#groups i {{ display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 6px }}
#text {{ position: fixed; max-width: 36em; background: #fff; border: 1px solid #888; border-radius: 4px;
  padding: 4px 8px; pointer-events: none; white-space: pre-wrap; overflow-wrap: anywhere }}
canvas {{ display: block; cursor: crosshair }}
</style></head>
<body><canvas></canvas>
<header><h1>{title}</h1><input type="search" placeholder="find a word" aria-label="find a word"></header>
<div id="groups"></div><div id="text" hidden></div>
<script type="application/json" id="data">{data}</script>
<script>
"use strict";
const {{texts, places, groups, names}} = JSON.parse(document.getElementById("data").textContent);
const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
const search = document.querySelector("input"), shown = document.getElementById("text");
const hidden = new Set(), colour = g => names.length < 2 ? "hsl(210 60% 45%)" : `hsl(${{g * 137.5 % 360}} 65% 45%)`;
let scale = 1, left = 0, top_ = 0, found = null, at = -1;
const x = i => places[2 * i] * scale + left, y = i => -places[2 * i + 1] * scale + top_;
function fit() {{
  canvas.width = innerWidth; canvas.height = innerHeight;
  let [a, b, c, d] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < texts.length; i++) {{
    a = Math.min(a, places[2 * i]); b = Math.max(b, places[2 * i]);
    c = Math.min(c, places[2 * i + 1]); d = Math.max(d, places[2 * i + 1]);
  }}
  scale = .88 * Math.min(innerWidth / (b - a || 1), innerHeight / (d - c || 1));
  left = innerWidth / 2 - scale * (a + b) / 2; top_ = innerHeight / 2 + scale * (c + d) / 2;
  draw();
}}
function draw() {{
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const size = texts.length > 5000 ? 2 : 4;
  for (let i = 0; i < texts.length; i++) {{
    if (hidden.has(groups[i])) continue;
    pen.globalAlpha = found && !found[i] ? .08 : .75;
    pen.fillStyle = colour(groups[i]);
    pen.beginPath(); pen.arc(x(i), y(i), i === at ? size + 3 : size, 0, 7); pen.fill();
  }}
}}
function nearest(px, py) {{
  let best = 144, which = -1;
  for (let i = 0; i < texts.length; i++) {{
    const far = (x(i) - px) ** 2 + (y(i) - py) ** 2;
    if (far < best && !hidden.has(groups[i])) {{ best = far; which = i; }}
  }}
  return which;
}}
canvas.onpointermove = event => {{
  if (event.buttons) {{ left += event.movementX; top_ += event.movementY; shown.hidden = true; return draw(); }}
  at = nearest(event.clientX, event.clientY); shown.hidden = at < 0;
  if (at >= 0) {{
    shown.textContent = (names[groups[at]] ? names[groups[at]] + "\\n" : "") + texts[at];
    shown.style.left = Math.max(0, Math.min(event.clientX + 12, innerWidth - shown.offsetWidth - 8)) + "px";
    shown.style.top = Math.max(0, Math.min(event.clientY + 12, innerHeight - shown.offsetHeight - 8)) + "px";
  }}
  draw();
}};
canvas.onwheel = event => {{
  event.preventDefault();
  const by = Math.exp(-event.deltaY / 400);
  scale *= by; left = event.clientX - (event.clientX - left) * by; top_ = event.clientY - (event.clientY - top_) * by;
  draw();
}};
search.oninput = () => {{
  const word = search.value.toLowerCase();
  found = word ? texts.map(text => text.toLowerCase().includes(word)) : null; draw();
}};
names.forEach((name, g) => {{
  if (!name) return;
  const button = document.createElement("button"), dot = document.createElement("i");
  dot.style.background = colour(g); button.append(dot, name); button.setAttribute("aria-pressed", "true");
  button.onclick = () => {{
    const off = hidden.delete(g) || !hidden.add(g); button.setAttribute("aria-pressed", String(off)); draw();
  }};
  document.getElementById("groups").append(button);
}});
onresize = fit; fit();
</script></body></html>
"""


def map_page(
    plane: Plane, texts: Sequence[str], groups: Sequence[str] | None = None, *, title: str = "Map of texts"
) -> str:
    """A map of texts as a page.

    Args:
        plane: where the texts are. Shape (N, 2).
        texts: what is shown at each place.
        groups: the name of each text's group, for its colour; None for one colour.
        title: of the page.

    Returns:
        the HTML.

    Raises:
        ConfigError: as many texts or groups as places are wanted.

    Example:
        >>> import numpy as np
        >>> page = map_page(Plane(np.zeros((1, 2))), ["</script><b>"])
        >>> "</script><b>" in page
        False
    """
    names = sorted(set(groups)) if groups is not None else [""]
    numbers = {name: number for number, name in enumerate(names)}
    of_texts = [0] * len(texts) if groups is None else [numbers[name] for name in groups]
    if not len(plane.places) == len(texts) == len(of_texts):
        raise ConfigError(f"{len(plane.places)} places, {len(texts)} texts, {len(of_texts)} groups: they must match.")
    data = {
        "texts": list(texts),
        "places": [float(f"{value:.5g}") for value in plane.places.ravel()],
        "groups": of_texts,
        "names": names,
    }
    escaped = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    return _PAGE.format(title=html.escape(title), data=escaped)


def write_map_page(
    path: str | Path,
    plane: Plane,
    texts: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    title: str = "Map of texts",
) -> None:
    """Write a map of texts as a page.

    Args:
        path: the HTML file.
        plane: see `map_page`.
        texts: see `map_page`.
        groups: see `map_page`.
        title: see `map_page`.

    Raises:
        ConfigError: see `map_page`.
        OutputError: the file can't be written.
    """
    page = map_page(plane, texts, groups, title=title)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
