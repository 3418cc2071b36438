// Draws openapi.json: one card per route, with its fields and answers.

import { byId, el, message } from "./dom.js";

let schemas = {};

const resolved = (shape) => (shape?.$ref ? schemas[shape.$ref.split("/").pop()] : shape) ?? {};

function typeOf(shape) {
  if (shape.$ref) return shape.$ref.split("/").pop();
  if (shape.anyOf) return shape.anyOf.map(typeOf).join(" or ");
  if (shape.enum ?? shape.const) return (shape.enum ?? [shape.const]).map((one) => JSON.stringify(one)).join(" or ");
  if (shape.type === "array") return `list of ${shape.items ? typeOf(shape.items) : "values"}`;
  return shape.type ?? "any";
}

function fields(title, shape) {
  const entries = Object.entries(shape.properties ?? {});
  if (!entries.length) return [];
  const needed = new Set(shape.required);
  const lines = entries.flatMap(([name, field]) => [
    el("dt", {}, el("code", {}, name), " ", el("span", { class: "quiet" }, typeOf(field), needed.has(name) ? ", required" : "")),
    el("dd", {}, field.description ?? ""),
  ]);
  return [el("h3", {}, title), el("dl", { class: "fields" }, lines)];
}

function card(path, method, operation) {
  const sent = resolved(operation.requestBody?.content?.["application/json"]?.schema);
  const answers = Object.entries(operation.responses).map(([status, answer]) => {
    const shape = resolved(answer.content?.["application/json"]?.schema);
    const got = status === "200" ? fields("Answer", shape) : [];
    return [got, el("p", { class: "status" }, el("b", {}, status), ` ${answer.description}`)];
  });
  const title = el("h2", {}, el("code", {}, `${method.toUpperCase()} ${path}`));
  const about = el("p", {}, operation.description ?? operation.summary ?? "");
  return el("section", { class: "card" }, title, about, fields("Request", sent), answers.flat(2));
}

async function draw() {
  const main = byId("routes");
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    const { paths, components } = await response.json();
    schemas = components?.schemas ?? {};
    const cards = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => card(path, method, operation)),
    );
    main.replaceChildren(...cards);
  } catch (error) {
    main.replaceChildren(message(`The description of the API could not be read. ${error.message}`));
  }
}

draw();
