// The wallet's sheet: choose a test card, confirm, and wait for what the shop's server makes of it.
"use strict";
const form = $("sheet"), note = $("note"), confirmButton = $("confirm");
function busy(on) {
  confirmButton.disabled = on;
  $("cancel").disabled = on;
  confirmButton.textContent = on ? "Processing…" : `Pay ${money(state.settings)}`.trim();
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  note.textContent = "";
  busy(true);
  const { error, paymentMethod } = await createMethod({
    type: "card", "card[token]": new FormData(form).get("card"), "billing_details[name]": "Test Customer",
    "billing_details[email]": "customer@example.com", "billing_details[address][country]": "US", "billing_details[address][postal_code]": "94107",
  });
  if (error) { note.textContent = error.message; busy(false); return; }
  tell("paid", { paymentMethod: paymentMethod.id, billingDetails: paymentMethod.billing_details });
});
$("cancel").addEventListener("click", () => tell("cancel"));
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !confirmButton.disabled) tell("cancel"); });
serve({
  init: () => { busy(false); form.querySelector("input").focus(); },
  failed: ({ message }) => { note.textContent = message; busy(false); confirmButton.focus(); },
});
