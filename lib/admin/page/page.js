// Draws the document and takes the user's input; the parts are in the other files, which embed.cmake puts before this.

function draw() {
  const { status } = view;
  replace("where", location.host);
  const refusing = drawRefused(status);
  drawSummary(status, refusing);
  drawFacts(status);
  drawControl();
  drawResponders(status);
  drawRunway(status);
  drawShare(status);
  replace("about", `ocsp_plus ${status.version} · zone ${status.zone.name} · times are relative to the server’s clock: ${when(status.now)}`);
  if (!view.shown) {
    view.shown = true;
    reveal(location.hash.slice(1));
  }
}

$("search").addEventListener("input", (event) => {
  view.search = event.target.value.trim().toLowerCase();
  view.rows = ROWS;
  if (view.status) drawTable();
});
$("unfilter").addEventListener("click", () => { filter(""); $("search").focus(); });
$("refresh").addEventListener("click", () => ask("all"));
$("more").addEventListener("click", () => { view.rows = Infinity; drawTable(); });
window.addEventListener("hashchange", () => { if (view.status) reveal(location.hash.slice(1)); });
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") refresh(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== $("search") && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $("search").focus();
  }
});
setInterval(drawFreshness, 1000);
refresh();
