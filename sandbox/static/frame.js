// Inside the sandbox's frames: talk to the shop page, and to the API with the publishable key. Only the origin that
// the frame was opened for is listened to.
"use strict";
const PARENT = new URLSearchParams(location.search).get("parent") || "";
const $ = (id) => document.getElementById(id);
const state = { key: "", settings: {} };

function tell(type, data, id) {
  if (window.parent !== window && PARENT) window.parent.postMessage({ sandbox: true, type, id, data }, PARENT);
}

// Run `handlers[type](data)` for each message of the shop page; what it returns is the reply.
function serve(handlers) {
  window.addEventListener("message", async (event) => {
    if (event.origin !== PARENT || event.source !== window.parent || !event.data?.sandbox) return;
    const { type, id, data } = event.data;
    if (type === "init") { state.settings = data; state.key = data.key; dress(data.appearance || {}); }
    const reply = await handlers[type]?.(data);
    if (id !== undefined) tell("reply", reply, id);
  });
  const size = () => tell("resize", { height: Math.ceil(document.body.getBoundingClientRect().height) });
  new ResizeObserver(size).observe(document.body);
  tell("hello");
}

// The shop's appearance: a theme, and the few variables that pages set.
function dress(appearance) {
  document.documentElement.dataset.theme = appearance.theme === "night" ? "night" : appearance.theme === "flat" ? "flat" : "stripe";
  const names = { colorPrimary: "--primary", colorBackground: "--field", colorText: "--text", colorDanger: "--danger", borderRadius: "--radius", fontFamily: "--font", fontSizeBase: "--size" };
  for (const [name, property] of Object.entries(names)) {
    const value = appearance.variables?.[name];
    if (value) document.documentElement.style.setProperty(property, value);
    else document.documentElement.style.removeProperty(property);
  }
}

async function createMethod(fields) {
  try {
    const answer = await fetch("/v1/payment_methods", { method: "POST", headers: { Authorization: `Bearer ${state.key}` }, body: new URLSearchParams(fields) });
    const json = await answer.json();
    return json.error ? { error: json.error } : { paymentMethod: json };
  } catch {
    return { error: { type: "api_connection_error", message: "The connection failed. Please try again." } };
  }
}

function money(settings) {
  if (!settings.amount || !settings.currency) return "";
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency: settings.currency });
  const digits = format.resolvedOptions().maximumFractionDigits;
  return format.format(settings.amount / 10 ** digits);
}
