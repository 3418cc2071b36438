// The page: what is shown, what is chosen, and who asks the server when. Drawing is in the other files.

import { Failure, ask, useToken } from "./api.js";
import { byId, el, message, short } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { drawHeat } from "./heat.js";
import { layerSlider } from "./layers.js";
import { occurrenceMap } from "./map.js";
import { drawNeighbours } from "./nearest.js";
import { drawSentences, markWords, showWord } from "./sentences.js";

const STORE = "elmokit-sentences";
const state = {
  about: null, // what the server says of its model and index
  texts: [],
  sentences: [], // as the server cut them: { pieces: [[gap, word], …], tail }
  chosen: null, // { sentence, word }
  found: null, // answer to "word"
  comparison: null, // answer to "compare"
  fromIndex: null, // answer to "index"
  view: 0,
  which: "same",
  withIndex: false,
};

// ---------------------------------------------------------------- asking

const running = {};
let pending = 0;

/** Tell helpers that read the page aloud (and tests) whether answers are still to come. */
function waiting(change) {
  pending += change;
  if (pending) byId("results").setAttribute("aria-busy", "true");
  else byId("results").removeAttribute("aria-busy");
}

/** Ask, giving up the last question of the same kind; failures are told in the alarm, and null comes back. */
async function question(kind, body, again) {
  running[kind]?.abort();
  const controller = (running[kind] = new AbortController());
  waiting(1);
  try {
    const answer = await ask(kind, body, { signal: controller.signal });
    if (running[kind] !== controller) return null;
    if (byId("alarm").dataset.kind === kind) hush();
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return null;
    if (!(error instanceof Failure)) throw error;
    alarm(error, again);
    byId("alarm").dataset.kind = kind;
    return null;
  } finally {
    waiting(-1);
  }
}

function hush() {
  byId("alarm").hidden = true;
  byId("alarm").replaceChildren();
}

function alarm(failure, again) {
  const retry = el("button", { type: "button", onclick: () => { hush(); again(); } }, "Try again");
  const parts = failure.status === 401 ? [tokenForm(again)] : [el("span", {}, failure.message), retry];
  byId("alarm").replaceChildren(...parts);
  byId("alarm").hidden = false;
  for (const busy of document.querySelectorAll(".empty.busy")) busy.replaceWith(message("Nothing to show: see the note above."));
}

function tokenForm(again) {
  const input = el("input", { type: "password", id: "token", autocomplete: "off" });
  const submit = (event) => { event.preventDefault(); useToken(input.value.trim()); hush(); again(); };
  return el("form", { class: "row", onsubmit: submit },
    el("label", { for: "token" }, "This server asks for its token"), input, el("button", { type: "submit" }, "Go on"));
}

// ---------------------------------------------------------------- sentences

/** An occurrence's sentence in three parts. */
function parts({ sentence, word }) {
  const { pieces, tail } = state.sentences[sentence];
  const text = (some) => some.map(([gap, one]) => gap + one).join("");
  return { before: text(pieces.slice(0, word)) + pieces[word][0], word: pieces[word][1], after: text(pieces.slice(word + 1)) + tail };
}

async function readTexts(texts, { choose: wanted = null } = {}) {
  const kept = texts.map((text) => (text.toWellFormed?.() ?? text).trim()).filter(Boolean);
  byId("lines").setAttribute("aria-busy", "true");
  const answer = await question("read", { texts: kept }, () => readTexts(texts, { choose: wanted }));
  byId("lines").removeAttribute("aria-busy");
  if (!answer) return false;
  state.texts = kept;
  state.sentences = answer.sentences;
  drawSentences(state.sentences, { choose: (place) => choose(place, { byWord: true }), remove: removeSentence });
  markExample();
  fillPair();
  const place = typeof wanted === "function" ? wanted(state.sentences) : wanted;
  remember(kept, place);
  if (place) await choose(place);
  else nothingChosen();
  return true;
}

function remember(texts, chosen) {
  try {
    sessionStorage.setItem(STORE, JSON.stringify({ texts, chosen }));
  } catch {
    // then they last as long as the page
  }
}

function remembered() {
  try {
    const { texts, chosen } = JSON.parse(sessionStorage.getItem(STORE));
    if (!Array.isArray(texts) || !texts.every((text) => typeof text === "string")) return null;
    return { texts, choose: (sentences) => (sentences[chosen?.sentence]?.pieces[chosen?.word] ? chosen : null) };
  } catch {
    return null;
  }
}

function removeSentence(i) {
  const { chosen } = state;
  const rest = state.texts.filter((_, j) => j !== i);
  const still = chosen && chosen.sentence !== i ? { ...chosen, sentence: chosen.sentence - (chosen.sentence > i) } : null;
  readTexts(rest, { choose: still }).then(() => {
    const bins = document.querySelectorAll(".bin");
    (bins[Math.min(i, bins.length - 1)] ?? byId("new")).focus({ preventScroll: true });
  });
}

