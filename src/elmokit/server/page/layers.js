// The layer slider: from a word's letters, over its part in the sentence, to what it means there; and the layer mix.

import { byId, el } from "./dom.js";

/** Show the model's views and call `changed(view)` when another is chosen. The last view is the layer mix. */
export function layerSlider(views, start, changed) {
  const slider = byId("layer");
  const mix = byId("mix");
  const mixed = views.length - 1;
  slider.max = String(mixed - 1);
  slider.value = String(Math.min(start, mixed - 1));

  const stops = views.slice(0, mixed).map((view, i) => el("span", { onclick: () => choose(i) }, view.name));
  byId("stops").replaceChildren(...stops);

  function show(view) {
    const isMix = view === mixed;
    mix.setAttribute("aria-pressed", String(isMix));
    slider.closest(".slide").classList.toggle("resting", isMix);
    slider.setAttribute("aria-valuetext", views[Number(slider.value)].name);
    slider.style.setProperty("--share", mixed > 1 ? slider.value / (mixed - 1) : 1);
    stops.forEach((stop, i) => stop.classList.toggle("here", i === view));
    byId("layer-about").textContent = views[view].about;
  }

  function choose(view) {
    if (view < mixed) slider.value = String(view);
    show(view);
    changed(view);
  }

  slider.addEventListener("input", () => choose(Number(slider.value)));
  mix.addEventListener("click", () => choose(mix.getAttribute("aria-pressed") === "true" ? Number(slider.value) : mixed));
  show(start);
}
