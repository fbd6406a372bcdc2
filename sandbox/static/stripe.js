// The sandbox's stand-in for Stripe.js: the same calls, frames and events that a checkout page uses.
// Like the real one it never sees a card number: what is typed stays in a frame of the sandbox's origin, which hands
// out a payment method's id. Nothing here needs inline styles or scripts, so a strict policy of the shop page holds.
(() => {
  "use strict";
  const ORIGIN = new URL(document.currentScript.src).origin;
  const failure = (message, type = "validation_error", code) => ({ error: { type, message, code } });

  // One frame and its conversation: calls with answers, events, and its own height.
  class Frame {
    constructor(name, title, init) {
      this.handlers = {};
      this.waiting = new Map();
      this.next = 1;
      this.ready = new Promise((resolve) => (this.opened = resolve));
      this.init = init;
      this.node = document.createElement("iframe");
      this.node.title = title;
      this.node.src = `${ORIGIN}${name}${name.includes("?") ? "&" : "?"}parent=${encodeURIComponent(location.origin)}`;
      Object.assign(this.node.style, { border: "0", width: "100%", display: "block", colorScheme: "normal" });
      this.listen = (event) => {
        if (event.origin !== ORIGIN || event.source !== this.node.contentWindow || !event.data?.sandbox) return;
        const { type, id, data } = event.data;
        if (type === "hello") { this.post("init", this.init()); this.opened(); }
        else if (type === "resize") { if (!this.full) this.node.style.height = `${data.height}px`; }
        else if (type === "reply") { this.waiting.get(id)?.(data); this.waiting.delete(id); }
        else this.handlers[type]?.(data);
      };
      window.addEventListener("message", this.listen);
    }
    post(type, data, id) {
      this.node.contentWindow?.postMessage({ sandbox: true, type, id, data }, ORIGIN);
    }
    on(type, handler) { this.handlers[type] = handler; return this; }
    async call(type, data) {
      await this.ready;
      const id = this.next++;
      return new Promise((resolve) => { this.waiting.set(id, resolve); this.post(type, data, id); });
    }
    overlay() {
      this.full = true;
      this.back = document.activeElement;
      Object.assign(this.node.style, { position: "fixed", inset: "0", width: "100%", height: "100%", zIndex: "2147483647" });
      document.body.append(this.node);
      this.node.focus();
      return this;
    }
    close() {
      window.removeEventListener("message", this.listen);
      this.node.remove();
      this.back?.focus?.();
    }
  }

  class Element {
    constructor(elements, kind, options) {
      this.elements = elements;
      this.kind = kind;
      this.options = options || {};
      this.listeners = {};
    }
    on(name, handler) { (this.listeners[name] ||= []).push(handler); return this; }
    once(name, handler) {
      const run = (event) => { this.off(name, run); handler(event); };
      return this.on(name, run);
    }
    off(name, handler) {
      this.listeners[name] = handler ? (this.listeners[name] || []).filter((known) => known !== handler) : [];
      return this;
    }
    emit(name, event) { for (const handler of [...(this.listeners[name] || [])]) handler({ elementType: this.kind, ...event }); }
    mount(target) {
      const node = typeof target === "string" ? document.querySelector(target) : target;
      if (!node) throw new Error(`Invalid value for elements: no node matches ${target}`);
      this.unmount();
      const page = this.kind === "payment" ? "payment" : "express";
      const title = page === "payment" ? "Secure payment input frame" : "Secure express checkout frame";
      this.frame = new Frame(`/_sandbox/elements/${page}`, title, () => this.elements.settings(this.options));
      this.frame
        .on("ready", (data) => this.emit("ready", data))
        .on("change", (data) => this.emit("change", data))
        .on("focus", () => this.emit("focus", {}))
        .on("blur", () => this.emit("blur", {}))
        .on("click", () => this.clicked());
      this.frame.node.addEventListener("error", () => this.emit("loaderror", failure("The frame did not load.", "api_error")));
      node.append(this.frame.node);
      return this;
    }
    update(options) {
      Object.assign(this.options, options);
      this.frame?.post("init", this.elements.settings(this.options));
      return this;
    }
    unmount() { this.frame?.close(); this.frame = null; return this; }
    destroy() { this.unmount(); this.listeners = {}; this.elements.forget(this); return this; }
    focus() { this.frame?.post("focus"); }
    blur() { this.frame?.node.blur(); }
    clear() { this.frame?.post("clear"); }
    collapse() { return this; }

    // Express: the button was pressed; the shop answers with resolve() and the sheet opens.
    clicked() {
      let answered = false;
      const resolve = (options = {}) => { if (!answered) { answered = true; this.openSheet(options); } };
      const reject = () => { answered = true; };
      if (!(this.listeners.click || []).length) return resolve();
      this.emit("click", { expressPaymentType: "test_wallet", resolve, reject });
      setTimeout(() => { if (!answered) { answered = true; console.warn("click was not resolved within a second"); } }, 1000);
    }
    openSheet(options) {
      this.sheet?.close();
      this.sheet = new Frame("/_sandbox/elements/wallet", "Test wallet", () => ({ ...this.elements.settings(this.options), options }))
        .on("cancel", () => { this.closeSheet(); this.emit("cancel", {}); })
        .on("paid", ({ paymentMethod, billingDetails }) => {
          this.elements.wallet = { element: this, paymentMethod };
          this.emit("confirm", {
            expressPaymentType: "test_wallet",
            billingDetails,
            paymentFailed: ({ message } = {}) => {
              this.elements.wallet = null;
              this.sheet?.post("failed", { message: message || "The payment failed. Choose another card." });
            },
          });
        })
        .overlay();
    }
    closeSheet() { this.sheet?.close(); this.sheet = null; this.elements.wallet = null; }
  }

  class Elements {
    constructor(stripe, options) {
      this.stripe = stripe;
      this.options = options || {};
      this.all = [];
      this.wallet = null;
    }
    create(kind, options) {
      if (!["payment", "expressCheckout"].includes(kind)) throw new Error(`The sandbox has no ${kind} element.`);
      if (this.getElement(kind)) throw new Error(`Can only create one Element of type ${kind}.`);
      const element = new Element(this, kind, options);
      this.all.push(element);
      return element;
    }
    getElement(kind) { return this.all.find((element) => element.kind === kind) || null; }
    forget(element) { this.all = this.all.filter((known) => known !== element); }
    settings(elementOptions) {
      const { mode, amount, currency, appearance } = this.options;
      return { key: this.stripe.key, mode, amount, currency, appearance, element: elementOptions };
    }
    update(options) {
      Object.assign(this.options, options);
      for (const element of this.all) element.update({});
    }
    async fetchUpdates() {
      if (!this.options.clientSecret) return {};
      const { error, paymentIntent } = await this.stripe.retrievePaymentIntent(this.options.clientSecret);
      if (error) return { error };
      this.update({ amount: paymentIntent.amount, currency: paymentIntent.currency });
      return {};
    }
    async submit() {
      if (this.wallet) return { selectedPaymentMethod: "test_wallet" };
      const payment = this.getElement("payment");
      if (!payment?.frame) return failure("Mount an element before submit().", "invalid_request_error");
      return payment.frame.call("submit");
    }
    // What pays: the wallet's choice if its sheet is open, else what the form holds.
    async method(billing) {
      if (this.wallet) return { paymentMethod: { id: this.wallet.paymentMethod } };
      const payment = this.getElement("payment");
      if (!payment?.frame) return failure("Mount an element before confirming.", "invalid_request_error");
      return payment.frame.call("pay", { billing });
    }
  }

  const flat = (params, prefix = "", into = new URLSearchParams()) => {
    for (const [name, value] of Object.entries(params || {})) {
      const path = prefix ? `${prefix}[${name}]` : name;
      if (value === undefined || value === null) continue;
      if (typeof value === "object") flat(value, path, into);
      else into.append(path, String(value));
    }
    return into;
  };

  class StripeClient {
    constructor(key, options) {
      if (!/^pk_test_/.test(key)) throw new Error("Please call Stripe() with your publishable key.");
      this.key = key;
      this.options = options || {};
    }
    elements(options) { return new Elements(this, options); }
    async request(method, path, params) {
      const body = flat(params);
      const url = `${ORIGIN}${path}${method === "GET" && body.size !== 0 ? `?${body}` : ""}`;
      try {
        const answer = await fetch(url, { method, headers: { Authorization: `Bearer ${this.key}` }, body: method === "GET" ? undefined : body });
        const json = await answer.json();
        return json.error ? { error: json.error } : { value: json };
      } catch {
        return failure("We are experiencing issues connecting to our payments provider. Please check your connection and try again.", "api_connection_error");
      }
    }
    async retrievePaymentIntent(clientSecret) {
      const { error, value } = await this.request("GET", `/v1/payment_intents/${intentId(clientSecret)}`, { client_secret: clientSecret });
      return error ? { error } : { paymentIntent: value };
    }
    async retrieveSetupIntent(clientSecret) {
      const { error, value } = await this.request("GET", `/v1/setup_intents/${intentId(clientSecret)}`, { client_secret: clientSecret });
      return error ? { error } : { setupIntent: value };
    }
    async createConfirmationToken({ elements, params } = {}) {
      const { error, paymentMethod } = await elements.method(params?.payment_method_data?.billing_details);
      if (error) return { error };
      const made = await this.request("POST", "/v1/confirmation_tokens", { payment_method: paymentMethod.id, return_url: params?.return_url, shipping: params?.shipping });
      return made.error ? { error: made.error } : { confirmationToken: made.value };
    }
    confirmPayment(given) { return this.confirm("payment_intent", "confirmPayment", given); }
    confirmSetup(given) { return this.confirm("setup_intent", "confirmSetup", given); }
    async confirm(kind, name, { elements, clientSecret, confirmParams = {}, redirect = "always" }) {
      const secret = clientSecret || elements?.options.clientSecret;
      if (!secret) return failure(`${name} needs a clientSecret.`, "invalid_request_error");
      if (redirect !== "if_required" && !confirmParams.return_url) return failure("return_url is required unless redirect is if_required.", "invalid_request_error");
      const { payment_method_data: data, ...rest } = confirmParams;
      const params = { ...rest, client_secret: secret, use_stripe_sdk: true };
      if (!params.confirmation_token && !params.payment_method) {
        if (!elements) return failure(`${name} needs elements.`, "invalid_request_error");
        const { error, paymentMethod } = await elements.method(data?.billing_details);
        if (error) return { error };
        params.payment_method = paymentMethod.id;
      }
      const { error, value } = await this.request("POST", `/v1/${kind}s/${intentId(secret)}/confirm`, params);
      if (error) return { error };
      return this.finish(kind, value, secret, redirect, confirmParams.return_url, elements);
    }
    async handleNextAction({ clientSecret }) {
      const kind = String(clientSecret).startsWith("seti_") ? "setup_intent" : "payment_intent";
      const { error, intent } = await this.read(kind, clientSecret);
      return error ? { error } : this.finish(kind, intent, clientSecret, "if_required");
    }
    async read(kind, secret) {
      const { error, paymentIntent, setupIntent } = await (kind === "setup_intent" ? this.retrieveSetupIntent(secret) : this.retrievePaymentIntent(secret));
      return error ? { error } : { intent: paymentIntent ?? setupIntent };
    }
    async finish(kind, intent, secret, redirect, returnUrl, elements) {
      let done = intent;
      if (intent.status === "requires_action") {
        if (intent.next_action.type === "redirect_to_url") { location.assign(intent.next_action.redirect_to_url.url); return new Promise(() => {}); }
        await authenticate(intent.id);
        const read = await this.read(kind, secret);
        if (read.error) return read;
        done = read.intent;
      }
      const failed = done.last_payment_error ?? done.last_setup_error;
      if (done.status === "requires_payment_method" && failed) return { error: { ...failed, [kind]: done } };
      elements?.wallet?.element.closeSheet();
      if (redirect !== "if_required") {
        const url = new URL(returnUrl);
        url.searchParams.set(kind, done.id);
        url.searchParams.set(`${kind}_client_secret`, secret);
        url.searchParams.set("redirect_status", ["succeeded", "requires_capture"].includes(done.status) ? "succeeded" : "failed");
        location.assign(url);
        return new Promise(() => {});
      }
      return kind === "setup_intent" ? { setupIntent: done } : { paymentIntent: done };
    }
  }

  const intentId = (secret) => String(secret).split("_secret_")[0];
  const authenticate = (id) => new Promise((resolve) => {
    const frame = new Frame(`/_sandbox/3ds/${encodeURIComponent(id)}?frame=1`, "3-D Secure authentication", () => ({}));
    frame.on("done", () => { frame.close(); resolve(); }).overlay();
  });

  window.Stripe = (key, options) => new StripeClient(key, options);
  window.Stripe.version = "sandbox";
})();