async function addSentences(texts) {
  const first = state.texts.length;
  const done = await readTexts([...state.texts, ...texts], { choose: state.chosen });
  if (done) byId("lines").children[first]?.scrollIntoView({ block: "nearest" });
  return done;
}

function wordIn(sentences, [sentence, word]) {
  const at = sentences[sentence]?.pieces.findIndex(([, one]) => one.toLowerCase() === word) ?? -1;
  return at < 0 ? null : { sentence, word: at };
}

function drawExamples() {
  byId("examples").replaceChildren(...EXAMPLES.map((example) =>
    el("button", { type: "button", class: "chip", "aria-pressed": "false",
      onclick: () => { closeEditor(); readTexts(example.texts, { choose: (s) => wordIn(s, example.word) }); } }, example.title)));
}

function markExample() {
  [...byId("examples").children].forEach((chip, i) =>
    chip.setAttribute("aria-pressed", String(EXAMPLES[i].texts.join("\n") === state.texts.join("\n"))));
}

// ---------------------------------------------------------------- the chosen word

async function choose(place, { byWord = false, byKey = false } = {}) {
  const same = state.found && wordOf(place) === state.found.word.toLowerCase();
  state.chosen = place;
  state.fromIndex = null;
  remember(state.texts, place);
  markWords(place, same ? state.found.occurrences : []);
  if (!byWord) showWord(place, { focus: byKey });
  if (byWord) hintResults();
  comparePair(place.sentence);
  if (!same) {
    state.found = null;
    byId("asked").textContent = "";
    byId("neighbours").replaceChildren(message("Looking …", { busy: true }));
    map.clear("Drawing …", { busy: true });
  }
  await Promise.all([askWord(), askIndex()]);
}

const wordOf = ({ sentence, word }) => state.sentences[sentence].pieces[word][1].toLowerCase();

/** On a narrow screen the results lie below the sentences: go there once a word is chosen by hand. */
function hintResults() {
  const results = byId("results");
  if (results.getBoundingClientRect().top > innerHeight * 0.6) results.scrollIntoView({ block: "start", behavior: "smooth" });
}

async function askWord() {
  const place = state.chosen;
  const body = { texts: state.texts, ...place, with_index: state.withIndex };
  const answer = await question("word", body, () => state.chosen && askWord());
  if (!answer || state.chosen !== place) return;
  state.found = answer;
  markWords(place, answer.occurrences);
  drawFound();
}

async function askIndex() {
  if (!state.about.index || state.which !== "index" || !state.chosen) return;
  const place = state.chosen;
  const answer = await question("index", { texts: [state.texts[place.sentence]], sentence: 0, word: place.word }, askIndex);
  if (!answer || state.chosen !== place) return;
  state.fromIndex = answer;
  drawNearest();
}

function nothingChosen() {
  Object.assign(state, { chosen: null, found: null, fromIndex: null });
  markWords(null, []);
  byId("asked").textContent = "";
  const text = state.sentences.length ? "Choose a word in a sentence." : "Add a sentence first, then choose a word in it.";
  byId("neighbours").replaceChildren(message(text));
  map.clear(text);
  comparePair(null);
}

function drawFound() {
  drawNearest();
  drawMap();
}

function senseAt({ sentence, word }) {
  return state.found?.occurrences.find((o) => o.sentence === sentence && o.word === word)?.sense;
}

function drawNearest() {
  const { chosen, found, which, fromIndex, about } = state;
  if (!chosen || !found) return;
  const { before, word, after } = parts(chosen);
  const cut = (text) => (text.length > 60 ? text.slice(0, 60) + " …" : text);
  byId("asked").replaceChildren("of ", el("strong", {}, word), " in “", before.length > 60 ? "… " + before.slice(-60) : before, el("strong", {}, word), cut(after), "”");
  const node = byId("neighbours");
  const go = (place, options) => choose(place, options);
  if (which !== "index") {
    const list = found.neighbours[which][state.view].map((one) => {
      const place = { sentence: one.sentence, word: one.word };
      return { ...parts(place), place, score: one.score, sense: senseAt(place) };
    });
    const empty = which === "same" ? `“${word}” occurs in no other place here.` : "There are no other words.";
    return drawNeighbours(node, list, { choose: go, empty });
  }
  if (!about.index) return node.replaceChildren(noIndex());
  if (!fromIndex) return node.replaceChildren(message("Looking in the index …", { busy: true }));
  const list = fromIndex.neighbours.map((one, i) => ({ ...one, word: one.text, key: `index-${i}-${one.before}` }));
  drawNeighbours(node, list, { choose: go, empty: `The index holds nothing near “${word}”.` });
}

function noIndex() {
  return el("div", { class: "empty" },
    el("p", {}, "No index is open. An index holds the occurrences of a whole corpus:"),
    el("pre", {}, "elmokit index build corpus.txt --db my-index\nelmokit explore --db my-index"));
}

// ---------------------------------------------------------------- map

const map = occurrenceMap(byId("plane"), {
  choose: (place, options) => choose(place, options),
  add: ({ before, word, after }) => addSentences([before + word + after]),
});

