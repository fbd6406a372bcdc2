// 3-D Secure inside a frame: say what the customer chose, then tell the shop page that it is over.
"use strict";
if (new URLSearchParams(location.search).get("frame")) {
  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      for (const button of document.querySelectorAll("button")) button.disabled = true;
      await fetch(form.dataset.control, { method: "POST", body: JSON.stringify({ outcome: form.elements.outcome.value }) });
      tell("done", {});
    });
  }
  serve({});
}
