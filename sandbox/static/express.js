// The express element: one clearly labelled test wallet button.
"use strict";
let announced = false;
$("wallet").addEventListener("click", () => tell("click"));
serve({
  init: () => {
    if (announced) return;
    announced = true;
    tell("ready", { availablePaymentMethods: { applePay: false, googlePay: false, link: false, testWallet: true } });
  },
});
