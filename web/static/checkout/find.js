// Finding while typing: a field with data-find asks its address and swaps the part that it controls.
// Without this, Enter sends the form, which finds the same.

const AFTER = 140; // milliseconds without a key: a scanner is faster and ends with Enter

/** Fetch a page or a part of one; an answer older than what was typed since is dropped. */
export function finder(field) {
  let timer = 0;
  let asked = null;
  const look = async () => {
    const url = new URL(field.dataset.find, window.location.href);
    url.searchParams.set("find", field.value.trim());
    asked?.abort();
    asked = new AbortController();
    try {
      const response = await fetch(url, { signal: asked.signal, credentials: "same-origin", headers: { "HX-Request": "true" } });
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const id = field.getAttribute("aria-controls");
      const found = page.getElementById(id);
      if (found) document.getElementById(id)?.replaceWith(document.adoptNode(found));
    } catch { /* typed on, or the connection is gone: Enter says so */ }
  };
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, AFTER); });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    const first = choices(field)[0];
    if (!first) return;
    event.preventDefault();
    first.focus();
  });
  return { stop: () => { clearTimeout(timer); asked?.abort(); }, look };
}

const choices = (field) => [...(document.getElementById(field.getAttribute("aria-controls"))?.querySelectorAll("button, a.button") ?? [])];

/** Arrow keys go through what was found, by where things stand on the screen; Up from the first row leads back. */
document.addEventListener("keydown", (event) => {
  if (!["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const here = document.activeElement;
  const field = [...document.querySelectorAll("[data-find]")].find((one) => choices(one).includes(here));
  if (!field) return;
  event.preventDefault();
  const all = choices(field);
  const { left, top } = here.getBoundingClientRect();
  const index = all.indexOf(here);
  let next = null;
  if (event.key === "ArrowRight") next = all[index + 1];
  else if (event.key === "ArrowLeft") next = all[index - 1] ?? field;
  else {
    const down = event.key === "ArrowDown";
    const rows = all.map((one) => ({ one, box: one.getBoundingClientRect() }))
      .filter(({ box }) => (down ? box.top > top + 1 : box.top < top - 1))
      .sort((a, b) => (down ? a.box.top - b.box.top : b.box.top - a.box.top) || Math.abs(a.box.left - left) - Math.abs(b.box.left - left));
    next = rows[0]?.one ?? (down ? null : field);
  }
  next?.focus();
});

if (!document.querySelector("[data-add]")) document.querySelectorAll("[data-find]").forEach(finder); // the till does it itself
