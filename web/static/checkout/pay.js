// Paying a cart: the server writes down what is wanted, a worker makes it at Stripe, this page confirms it and
// follows it to its end. One payment at a time: whatever is pressed twice, reloaded or opened again gets the
// payment that is there already. Stripe says what the card did; the server says whether the order is paid.

import { ask, askUntilAnswered, pause, Refused } from "./net.js";
import { loadStripe, mountForms } from "./elements.js";
import { notice } from "./notice.js";
import "./order.js";

const config = JSON.parse(document.getElementById("pay-config").textContent);
const { words } = config;
const at = (id) => document.getElementById(id);
const SLOW_AFTER = 8000; // milliseconds without a client secret
const SETTLED_WITHIN = 12000; // after a return from the bank: how long "nothing happened" may be old news

const view = {
  state: at("pay-state"), form: at("pay-form"), button: at("pay-button"), amount: at("pay-amount"), buyer: at("buyer"),
};
let phase = "idle"; // idle, paying, following, done
let live = config.live; // the payment under way, as last told
let formToken = config.form_token;
let elements = null;
let stripe = null;

// --- what the person sees ---------------------------------------------------------------------------

function say(kind, title, next = "") {
  if (view.state.textContent.trim() === `${title}${next}`.trim()) return; // not read aloud again and again
  view.state.dataset.kind = kind;
  view.state.replaceChildren(notice(kind, title, next, at("pay-icons").dataset.url));
}

function hush() {
  view.state.dataset.kind = "";
  view.state.replaceChildren();
}

function busy(isBusy) {
  if (!view.button) return;
  if (isBusy) view.button.setAttribute("aria-busy", "true");
  else view.button.removeAttribute("aria-busy");
  view.button.disabled = isBusy || !elements;
  document.querySelector("[data-checkout]").classList.toggle("is-paying", isBusy);
}

function showForm(isShown) {
  for (const part of [view.form, at("wallets")]) if (part) part.hidden = !isShown;
}
const order = () => at("order").dataset;
const canPay = () => order().free !== "yes" && Number(order().amount) > 0;

// --- following a payment to its end -------------------------------------------------------------------

const withCart = (url) => `${url}?cart=${encodeURIComponent(config.cart)}`;

async function look(payment = live) {
  const seen = await askUntilAnswered(withCart(payment.status_url), {}, () => say("warning", words.offline, words.offline_next));
  live = { ...payment, ...seen };
  return live;
}

function leaveFor(url) {
  phase = "done";
  say("success", words.paid, words.to_receipt);
  window.location.replace(url);
}

/** Act on a state that ends the waiting; says whether it was one. */
function conclude(payment) {
  if (payment.order) {
    leaveFor(payment.order.receipt_url);
    return true;
  }
  if (payment.state === "held") {
    phase = "done";
    showForm(false);
    say("warning", payment.message, payment.next);
    return true;
  }
  if (payment.is_final && payment.state !== "succeeded") {
    phase = "done";
    say("info", payment.message, payment.next);
    window.location.replace(config.page_url); // the cart can be changed again, and a new try gets a new form
    return true;
  }
  return false;
}

/** Follow while something is under way that nobody here can hasten. */
async function follow(payment, { until = () => false, wasConfirmed = false } = {}) {
  phase = "following";
  busy(true);
  const began = Date.now();
  for (;;) {
    const now = await look(payment);
    if (conclude(now)) return now;
    if (until(now)) return now;
    const isOldNews = wasConfirmed && (now.state === "awaiting" || now.state === "declined");
    if (isOldNews) say("busy", words.checking, words.do_not_pay_again);
    else say(now.state === "cancelling" ? "warning" : "busy", now.message, now.next);
    const isSlow = Date.now() - began > SLOW_AFTER;
    await pause(isSlow ? 1000 : Math.min(now.poll_after_ms || 250, 400));
  }
}

/** Wait at the open form: the payment may be paid in another tab, cancelled at the desk, or end. */
async function idle(payment) {
  while (phase === "idle" && live?.payment === payment.payment) {
    await pause(Math.max(live.poll_after_ms, 2000));
    if (phase !== "idle" || document.visibilityState === "hidden") continue;
    try {
      const now = { ...live, ...(await ask(withCart(live.status_url))) };
      if (phase !== "idle") return;
      const before = live.state;
      live = now;
      if (conclude(now)) return;
      if (now.state !== before) {
        settleIn(now); // which waits on from there
        return;
      }
    } catch (error) {
      if (error instanceof Refused) return;
    }
  }
}

