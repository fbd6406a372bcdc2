// The till in place: items are put in one after the other without leaving the page, so that no key of a scanner
// is lost; a sale under way is followed; keys do what the mouse does. Every form works without this.

import { finder } from "./find.js";
import { follow, read, swap } from "./follow.js";
import { toast } from "../paydesk.js";

const ANSWER_WITHIN = 15000;
const SLOW_AFTER = 300; // a sign of waiting that comes and goes sooner only disturbs
const at = (id) => document.getElementById(id);
const hasMouse = window.matchMedia("(pointer: fine)").matches; // a finger would open the keyboard by a focus

// --- putting items in --------------------------------------------------------------------------------------

const waiting = []; // codes and items in the order in which they were scanned
let isPutting = false;
let isSlow = false;
let finding = null;

function watchField() {
  const field = at("code");
  if (field && !field.dataset.watched) {
    field.dataset.watched = "yes";
    finding = finder(field);
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches?.("form[data-add]")) return;
  event.preventDefault();
  const field = at("code");
  const item = event.submitter?.name === "item" ? event.submitter.value : "";
  const code = field?.value.trim() ?? "";
  if (!item && !code) return;
  finding?.stop();
  waiting.push(item ? ["item", item] : ["code", code]);
  if (isSlow) showWaiting();
  if (field) field.value = "";
  if (hasMouse) field?.focus();
  putNext();
});

/** Show beside the field how many are on their way: on a slow network nobody else says that they were taken. */
function showWaiting() {
  const button = at("add")?.querySelector("button");
  if (!button) return;
  if (isSlow && waiting.length) button.setAttribute("aria-busy", "true");
  else button.removeAttribute("aria-busy");
  button.dataset.waiting = isSlow && waiting.length > 1 ? waiting.length : "";
}

async function putNext() {
  if (isPutting || !waiting.length) return;
  isPutting = true;
  const slow = setTimeout(() => { isSlow = true; showWaiting(); }, isSlow ? 0 : SLOW_AFTER);
  const [name, value] = waiting[0];
  at("sale")?.setAttribute("aria-busy", "true");
  const form = at("add");
  const body = new FormData(form); // with the cart as it is by now
  body.delete("code");
  body.set(name, value);
  try {
    const response = await fetch(form.action, { method: "POST", body, credentials: "same-origin", signal: AbortSignal.timeout(ANSWER_WITHIN) });
    const page = read(await response.text());
    waiting.shift();
    show(page, response);
    if (!response.ok && at("code") && !at("code").value && name === "code") at("code").value = value;
    if (!response.ok) waiting.length = 0; // what follows a refusal is looked at first
    else if (name === "code") finding?.look(); // all items again
  } catch {
    // Nobody knows whether it arrived, and putting it in twice would charge it twice: the sale as it is says it.
    waiting.length = 0;
    toast(at("till").dataset.lost);
    refresh();
  } finally {
    clearTimeout(slow);
    isPutting = false;
    isSlow &&= waiting.length > 0;
    showWaiting();
    at("sale")?.removeAttribute("aria-busy");
    putNext();
  }
}

/** Take over from a page of the till what has changed, without touching the field that is typed into. */
function show(page, response) {
  if (!page.getElementById("sale") || Boolean(page.getElementById("add")) !== Boolean(at("add"))) {
    if (response.redirected || response.ok) window.location.assign(response.url);
    else window.location.reload();
    return;
  }
  if (response.redirected) window.history.replaceState(null, "", response.url);
  for (const id of ["following", "bar", "strip", "said", "places", "sale"]) {
    const newer = page.getElementById(id);
    if (newer) swap(newer);
  }
  const items = page.getElementById("items");
  if (items && !response.ok) swap(items); // what was meant, perhaps
  at("said").querySelector("[role=alert]")?.scrollIntoView({ block: "nearest" });
  following.again();
}

/** Show the sale as it is now; a receipt stays as it is. */
async function refresh() {
  if (!at("sale")) return;
  try {
    const response = await fetch(window.location.href, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN) });
    show(read(await response.text()), response);
  } catch { following.again(); }
}

const following = follow({ onOther: () => refresh() });

// htmx changed lines or the tip: the cart is the same, the bar has another total.
document.addEventListener("htmx:afterSettle", () => following.again());

// --- keys ----------------------------------------------------------------------------------------------------

const KEYS = { F4: "customer", F7: "cash", F8: "new", F9: "pay" };
const isTypedInto = (element) => element?.matches?.("input:not([type=hidden]), textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  const field = at("code");
  if (event.key === "F2" && field) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (KEYS[event.key] && !event.altKey && !event.ctrlKey && !event.metaKey) {
    const target = document.querySelector(`[data-key="${KEYS[event.key]}"]:not([disabled])`);
    event.preventDefault();
    if (event.repeat) return; // held down: once is meant
    target?.click();
    if (KEYS[event.key] === "new" && !target) field?.focus();
  } else if (event.altKey && /^[1-9]$/.test(event.key)) {
    const sale = document.querySelector(`[data-nth="${event.key}"]`);
    if (!sale) return;
    event.preventDefault();
    sale.click();
  } else if (event.key === "Escape" && document.activeElement === field && field?.value) {
    field.value = "";
    finding?.look();
  } else if (field && event.key.length === 1 && event.key !== " " && !event.altKey && !event.ctrlKey && !event.metaKey && !isTypedInto(document.activeElement)) {
    field.focus(); // the character lands in it: a scan works wherever the focus is
  }
});

// --- the time that a payment takes -----------------------------------------------------------------------------

const skew = Number(at("till")?.dataset.now ?? 0) * 1000 - Date.now(); // the server's clock, to a second
setInterval(() => {
  if (document.hidden) return;
  for (const clock of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.round((Date.now() + skew) / 1000 - Number(clock.dataset.since)));
    const text = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (clock.textContent !== text) clock.textContent = text;
  }
}, 500);

// Back shows the page as it was left: show what has become of it.
window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });

watchField();
