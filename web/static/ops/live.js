// Keeps parts of the page fresh: often while it is looked at, seldom in the background, and says when answers stay out.

const LATE_AFTER = 3; // answers missed in a row

for (const part of document.querySelectorAll("[data-live]")) keepFresh(part);

function keepFresh(part) {
  const every = Number(part.dataset.live) * 1000;
  const everyHidden = Number(part.dataset.liveHidden) * 1000;
  let missed = 0;
  let asking = false;
  let timer = 0;

  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, document.hidden ? everyHidden : every);
  };
  const ask = () => {
    // Whoever selects text or works with the keyboard in here is not disturbed.
    const selection = document.getSelection();
    const isBusy = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    if (!asking && !isBusy) {
      asking = true;
      part.dispatchEvent(new CustomEvent("refresh"));
    }
    again();
  };
  part.addEventListener("htmx:afterRequest", (event) => {
    if (event.target !== part) return;
    asking = false;
    missed = event.detail.successful ? 0 : missed + 1;
    const late = document.getElementById(part.dataset.late ?? "");
    if (late) late.hidden = missed < LATE_AFTER;
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? again() : ask()));
  again();
}