/** Show what a payment's state asks of the person now, and wait or follow accordingly. */
function settleIn(payment) {
  live = payment;
  if (conclude(payment)) return;
  const waitsForPerson = payment.state === "awaiting" || payment.state === "declined";
  if (!payment.is_payer) {
    showForm(false);
    say(waitsForPerson || payment.state === "requested" ? "info" : "busy", payment.message, payment.next);
    phase = "idle";
    idle({ ...payment, poll_after_ms: 2000 });
    return;
  }
  if (waitsForPerson) {
    phase = "idle";
    busy(false);
    showForm(canPay());
    if (payment.state === "declined") say("error", payment.message, payment.next);
    idle(payment);
    return;
  }
  showForm(payment.state === "requested");
  follow(payment, { until: (now) => now.state === "awaiting" || now.state === "declined" }).then((now) => {
    if (!conclude(now)) {
      hush();
      settleIn(now);
    }
  });
}

// --- paying -------------------------------------------------------------------------------------------

class Stopped extends Error {
  constructor(kind, title, next, focus) {
    super(title);
    Object.assign(this, { kind, title, next, focus });
  }
}

/** Say who buys, unless that is settled; the wallet knows it where the form is empty. */
async function saveBuyer(billing) {
  if (order().open !== "yes" || live) return;
  const { buyer } = view;
  const email = buyer.elements.namedItem("email");
  const name = buyer.elements.namedItem("name");
  if (email && !email.value.trim() && billing?.email) email.value = billing.email;
  if (name && !name.value.trim() && billing?.name) name.value = billing.name;
  for (const field of [email, name]) {
    if (field && !field.checkValidity()) throw new Stopped("error", words.fill_buyer, words.not_charged, field);
  }
  const policy = at("policy");
  if (policy && !policy.checked) throw new Stopped("error", words.accept_policy, words.not_charged, policy);
  try {
    await askUntilAnswered(config.buyer_url, { method: "POST", form: new FormData(buyer) }, lost);
  } catch (error) {
    // A payment is under way since this page was drawn (a reload, another tab): asking for one gets that one.
    if (!(error instanceof Refused && error.code === "cart_frozen")) throw error;
  }
}

const lost = () => say("warning", words.offline, words.offline_next);

/** Ask for the payment, and wait until a worker has made it at Stripe. */
async function prepare() {
  say("busy", words.preparing);
  const wanted = { cart: config.cart, form_token: formToken, expected_total: Number(order().total), expected_due: Number(order().due) };
  const asked = await askUntilAnswered(config.intent_url, { method: "POST", json: wanted }, lost);
  live = { ...asked, is_payer: true };
  const began = Date.now();
  for (;;) {
    const now = await look(asked);
    if (now.client_secret) return now;
    if (conclude(now)) return null;
    if (!now.is_payer || now.state === "processing" || now.state === "cancelling") {
      settleIn(now);
      return null;
    }
    if (Date.now() - began > SLOW_AFTER) say("busy", words.slow, now.next);
    await pause(now.poll_after_ms || 250);
  }
}

/** Confirm with Stripe. Returns what Stripe's script said; silence counts as "unsure". */
async function confirm(clientSecret) {
  say("busy", words.confirming);
  try {
    return await stripe.confirmPayment({
      elements, clientSecret, confirmParams: { return_url: config.return_url }, redirect: "if_required",
    });
  } catch (error) {
    return { unsure: error };
  }
}

async function pay(wallet = null) {
  if (phase !== "idle" || !elements) {
    wallet?.paymentFailed({ reason: "fail" });
    return;
  }
  phase = "paying";
  busy(true);
  let outcome = null;
  try {
    const checked = await elements.submit();
    if (checked.error) throw new Stopped("error", checked.error.message, words.look_again);
    say("busy", words.preparing); // on a slow network the next answer is seconds away
    await saveBuyer(wallet?.billingDetails);
    const payment = await prepare();
    if (payment === null) {
      wallet?.paymentFailed({ reason: "fail" });
      return;
    }
    outcome = await confirm(payment.client_secret);
    askUntilAnswered(payment.check_url, { method: "POST", json: { cart: config.cart } }).catch(() => {});
    if (outcome.error && ["card_error", "validation_error"].includes(outcome.error.type)) {
      const { message } = outcome.error;
      throw new Stopped("error", message || words.declined, words.try_another);
    }
    say("busy", words.checking, words.do_not_pay_again);
    const isPaid = ["succeeded", "processing", "requires_capture"].includes(outcome.paymentIntent?.status);
    const end = await follow(payment, { wasConfirmed: true, until: isPaid ? undefined : unchanged(SETTLED_WITHIN) });
    if (phase === "following") settleIn(end);
  } catch (error) {
    wallet?.paymentFailed({ reason: "fail" });
    stopped(error);
  }
}

/** True once a payment has waited for the person for long enough that it is no old news. */
function unchanged(milliseconds) {
  const began = Date.now();
  return (payment) => payment.state === "declined"
    || (payment.state === "awaiting" && Date.now() - began > milliseconds);
}

