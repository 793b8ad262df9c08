// Responders, how long staples would outlast a failure, and the shared store.

const SOONEST = 4;  // shown at once

function drawResponders(status) {
  const order = { failing: 0, unproven: 1, up: 2 };
  const used = new Map();
  for (const c of status.certificates) {
    for (const host of new Set(c.responders.map(hostOf))) used.set(host, (used.get(host) || 0) + 1);
  }
  const users = (host) => {
    const key = used.has(host) ? host : host.replace(/^(.*:.*):(\d+)$/, "[$1]:$2");
    const n = used.get(key) || 0;
    return n ? el("button", { type: "button", class: "link", "data-focus": `host-${host}`, "aria-label": `${plural(n, "certificate", "certificates")}: show`, onclick: () => filter("", key) }, count(n)) : "0";
  };
  const rows = [...status.responders].sort((a, b) => order[a.state] - order[b.state] || a.host.localeCompare(b.host, "en", { numeric: true })).map((r) => el("tr", {},
    el("td", {}, r.host),
    el("td", {}, el("span", { class: `state ${r.state}` }, { up: "answers", failing: "fails", unproven: "not asked yet" }[r.state]), r.failures ? el("small", {}, plural(r.failures, "failure", "failures")) : null),
    el("td", { class: r.state === "failing" ? null : "none" }, r.next_attempt ? coming(r.next_attempt) : r.state === "failing" ? "when a certificate is due" : "–"),
    el("td", { class: "number" }, users(r.host))));
  keepFocus(() => $("responders").tBodies[0].replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colspan: 4 }, "No certificate names a responder."))])));
}

// The runway, the most urgent first: what hangs on each part that may fail, and for how long nobody would notice. Parts
// on which no staple hangs are left out.
function drawRunway(status) {
  const all = (status.runway || []).filter(({ certificates, expires, at }) => certificates > 0 && (expires || at === "restart"));
  const whose = (kind, name) => ({ responder: `the responder ${name}`, issuer: `all responders of ${commonName(name)}`,
    resolver: name === "system" ? "the system’s resolver" : `the resolver ${name}`, proxy: `the proxy ${name}`, cache: `the cache directory ${name}` }[kind] || `${kind} ${name}`);
  const line = ({ kind, name, certificates: n, expires, at }) => el("li", {},
    kind === "issuer" ? `If ${whose(kind, name)} fail now, ` : kind === "cache" ? `If ${whose(kind, name)} is lost now, ` : `If ${whose(kind, name)} fails now, `,
    at === "restart" ? `${plural(n, "certificate is", "certificates are")} without a staple at the next restart, until responders answer.`
      : [n === 1 ? "its only certificate" : `the first of ${count(n)} certificates`, " is without a staple ", el("b", {}, coming(expires).replace("is due", "at once")), "."]);
  $("runway").hidden = !all.length;
  replace("runway-first", all.slice(0, SOONEST).map(line));
  replace("runway-rest", all.slice(SOONEST).map(line));
  $("runway-more").hidden = all.length <= SOONEST;
  say("runway-count", `${count(Math.max(0, all.length - SOONEST))} more`);
}

// One line: which store, its state, what came of it, and what was wrong with it last.
function drawShare(status) {
  const { share, fetches } = status;
  $("share").hidden = !share;
  if (!share) return replace("share");
  const [look, word] = { up: ["up", "connected"], read_only: ["pending", "read only"], down: ["failing", "cannot be used"] }[share.state] || ["unproven", "connecting"];
  const responses = share.hits + fetches.ok;
  const error = share.last_error;
  replace("share",
    el("b", {}, "Shared store "), share.place || "–", " ",
    el("span", { class: `state ${look}` }, word), share.since ? ` for ${span(now() - seconds(share.since))}` : "",
    el("small", {}, responses ? `${percent(share.hits, responses)} of ${plural(responses, "response", "responses")} came from it` : "no response came from it yet",
      share.latency_ms === null ? "" : ` · it answered within ${count(share.latency_ms)} ms`,
      error ? ` · last error: ${words(error.reason)}${error.detail ? ` – ${error.detail}` : ""} (${error.reason})` : ""));
}
