// The table of certificates, with its filters.

const ROWS = 200;  // drawn at once
view.rows = ROWS;

const CHIPS = { "": "all", attention: "needs attention", ...WORDS };
const inState = (c, state) => !state || (state === "attention" ? needsAttention(c) : c.state === state);

function filter(state, search = "") {
  view.state = state;
  view.search = search;
  view.rows = ROWS;
  $("search").value = search;
  drawTable();
  $("certificates-title").scrollIntoView();
}

// A certificate's name as a link to its row, which it opens and shows whatever the filter.
function link(c) {
  return el("a", { href: `#${c.id}`, "data-focus": `link-${c.id}`, onclick: (event) => { event.preventDefault(); reveal(c.id); } }, fullName(c));
}
function reveal(id) {
  const all = view.status.certificates;
  const c = all.find((one) => one.id === id);
  if (!c) return;
  if (!found(c)) filter("");
  if (all.filter(found).indexOf(c) >= view.rows) view.rows = Infinity;
  view.open.add(id);
  history.replaceState(null, "", `#${id}`);
  drawTable();
  $(id).scrollIntoView({ block: "center" });
  $(id).querySelector(".name").focus({ preventScroll: true });
}

function drawTable() {
  keepFocus(() => {
    drawStates();
    drawFilter();
    drawCertificates();
  });
}

function drawStates() {
  const { certificates } = view.status;
  const button = (state) => {
    const n = certificates.filter((c) => inState(c, state)).length;
    return (n || !state || view.state === state) && el("button", {
      type: "button", "data-focus": `state-${state}`, "aria-pressed": String(view.state === state),
      onclick: () => { view.state = view.state === state ? "" : state; view.rows = ROWS; drawTable(); },
    }, `${CHIPS[state]} ${count(n)}`);
  };
  replace("states", ["", "attention", ...STATES].map(button).filter(Boolean));
}

// Says that not everything is shown: by the address, or by a chip or the search.
function drawFilter() {
  const asked = [...new URLSearchParams(location.search)].filter(([name]) => ["state", "id", "server", "limit", "after", "loaded"].includes(name));
  $("narrowed").hidden = !asked.length;
  const plain = new URLSearchParams(location.search);
  for (const [name] of asked) plain.delete(name);
  replace("narrowed", `This page’s address shows some certificates only: ${asked.map(([name, value]) => `${name}=${visible(value)}`).join(", ")}. `,
    el("a", { href: `${location.pathname}${plain.size ? `?${plain}` : ""}`, "data-focus": "narrowed" }, "Show all"));
  const on = [view.state && CHIPS[view.state], view.search && `“${view.search}”`].filter(Boolean);
  $("filter").hidden = !on.length;
  const { certificates } = view.status;
  say("filter-text", on.length ? `Filtered by ${on.join(" and ")}: ${count(certificates.filter(found).length)} of ${plural(certificates.length, "certificate", "certificates")}. ` : "");
}

function found(c) {
  if (!inState(c, view.state)) return false;
  if (!view.search) return true;
  const text = [c.subject, c.issuer, c.serial, c.id, c.key || "", ...c.names, ...c.servers, ...c.responders, ...c.responders.map(hostOf),
    c.reason ? `${c.reason} ${words(c.reason)}` : "", c.last_attempt ? `${c.last_attempt.result} ${words(c.last_attempt.result)}` : ""].join("\n").toLowerCase();
  return view.search.split(/\s+/).every((word) => text.includes(word));
}

function drawCertificates() {
  const all = view.status.certificates.filter(found);
  const shown = all.slice(0, view.rows);
  $("certificates").tBodies[0].replaceChildren(...shown.flatMap((c) => (view.open.has(c.id) ? [row(c), detail(c)] : [row(c)])));
  const nothing = $("nothing");
  nothing.hidden = all.length > 0;
  nothing.textContent = view.status.certificates.length ? "No certificate matches." : "No server has “ocsp_plus on” and a certificate.";
  const more = $("more");
  more.hidden = all.length <= shown.length;
  more.textContent = `Show all ${count(all.length)}`;
}

function row(c) {
  const open = view.open.has(c.id);
  const toggle = () => { open ? view.open.delete(c.id) : view.open.add(c.id); drawTable(); };
  const others = c.names.length > 1 ? `and ${plural(c.names.length - 1, "more name", "more names")}` : "";
  return el("tr", { id: c.id },
    el("td", {}, el("span", { class: `state ${mendable(c) ? "pending" : c.state}` }, stateOf(c))),
    el("td", {}, el("button", { type: "button", class: "name", "data-focus": c.id, "aria-expanded": String(open), onclick: toggle }, nameOf(c)),
      [c.mark, isCa(c) && "CA", c.must_staple && "Must-Staple", c.required && "required"].filter(Boolean).flatMap((tag) => [" ", el("span", { class: "tag" }, tag)]),
      ending(c),
      el("small", {}, [others, c.servers.filter((server) => server !== nameOf(c)).slice(0, 2).join(", ")].filter(Boolean).join(" · "))),
    el("td", {}, validity(c)),
    el("td", {}, attempt(c)),
    el("td", { class: "number" }, count(c.stapled)));
}