/** Nothing was charged: say why, and let the person try again on the same payment. */
function stopped(error) {
  phase = "idle";
  busy(false);
  if (error instanceof Stopped) {
    say(error.kind, error.title, error.next);
    error.focus?.focus();
  } else if (error instanceof Refused) {
    say("error", error.message, error.next);
    if (error.code === "already_paid" && error.details.order) leaveFor(error.details.order.receipt_url);
    if (["total_changed", "cart_frozen", "cart_not_found", "form_expired", "form_reused"].includes(error.code)) refresh();
  } else {
    say("error", words.slow, words.look_again);
    throw error;
  }
  if (live && order().open === "yes") refresh(); // a payment holds the order: show that it cannot change now
  if (live && phase === "idle") idle(live);
  view.state.scrollIntoView({ block: "nearest" });
}

/** Bring the order up to date without losing what was typed or said. */
function refresh() {
  window.htmx?.ajax("GET", config.page_url, { target: "#order", select: "#order", swap: "outerHTML" });
}

// --- the page -----------------------------------------------------------------------------------------

/** A wallet's button was pressed: the sheet may open once the form is filled in as far as the wallet cannot. */
function openWallet(event) {
  const policy = at("policy");
  if (phase !== "idle" || (policy && order().open === "yes" && !policy.checked)) {
    if (phase === "idle") stopped(new Stopped("error", words.accept_policy, words.not_charged, policy));
    event.reject?.();
    return;
  }
  event.resolve({ emailRequired: true });
}

async function setUpForms() {
  try {
    stripe = await loadStripe(config.script_url, config.publishable_key, config.locale);
    elements = await mountForms(stripe, {
      amount: Math.max(Number(order().amount), 1), currency: config.currency,
      express: at("express"), or: at("or"), card: at("card"),
      onWallet: (event) => pay(event), onWalletClick: openWallet,
    });
    view.form.dataset.ready = "yes";
    busy(phase !== "idle");
  } catch (error) {
    showForm(false);
    say("error", words.no_script, words.no_script_next);
    console.error(error);
  }
}

/** The order was changed: the forms, the button and what is shown follow its total. */
function orderChanged() {
  const { free, amount, label } = order();
  at("free").hidden = free !== "yes" || order().open !== "yes";
  if (view.buyer) view.buyer.hidden = order().open !== "yes";
  if (phase === "idle") showForm(canPay());
  at("pay-card").hidden = !at("order").querySelector(".line");
  if (view.amount) view.amount.textContent = label;
  if (elements && Number(amount) > 0) elements.update({ amount: Number(amount) });
}

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target?.id === "order" || event.detail.elt?.id === "order") orderChanged();
});

view.button?.addEventListener("click", () => pay());
view.buyer?.addEventListener("submit", (event) => {
  if (event.submitter && "arrival" in event.submitter.dataset) return; // nothing is paid here
  const free = order().free === "yes";
  if (free) return; // "Complete the order" sends the form itself
  event.preventDefault();
  pay(); // Enter in the form pays
});

// "Change the order" asks for a cancellation and waits until it is certain.
document.addEventListener("submit", async (event) => {
  if (event.target.id !== "change-order" || !live) return;
  event.preventDefault();
  if (phase === "paying") return;
  phase = "following";
  showForm(false);
  say("warning", words.cancelling, words.certain);
  const button = event.target.querySelector("button");
  button.disabled = true;
  button.textContent = words.cancelling;
  try {
    await askUntilAnswered(live.cancel_url, { method: "POST", json: { cart: config.cart } }, lost);
    await follow(live);
  } catch (error) {
    button.disabled = false;
    stopped(error);
  }
});

// Back from the receipt, or from another site: ask what has become of it instead of showing old news.
window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });

/** The bank sent the person back here: Stripe's words in the address are a hint, the server knows. */
async function cameBack(status) {
  window.history.replaceState(null, "", config.page_url); // the address holds a client secret
  if (!live) return;
  say("busy", words.checking, words.do_not_pay_again);
  try {
    await askUntilAnswered(live.check_url, { method: "POST", json: { cart: config.cart } }, lost);
    const payment = await follow(live, { wasConfirmed: true, until: unchanged(status === "failed" ? 3000 : SETTLED_WITHIN) });
    if (phase !== "following") return;
    settleIn(payment);
    if (payment.state === "awaiting") say("warning", words.abandoned, words.try_another);
  } catch (error) {
    stopped(error);
  }
}

function begin() {
  if (at("save-buyer")) at("save-buyer").hidden = true; // Pay saves it
  const query = new URLSearchParams(window.location.search);
  if (view.form && config.publishable_key) setUpForms();
  if (query.has("payment_intent")) cameBack(query.get("redirect_status"));
  else if (live) settleIn(live);
}

begin();
