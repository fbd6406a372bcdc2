// Stripe's script and its two forms: wallets on top, the card form under them, in the colours of the page.

const LOAD_WITHIN = 20000;

/** Load Stripe.js from the address that the page gives, once. */
export function loadStripe(url, publishableKey, locale) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const late = setTimeout(() => reject(new Error("Stripe.js is late")), LOAD_WITHIN);
    script.src = url;
    script.onload = () => {
      clearTimeout(late);
      if (window.Stripe) resolve(window.Stripe(publishableKey, { locale }));
      else reject(new Error("Stripe.js is not there"));
    };
    script.onerror = () => {
      clearTimeout(late);
      reject(new Error("Stripe.js did not load"));
    };
    document.head.append(script);
  });
}

/** Describe the page's own look to Stripe's forms. */
export function appearance() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const isDark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    theme: isDark ? "night" : "stripe",
    variables: {
      colorPrimary: color("--brand-text"), colorBackground: color("--surface"), colorText: color("--text"),
      colorTextSecondary: color("--muted"), colorDanger: color("--danger-text"),
      fontFamily: getComputedStyle(document.body).fontFamily, borderRadius: "8px", spacingUnit: "4px",
    },
  };
}

/** Mount both forms; resolves when the card form can be used. Wallets may come later, or not at all. */
export function mountForms(stripe, { amount, currency, express, or, card, onWallet, onWalletClick }) {
  const elements = stripe.elements({ mode: "payment", amount, currency, appearance: appearance() });
  const wallets = elements.create("expressCheckout", { buttonHeight: 48 });
  wallets.on("ready", ({ availablePaymentMethods }) => { or.hidden = !availablePaymentMethods; });
  wallets.on("click", onWalletClick);
  wallets.on("confirm", onWallet);
  wallets.mount(express);
  const form = elements.create("payment", { layout: "tabs" });
  return new Promise((resolve, reject) => {
    form.on("ready", () => resolve(elements));
    form.on("loaderror", ({ error }) => reject(new Error(error?.message ?? "the card form did not load")));
    card.replaceChildren();
    form.mount(card);
  });
}
