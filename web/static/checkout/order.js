// Steppers and tips change the order in place: htmx sends the form and swaps #order with what comes back.

// A refusal is a page too: show it instead of dropping it.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status >= 400 && xhr.getResponseHeader("Content-Type")?.startsWith("text/html") && xhr.responseText.includes('id="order"')) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  } else if (!xhr.responseText.includes('id="order"') && xhr.status < 400 && ["order", "sale"].includes(event.detail.target?.id)) {
    // The order is gone from here: it was paid meanwhile. Its own address knows where.
    event.detail.shouldSwap = false;
    window.location.reload();
  }
});

// The button that was pressed may be gone or changed: keep the keyboard where it was.
let pressed = "";
document.addEventListener("htmx:beforeRequest", (event) => {
  pressed = document.activeElement?.id ?? "";
  event.detail.elt.closest("#order")?.setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:afterSettle", () => {
  if (pressed && document.activeElement?.id !== pressed) document.getElementById(pressed)?.focus();
  pressed = "";
});
document.addEventListener("htmx:sendError", (event) => {
  event.detail.elt.closest("#order")?.removeAttribute("aria-busy");
});
