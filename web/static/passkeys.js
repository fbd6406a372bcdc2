// Asks the device for a passkey and sends what it says with the form around the button.

const data = JSON.parse(document.getElementById("passkey-data")?.textContent ?? "null");

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(form);
  });
}

async function ask(form) {
  const problem = form.querySelector("#passkey-problem");
  const device = window.webauthnJSON;
  problem.hidden = true;
  if (!data || !device || !window.PublicKeyCredential) {
    show(problem, problem.dataset.unsupported);
    return;
  }
  const button = form.querySelector("[type=submit]");
  button.setAttribute("aria-busy", "true");
  try {
    const said =
      form.dataset.passkey === "create" ? await device.create(data.creation_options) : await device.get(data.request_options);
    form.elements.credential.value = JSON.stringify(said);
    form.submit(); // past the listener above
  } catch {
    button.removeAttribute("aria-busy");
    show(problem, problem.dataset.failed);
  }
}

function show(problem, text) {
  problem.textContent = text;
  problem.hidden = false;
}
