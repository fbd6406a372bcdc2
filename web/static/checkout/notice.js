// A notice as the templates draw it (components/notice.html): what happened, and what to do next.

/** Build one; `kind` is info, success, warning, error, or busy while something is under way. */
export function notice(kind, title, next, iconsUrl) {
  const block = document.createElement("div");
  block.className = `notice notice-${kind}`;
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("class", "icon");
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `${iconsUrl}#${kind === "busy" ? "clock" : kind}`);
  icon.append(use);
  block.append(icon);
  for (const [name, text] of [["notice-title", title], ["notice-next", next]]) {
    if (!text) continue;
    const line = document.createElement("p");
    line.className = name;
    line.textContent = text;
    block.append(line);
  }
  return block;
}
