// Following what happens elsewhere: the element #following names an address; its answer is swapped in by parts.
// Asked once a second at first, more rarely the longer nothing happens and while nobody looks, and no more at
// the end, which is when the answer names no address any more. What has not changed costs 304 and no body.

const STEPS = [[30, 1000], [120, 2000], [Infinity, 5000]]; // seconds without news, milliseconds between questions
const HIDDEN = 15000;
const FIRST_SILENCE = 1000;
const LONGEST_SILENCE = 10000;
const ANSWER_WITHIN = 15000;

/** Replace an element by its newer self; the keyboard stays where it was. */
export function swap(newer) {
  const older = document.getElementById(newer.id);
  if (!older || older.outerHTML === newer.outerHTML) return false;
  const active = document.activeElement;
  const id = active && older.contains(active) ? active.id : "";
  older.replaceWith(document.adoptNode(newer));
  window.htmx?.process(newer);
  if (id) document.getElementById(id)?.focus();
  return true;
}

/** Read a page, or a part of one. */
export const read = (text) => new DOMParser().parseFromString(text, "text/html");

/** Follow what #following names; `onOther` is called when what it tells is another thing than the page shows. */
export function follow({ onOther }) {
  let tag = "";
  let address = "";
  let newsAt = Date.now();
  let silence = 0;
  let timer = 0;
  let isAsking = false;

  const place = () => document.getElementById("following");
  const wait = () => {
    if (silence) return silence;
    if (document.hidden) return HIDDEN;
    const seconds = (Date.now() - newsAt) / 1000;
    return STEPS.find(([until]) => seconds < until)[1];
  };
  const plan = (milliseconds = wait()) => { clearTimeout(timer); timer = setTimeout(ask, milliseconds); };

  async function ask() {
    const url = place()?.dataset.follow;
    if (!url || isAsking) return;
    if (url !== address) { address = url; tag = ""; }
    isAsking = true;
    try {
      const headers = { "HX-Request": "true", ...(tag ? { "If-None-Match": tag } : {}) };
      const response = await fetch(url, { headers, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(ANSWER_WITHIN) });
      if (place()?.dataset.follow !== url) return; // another sale is at hand by now
      const elsewhere = response.headers.get("HX-Redirect");
      if (elsewhere) { window.location.assign(elsewhere); return; }
      if (response.status === 200) {
        tag = response.headers.get("ETag") ?? "";
        take(read(await response.text()));
      } else if (response.status === 404) {
        window.location.reload();
        return;
      } else if (response.status !== 304) throw new Error(String(response.status));
      lost(false);
    } catch {
      lost(true);
    } finally {
      isAsking = false;
      if (place()?.dataset.follow) plan();
    }
  }

  function take(answer) {
    const version = place().dataset.version;
    const said = place().dataset.announce;
    let isNews = false;
    for (const newer of answer.querySelectorAll("[data-part]")) if (swap(newer)) isNews = true;
    if (isNews) newsAt = Date.now();
    const now = place().dataset;
    if (now.announce && now.announce !== said) document.getElementById("announce")?.replaceChildren(now.announce);
    if (now.version !== version) onOther();
  }

  function lost(isLost) {
    silence = isLost ? Math.min(Math.max(silence * 2, FIRST_SILENCE), LONGEST_SILENCE) : 0;
    document.getElementById("till")?.classList.toggle("is-lost", silence > 2 * FIRST_SILENCE);
  }

  const again = () => { newsAt = Date.now(); if (place()?.dataset.follow) plan(0); };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  window.addEventListener("online", again);
  if (place()?.dataset.follow) plan();
  return { again };
}