// Warns of the end of the certificate itself, not of its staple.
function ending(c) {
  const left = endsIn(c);
  return left === null ? [] : [" ", el("span", { class: "tag bad" }, left > 0 ? `certificate ends in ${span(left)}` : "certificate has ended")];
}

function attempt(c) {
  const last = c.last_attempt;
  const next = c.next_attempt ? `next ${coming(c.next_attempt)}` : "";
  if (c.state === "ended") return ["nobody is asked"];
  if (withoutOcsp(c)) return [];
  if (!last) return [c.state === "unsupported" ? "–" : "not tried yet", el("small", {}, next)];
  const fine = answered(c);
  const times = !fine && c.failures > 1 ? `, ${c.failures} times in a row` : "";
  return [el("span", { class: fine ? null : "bad" }, words(last.result)), " ", stamp(last.at), el("small", {}, next + times)];
}

// Draws the validity: this update, the refresh window (40 to 50 % of it), the next attempt, now, the end.
function validity(c) {
  if (!c.this_update) return withoutOcsp(c) ? [el("span", { class: "quiet" }, "none, and none is expected")] : [el("span", { class: "bad" }, "nothing to staple")];
  const from = seconds(c.this_update), to = seconds(c.expires), at = now();
  const last = Math.max(to, Math.min(at, to + (to - from)));
  const x = (time) => Math.max(0, Math.min(300, (300 * (time - from)) / Math.max(1, last - from)));
  const ended = at >= to || c.state === "revoked";
  const passed = Math.round((100 * (at - from)) / Math.max(1, to - from));
  const svg = shape("svg", { viewBox: "0 0 300 18", preserveAspectRatio: "none", role: "img",
    "aria-label": `valid from ${when(c.this_update)} to ${when(c.expires)}; ${passed} % of it has passed` });
  svg.append(shape("rect", { class: ended ? "ended" : "span", x: 0, y: 5, width: x(to), height: 8, rx: 1 }));
  const whole = Math.min(to - from, 7 * 86400);
  if (!ended) svg.append(shape("rect", { class: "window", x: x(from + 0.4 * whole), y: 5, width: Math.max(1, x(from + 0.5 * whole) - x(from + 0.4 * whole)), height: 8 }));
  const next = seconds(c.next_attempt);
  if (next && next >= from && next <= last) svg.append(shape("path", { class: "next", d: `M${x(next) - 2.5} 0h5l-2.5 4.5z` }));
  svg.append(shape("line", { class: "now", x1: x(at), x2: x(at), y1: 2, y2: 16, "vector-effect": "non-scaling-stroke" }));
  const end = el("b", { class: ended ? "bad" : null }, at >= to ? `ended ${span(at - to)} ago` : `ends in ${span(to - at)}`);
  return [svg, el("div", { class: "times" }, stamp(c.this_update), el("span", { title: when(c.expires) }, end))];
}

function detail(c) {
  const list = el("dl", {});
  const add = (name, value, mono) => { if (value) list.append(el("dt", {}, name), el("dd", { class: mono ? "mono" : null }, value)); };
  add("Names", c.names.join(", "));
  add("Subject", c.subject);
  add("Issuer", c.issuer);
  add("Key", c.key);
  add("Servers", c.servers.join(", "));
  add("Certificate ends", `${when(c.not_after)} (${relative(c.not_after)})`);
  add("Responders", c.responders.join(", ") || "none");
  if (c.this_update) {
    add("Response", `${c.cert_status}, from ${{ network: "a responder", cache: "the cache directory", file: "a file", shared: "another machine" }[c.source] || c.source}`);
    add("Confirmed", `${when(c.confirmed_at)} (${span(c.status_age)} ago)`);
    if (c.refresh) add("Asked again", `after ${span(c.refresh)} at the latest`);
    add("This update", when(c.this_update));
    add("Next update", c.next_update ? when(c.next_update) : "not given");
    add("Stapled until", when(c.expires));
  }
  if (c.reason) {
    add("No staple", obstacle(c)[1]);
    add("Reason", c.reason, true);
  }
  if (c.last_attempt) {
    add("Last attempt", `${when(c.last_attempt.at)}: ${words(c.last_attempt.result)}${c.last_attempt.detail ? ` – ${c.last_attempt.detail}` : ""}${c.last_attempt.responder ? ` (${c.last_attempt.responder})` : ""}`);
    if (!c.reason) add("Reason", c.last_attempt.result, true);
  }
  if (c.next_attempt) add("Next attempt", `${when(c.next_attempt)} (${relative(c.next_attempt)})`);
  add("Serial", c.serial, true);
  add("Id", c.id, true);
  return el("tr", { class: "detail" }, el("td", { colspan: 5 }, list, refreshOne(c)));
}
