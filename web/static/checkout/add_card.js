// Saving a card: a worker makes the setup intent, Stripe's form confirms it with the bank, the server says whether
// the card is saved. Nothing here moves money; reloading or coming back finds the same setup.

import { askUntilAnswered, pause } from "./net.js";
import { appearance, loadStripe } from "./elements.js";
import { notice } from "./notice.js";

const config = JSON.parse(document.getElementById("card-config").textContent);
const { words } = config;
const at = (id) => document.getElementById(id);
const OLD_NEWS = 12000; // milliseconds in which "nothing happened" may be old news after a confirmation

const say = (kind, title, next = "") => at("card-state").replaceChildren(notice(kind, title, next, at("card-icons").dataset.url));
const lost = () => say("warning", words.offline, words.offline_next);
const look = () => askUntilAnswered(config.status_url, {}, lost);

/** Follow until `until` says so, or until it has ended. */
async function follow(until) {
  for (;;) {
    const now = await look();
    if (now.state === "succeeded") {
      say("success", words.saved);
      window.location.replace(config.list_url);
      return now;
    }
    if (now.state === "failed") {
      say("error", words.not_saved, words.again);
      return now;
    }
    if (until(now)) return now;
    await pause(400);
  }
}

/** Have Stripe asked, and wait for what comes of it. */
async function settle() {
  const began = Date.now();
  await askUntilAnswered(config.check_url, { method: "POST" }, lost);
  return follow(() => Date.now() - began > OLD_NEWS);
}

async function begin() {
  say("busy", words.preparing);
  const query = new URLSearchParams(window.location.search);
  if (query.has("setup_intent")) { // back from the bank; the address holds a client secret
    window.history.replaceState(null, "", config.page_url);
    say("busy", words.saving);
    if ((await settle()).is_final) return;
  }
  const { client_secret: clientSecret, is_final: isFinal } = await follow((now) => Boolean(now.client_secret));
  if (isFinal || !clientSecret) return;
  let stripe;
  let elements;
  try {
    stripe = await loadStripe(config.script_url, config.publishable_key, config.locale);
    elements = stripe.elements({ clientSecret, appearance: appearance() });
    const form = elements.create("payment", { layout: "tabs" });
    await new Promise((resolve, reject) => {
      form.on("ready", resolve);
      form.on("loaderror", ({ error }) => reject(new Error(error?.message ?? "the card form did not load")));
      at("card-form").hidden = false;
      form.mount(at("card"));
    });
  } catch (error) {
    at("card-form").hidden = true;
    say("error", words.no_script, words.no_script_next);
    console.error(error);
    return;
  }
  at("card-state").replaceChildren();
  at("save-card").disabled = false;
  at("save-card").addEventListener("click", () => save(stripe, elements));
}

async function save(stripe, elements) {
  const button = at("save-card");
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  say("busy", words.saving);
  let outcome = {};
  try {
    outcome = await stripe.confirmSetup({
      elements, confirmParams: { return_url: config.return_url }, redirect: "if_required",
    });
  } catch (error) {
    console.error(error); // silence: the server finds out what became of it
  }
  if (outcome.error) {
    say("error", outcome.error.message || words.declined, words.try_another);
  } else if (!(await settle()).is_final) {
    say("error", words.declined, words.try_another);
  } else {
    return;
  }
  button.removeAttribute("aria-busy");
  button.disabled = false;
}

begin();