function drawMap() {
  const { found, chosen } = state;
  if (!found || !chosen) return;
  const occurrences = found.occurrences.map((one) => {
    const place = one.sentence === null ? null : { sentence: one.sentence, word: one.word };
    return { ...(place ? parts(place) : { before: one.before, word: one.text, after: one.after }), place, sense: one.sense };
  });
  const senses = found.senses.map(({ size, typical }) => {
    const { before, word, after } = occurrences[typical];
    return { size, example: before + word + after };
  });
  const key = JSON.stringify([found.word.toLowerCase(), state.texts, state.withIndex]);
  map.show({ word: found.word, occurrences, senses, views: found.views }, key, state.view, chosen);
}

// ---------------------------------------------------------------- word by word

const pair = { first: byId("first"), second: byId("second") };

function fillPair() {
  for (const [name, select] of Object.entries(pair)) {
    const before = Number(select.value);
    select.replaceChildren(...state.texts.map((text, i) => el("option", { value: i }, `${i + 1} · ${short(text, 60)}`)));
    select.value = String(Math.min(before || (name === "second" ? 1 : 0), Math.max(0, state.texts.length - 1)));
  }
}

/** Compare the chosen word's sentence with the one looked at before it. */
function comparePair(sentence) {
  if (sentence !== null && Number(pair.first.value) !== sentence) {
    if (Number(pair.second.value) === sentence || state.comparison) pair.second.value = pair.first.value;
    pair.first.value = String(sentence);
  }
  return compare();
}

async function compare() {
  const node = byId("table");
  byId("heat").classList.toggle("without", !state.texts.length);
  if (!state.texts.length) {
    state.comparison = null;
    node.replaceChildren(message("Two sentences are needed; add some."));
    return;
  }
  const texts = [state.texts[Number(pair.first.value)], state.texts[Number(pair.second.value)]];
  if (!node.childElementCount) node.replaceChildren(message("Comparing …", { busy: true }));
  const answer = await question("compare", { texts }, compare);
  if (!answer) return;
  state.comparison = answer;
  drawComparison();
}

function drawComparison() {
  const { chosen, comparison, view } = state;
  if (!comparison) return;
  const row = chosen && Number(pair.first.value) === chosen.sentence ? chosen.word : -1;
  drawHeat(byId("table"), comparison, view, { chosen: row });
}

// ---------------------------------------------------------------- the editor of all sentences

function openEditor() {
  byId("text").value = state.texts.join("\n");
  setEditor(true);
  byId("text").focus();
}

function closeEditor() {
  if (byId("all").hidden) return;
  setEditor(false);
  byId("edit").focus();
}

function setEditor(open) {
  byId("all").hidden = !open;
  byId("lines").hidden = open;
  byId("add").hidden = open;
  byId("edit").setAttribute("aria-expanded", String(open));
  byId("edit").textContent = open ? "Close" : "Edit all";
}

async function readEditor(event) {
  event.preventDefault();
  const texts = byId("text").value.split(/\r?\n/);
  if (await readTexts(texts)) closeEditor();
}

function wire() {
  byId("edit").addEventListener("click", () => (byId("all").hidden ? openEditor() : closeEditor()));
  byId("cancel").addEventListener("click", closeEditor);
  byId("all").addEventListener("submit", readEditor);
  byId("all").addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeEditor();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) readEditor(event);
  });
  byId("add").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = byId("new").value;
    if (text.trim() && (await addSentences([text]))) byId("new").value = "";
  });
  byId("new").addEventListener("paste", (event) => {
    const lines = (event.clipboardData?.getData("text/plain") ?? "").split(/\r?\n/).filter((line) => line.trim());
    if (lines.length < 2) return;
    event.preventDefault();
    addSentences(lines);
  });
  for (const radio of document.querySelectorAll("#which input")) {
    radio.addEventListener("change", () => { state.which = radio.value; drawNearest(); askIndex(); });
  }
  byId("with-index").querySelector("input").addEventListener("change", (event) => {
    state.withIndex = event.target.checked;
    if (state.chosen) askWord();
  });
  for (const select of Object.values(pair)) select.addEventListener("change", compare);
}

// ---------------------------------------------------------------- beginning

async function start() {
  byId("neighbours").replaceChildren(message("Opening the model …", { busy: true }));
  map.clear("Opening the model …", { busy: true });
  const about = await question("about", undefined, start);
  if (!about) return;
  state.about = about;
  state.view = about.start;
  const index = about.index ? ` · index of ${about.index.occurrences.toLocaleString("en")} occurrences` : "";
  byId("model").textContent = `${about.model} · ${about.views.length - 1} layers of ${about.dim} numbers${index}`;
  byId("with-index").hidden = !about.index;
  layerSlider(about.views, about.start, (view) => { state.view = view; drawFound(); drawComparison(); });
  drawExamples();
  const own = remembered();
  const first = EXAMPLES[0];
  if (own) await readTexts(own.texts, { choose: own.choose });
  else await readTexts(first.texts, { choose: (sentences) => wordIn(sentences, first.word) });
}

wire();
start();
