// The sentences, every word a button. One word is the tab stop; arrow keys move on from there.

import { byId, calm, el, message, rove } from "./dom.js";

const list = () => byId("lines");
const wordsOf = (line) => [...line.querySelectorAll(".word")];
const allWords = () => [...list().querySelectorAll(".word")];

/** The button of a word. */
export function buttonOf({ sentence, word }) {
  return list().children[sentence]?.querySelectorAll(".word")[word] ?? null;
}

/** Draw the sentences. `choose(place)` is called for a word, `remove(sentence)` for a sentence. */
export function drawSentences(sentences, { choose, remove }) {
  if (!sentences.length) {
    list().replaceChildren(el("li", {}, message("No sentences yet. Add one below, or take an example.")));
    return;
  }
  list().replaceChildren(
    ...sentences.map(({ pieces, tail }, i) => {
      const words = pieces.flatMap(([gap, word], j) => [
        gap,
        el("button", { type: "button", class: "word", onclick: () => choose({ sentence: i, word: j }) }, word),
      ]);
      const text = el("p", {}, words, tail);
      const label = `Remove sentence ${i + 1}`;
      const bin = el("button", { type: "button", class: "bin", "aria-label": label, onclick: () => remove(i) }, "×");
      return el("li", { class: "line" }, text, bin);
    }),
  );
  const words = allWords();
  rove(words, words[0]);
}

/** Mark the chosen word and its other occurrences, these with the colour of their sense. */
export function markWords(chosen, occurrences) {
  for (const button of allWords()) {
    button.removeAttribute("aria-pressed");
    delete button.dataset.sense;
  }
  for (const { sentence, word, sense } of occurrences) {
    const button = sentence === null ? null : buttonOf({ sentence, word });
    if (button) button.dataset.sense = sense;
  }
  const button = chosen && buttonOf(chosen);
  if (!button) return;
  button.setAttribute("aria-pressed", "true");
  rove(allWords(), button);
}

/** Bring a word into view, and the focus to it if it was chosen by key. */
export function showWord(place, { focus }) {
  const button = buttonOf(place);
  if (!button) return;
  if (focus) button.focus({ preventScroll: true });
  const panel = list();
  if (focus || panel.scrollHeight > panel.clientHeight) {
    button.scrollIntoView({ block: "nearest", behavior: calm() ? "auto" : "smooth" });
  }
}

function nextWord(key, button) {
  const words = allWords();
  const at = words.indexOf(button);
  const line = button.closest("li");
  const column = wordsOf(line).indexOf(button);
  const beside = (other) => other && wordsOf(other)[Math.min(column, wordsOf(other).length - 1)];
  const next = {
    ArrowRight: () => words[at + 1],
    ArrowLeft: () => words[at - 1],
    ArrowDown: () => beside(line.nextElementSibling),
    ArrowUp: () => beside(line.previousElementSibling),
    Home: () => wordsOf(line)[0],
    End: () => wordsOf(line).at(-1),
  }[key];
  return next?.();
}

byId("lines").addEventListener("keydown", (event) => {
  const button = event.target.closest(".word");
  if (!button || event.ctrlKey || event.metaKey || event.altKey) return;
  const next = nextWord(event.key, button);
  if (!next) return;
  event.preventDefault();
  rove(allWords(), next);
  next.focus();
});
