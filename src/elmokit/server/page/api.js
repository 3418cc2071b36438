// Questions to the server that this page came from, and failures as sentences that can be shown.

export class Failure extends Error {}

let token = "";

/** The bearer token that later questions carry. */
export function useToken(text) {
  token = text;
}

async function sentenceOf(response) {
  const body = await response.json().catch(() => ({}));
  return body?.error?.message || `The server answered ${response.status}.`;
}

/** Ask; the answer is parsed JSON. Throws `Failure` with a sentence, or AbortError when `signal` cancelled it. */
export async function ask(path, question, { signal } = {}) {
  const headers = { Accept: "application/json" };
  if (question !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = question === undefined ? undefined : JSON.stringify(question);
  let response;
  try {
    response = await fetch(`explorer/${path}`, { method: body ? "POST" : "GET", headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Is elmokit still running?");
  }
  if (response.ok) return response.json();
  const failure = new Failure(await sentenceOf(response));
  failure.status = response.status;
  throw failure;
}
