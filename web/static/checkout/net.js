// Asking the server, over connections that come and go. An answer is an answer, also a refusal;
// silence is not one: what may have arrived is asked again with the same form token, never with a new one.

const FIRST_WAIT = 400;
const LONGEST_WAIT = 5000;
const ANSWER_WITHIN = 15000;

/** The server answered and refused: `code`, `message`, `next`, `details`, as it said. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.next = error.next ?? "";
    this.details = error.details ?? {};
  }
}

/** No answer, or not one of ours: nobody knows whether the request arrived. */
export class Unsure extends Error {}

export const pause = (milliseconds) => new Promise((resolve) => {
  const timer = setTimeout(done, milliseconds);
  function done() {
    clearTimeout(timer);
    window.removeEventListener("online", done);
    resolve();
  }
  window.addEventListener("online", done); // no need to wait when the network is back
});

const csrfToken = () => document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";

const known = new Map(); // by address: the tag of the newest answer, and the answer

/** Ask once; what has not changed since the last time is not sent again. Throws Refused or Unsure. */
export async function ask(url, { method = "GET", json, form } = {}) {
  const headers = { Accept: "application/json" };
  const before = method === "GET" ? known.get(url) : undefined;
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (before) headers["If-None-Match"] = before.tag;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let answer = null;
  try {
    response = await fetch(url, {
      method, headers, credentials: "same-origin", cache: "no-store",
      body: json !== undefined ? JSON.stringify(json) : form,
      signal: AbortSignal.timeout(ANSWER_WITHIN),
    });
    if (response.status === 204) return null;
    if (response.status === 304 && before) return before.answer;
    answer = await response.json();
  } catch (error) {
    throw new Unsure(String(error));
  }
  if (response.ok) {
    const tag = response.headers.get("ETag");
    if (method === "GET" && tag) known.set(url, { tag, answer });
    return answer;
  }
  if (answer?.error?.code && (response.status < 500 || response.status === 503)) throw new Refused(response.status, answer.error);
  throw new Unsure(`status ${response.status}`);
}

/** Ask until there is an answer; `onSilence` is called each time there is none. Throws Refused only. */
export async function askUntilAnswered(url, options, onSilence = () => {}) {
  for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
    try {
      return await ask(url, options);
    } catch (error) {
      if (!(error instanceof Unsure)) throw error;
      onSilence();
      await pause(wait);
    }
  }
}
