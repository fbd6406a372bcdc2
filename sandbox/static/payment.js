// The payment element's form: formats while typing, checks on leaving a field, and makes a payment method on request.
"use strict";
const number = $("number"), expiry = $("expiry"), cvc = $("cvc"), country = $("country"), postal = $("postal");
const digits = (text) => text.replace(/\D/g, "");
const luhn = (text) => [...text].reverse().reduce((sum, digit, at) => {
  const value = Number(digit) * (at % 2 ? 2 : 1);
  return sum + (value > 9 ? value - 9 : value);
}, 0) % 10 === 0;
const isAmex = () => /^3[47]/.test(digits(number.value));

const checks = {
  number: () => { const text = digits(number.value); return !text ? "Your card number is incomplete." : text.length < (isAmex() ? 15 : 14) ? "Your card number is incomplete." : luhn(text) ? "" : "Your card number is invalid."; },
  expiry: () => {
    const text = digits(expiry.value);
    if (text.length < 4) return "Your card's expiration date is incomplete.";
    const month = Number(text.slice(0, 2)), year = 2000 + Number(text.slice(2)), now = new Date();
    if (month < 1 || month > 12) return "Your card's expiration date is invalid.";
    return year < now.getFullYear() || (year === now.getFullYear() && month < now.getMonth() + 1) ? "Your card's expiration year is in the past." : "";
  },
  cvc: () => (digits(cvc.value).length < (isAmex() ? 4 : 3) ? "Your card's security code is incomplete." : ""),
  postal: () => (country.value === "US" && digits(postal.value).length < 5 ? "Your ZIP is incomplete." : ""),
};

function show(name, message) {
  const field = $(name);
  field.setAttribute("aria-invalid", message ? "true" : "false");
  $(`${name}-error`).textContent = message;
}

function validate() {
  let first = "";
  for (const name of Object.keys(checks)) {
    const message = checks[name]();
    show(name, message);
    if (message && !first) { first = message; $(name).focus(); }
  }
  return first ? { error: { type: "validation_error", code: "incomplete_payment_details", message: first } } : { selectedPaymentMethod: "card" };
}

// Reformat and keep the caret behind the same digit.
function reformat(field, format, limit) {
  const before = digits(field.value.slice(0, field.selectionStart)).length;
  field.value = format(digits(field.value).slice(0, limit));
  let caret = 0;
  for (let seen = 0; caret < field.value.length && seen < before; caret++) if (/\d/.test(field.value[caret])) seen++;
  if (caret === field.value.length - 3 && field === expiry && before === 2) caret = field.value.length;
  field.setSelectionRange(caret, caret);
}
const group = (text) => (/^3[47]/.test(text) ? text.replace(/^(\d{4})(\d{1,6})?(\d{1,5})?$/, (_, a, b, c) => [a, b, c].filter(Boolean).join(" ")) : text.replace(/(\d{4})(?=\d)/g, "$1 "));
const month = (text) => (text.length > 2 ? `${text.slice(0, 2)} / ${text.slice(2)}` : text);

number.addEventListener("input", () => {
  reformat(number, group, isAmex() ? 15 : 19);
  $("brand").textContent = { 3: isAmex() ? "Amex" : "", 4: "Visa", 5: "Mastercard", 6: "Discover" }[number.value[0]] || "";
});
expiry.addEventListener("input", (event) => {
  if (/^[2-9]$/.test(expiry.value)) expiry.value = `0${expiry.value}`;
  reformat(expiry, event.inputType?.startsWith("delete") ? month : (text) => (text.length === 2 ? `${text} / ` : month(text)), 4);
  if (digits(expiry.value).length === 2 && !event.inputType?.startsWith("delete")) expiry.setSelectionRange(expiry.value.length, expiry.value.length);
});
cvc.addEventListener("input", () => reformat(cvc, (text) => text, 4));
country.addEventListener("change", () => {
  $("postal-label").textContent = country.value === "US" ? "ZIP" : "Postal code";
  postal.inputMode = country.value === "US" ? "numeric" : "text";
  show("postal", "");
});
for (const name of Object.keys(checks)) {
  $(name).addEventListener("blur", () => { if ($(name).value) show(name, checks[name]()); tell("blur"); });
  $(name).addEventListener("focus", () => tell("focus"));
  $(name).addEventListener("input", () => { if (!checks[name]()) show(name, ""); });
}
document.addEventListener("input", () => {
  const complete = Object.values(checks).every((check) => !check());
  tell("change", { complete, empty: !number.value && !expiry.value && !cvc.value, collapsed: false, value: { type: "card" } });
});

async function pay({ billing } = {}) {
  const checked = validate();
  if (checked.error) return checked;
  const when = digits(expiry.value);
  const fields = {
    type: "card", "card[number]": digits(number.value), "card[exp_month]": String(Number(when.slice(0, 2))),
    "card[exp_year]": `20${when.slice(2)}`, "card[cvc]": digits(cvc.value),
    "billing_details[address][country]": country.value, "billing_details[address][postal_code]": postal.value,
  };
  for (const name of ["name", "email", "phone"]) if (billing?.[name]) fields[`billing_details[${name}]`] = billing[name];
  const made = await createMethod(fields);
  const at = { number: "number", exp_month: "expiry", exp_year: "expiry", cvc: "cvc" }[made.error?.param];
  if (at) show(at, made.error.message);
  return made;
}

let announced = false;
serve({
  init: () => { if (!announced) { announced = true; tell("ready", {}); } },
  submit: validate,
  pay,
  focus: () => number.focus(),
  clear: () => { for (const name of Object.keys(checks)) { $(name).value = ""; show(name, ""); } },
});
