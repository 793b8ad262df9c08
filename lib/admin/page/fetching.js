// Fetches the document from the page's own address.

const REFRESH = 10000;  // ms; longer if there is a lot to fetch
const PAGE = 1000;      // certificates in one request
const JUST = 60000;     // ms: so long refused handshakes count as a thing of now

const view = {
  status: null, fetched: 0, ahead: 0, failed: null,
  refusals: null,  // refused handshakes between two documents: number, ms between them, and when
  state: "", search: "", open: new Set(), rows: 0,
};

async function fetchStatus() {
  const query = new URLSearchParams(location.search);
  query.set("format", "json");
  if (!query.has("limit")) query.set("limit", PAGE);
  let status = null;
  const certificates = [];
  for (;;) {
    const answer = await fetch(`${location.pathname}?${query}`, { cache: "no-store", headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const page = JSON.parse(await answer.text(), (key, value) => (typeof value === "string" ? visible(value) : value));
    certificates.push(...page.certificates);
    status = status || page;
    status.ended_early = status.ended_early || page.ended_early;
    if (!page.next || new URLSearchParams(location.search).has("limit")) break;
    query.set("after", page.next);
  }
  status.certificates = certificates;
  return status;
}

function take(status) {
  const refused = view.status ? status.handshakes.refused - view.status.handshakes.refused : 0;
  if (refused > 0) view.refusals = { refused, within: Date.now() - view.fetched, at: Date.now() };
  view.ahead = seconds(status.now) - Date.now() / 1000;
  view.status = status;
  view.fetched = Date.now();
  view.failed = null;
  status.certificates.sort(byUrgency);
  markTwins(status.certificates);
}

async function refresh() {
  try {
    take(await fetchStatus());
    draw();
  } catch (error) {
    view.failed = error instanceof TypeError ? "the server cannot be reached" : error.message;
  }
  drawFreshness();
  schedule();
}
let timer = 0;
function schedule(after = REFRESH) {
  clearTimeout(timer);
  const many = view.status ? view.status.certificates.length / PAGE : 0;
  if (document.visibilityState !== "hidden") timer = setTimeout(refresh, after * Math.max(1, many));
}

function drawFreshness() {
  const age = view.fetched ? Math.round((Date.now() - view.fetched) / 1000) : null;
  const old = view.failed !== null;
  document.body.classList.toggle("old", old);
  $("fresh").textContent = age === null ? "" : old ? "" : age < 3 ? "up to date" : `${span(age)} old`;
  const banner = $("stale");
  if (banner.hidden === old) banner.hidden = !old;
  if (!old) return;
  const text = age === null ? "Nothing can be shown. " : `What you see is ${span(age)} old. `;
  const reason = `The status cannot be fetched: ${view.failed}. Trying again every ${span(REFRESH / 1000)}.`;
  if (banner.textContent !== text + reason) banner.replaceChildren(el("strong", {}, text), reason);
}
