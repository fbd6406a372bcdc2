// What every page shares. Pages work without it: it adds busy buttons, dialogs, toasts and focus on errors.

// A form marked data-once is sent once: a second click finds the button busy.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.hasAttribute("data-once") || event.defaultPrevented) return;
  if (form.dataset.sent === "yes") {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  busy(event.submitter ?? form.querySelector("[type=submit]"), true);
});

// Back and forward show the page as it was left: its buttons must work again.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("[aria-busy=true]")) busy(button, false);
});

// The same for a form that htmx sends: free again when the answer is there.
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target instanceof Element ? event.target.closest("form") : null;
  if (!form) return;
  delete form.dataset.sent;
  for (const button of form.querySelectorAll("[aria-busy=true]")) busy(button, false);
});

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const opener = target?.closest("[data-dialog]");
  if (opener) {
    const dialog = document.getElementById(opener.getAttribute("data-dialog"));
    if (dialog instanceof HTMLDialogElement) {
      event.preventDefault();
      dialog.showModal();
    }
    return;
  }
  const copier = target?.closest("[data-copy]");
  if (copier) {
    const source = document.getElementById(copier.getAttribute("data-copy"));
    const text = source instanceof HTMLInputElement ? source.value : (source?.textContent ?? "");
    navigator.clipboard?.writeText(text.trim()).then(() => toast(copier.getAttribute("data-copied") ?? "✓"));
    return;
  }
  const closer = target?.closest("[data-close]");
  if (closer) {
    event.preventDefault();
    closer.closest("dialog")?.close();
  }
});

/** Mark a button as busy, or free it again. It keeps its place, its words and its focus. */
export function busy(button, isBusy) {
  if (!button) return;
  if (isBusy) button.setAttribute("aria-busy", "true");
  else button.removeAttribute("aria-busy");
}

/** Say something for a few seconds; screen readers hear it politely. */
export function toast(text, milliseconds = 5000) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const block = document.createElement("div");
  block.className = "toast";
  block.textContent = text;
  place.append(block);
  setTimeout(() => block.remove(), milliseconds);
}

// A page that came back with errors starts at them.
document.querySelector(".error-summary")?.focus();
