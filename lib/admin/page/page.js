
"use strict";
// Fetches the status as JSON from the page's own URL and draws it. Untrusted text is inserted as text nodes only.
(() => {
  const REFRESH = 10000;      // ms; longer if there is a lot to fetch
  const PAGE = 1000;          // certificates in one request
  const ROWS = 200;           // drawn at once
  const ENDING = 14 * 86400;  // s: a certificate that ends sooner is highlighted
  const STATES = ["revoked", "expired", "pending", "valid", "ended", "unsupported"];
  const WORDS = { revoked: "revoked", expired: "expired", pending: "no response yet", valid: "valid", unsupported: "no responder", ended: "certificate expired" };
  const SVG = "http://www.w3.org/2000/svg";

  const $ = (id) => document.getElementById(id);
  const view = { status: null, fetched: 0, ahead: 0, failed: null, state: "", search: "", open: new Set(), rows: ROWS };

  // Creates an element; children are nodes or text.
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }
  function shape(tag, attributes) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }
  const replace = (id, ...children) => $(id).replaceChildren(...children);

  // Escapes unsafe characters of certificates and responders, as lib/base/printable.h does.
  const code = (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`;
  const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, code);

  const seconds = (time) => (time ? Date.parse(time) / 1000 : null);
  const now = () => Date.now() / 1000 + view.ahead;
  const count = (n) => Number(n).toLocaleString("en").replace(/,/g, "\u202f");
  const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;

  // "3 d 4 h", "12 min", "45 s"
  function span(s) {
    s = Math.max(0, Math.round(Math.abs(s)));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    const h = Math.floor(s / 3600);
    if (h < 24) return `${h} h ${Math.floor((s % 3600) / 60)} min`;
    return h < 240 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${Math.floor(h / 24)} d`;
  }
  function relative(time) {
    if (!time) return "";
    const apart = seconds(time) - now();
    return apart > 0 ? `in ${span(apart)}` : `${span(apart)} ago`;
  }
  const coming = (time) => (seconds(time) > now() ? relative(time) : "is due");
  const when = (time) => (time ? time.replace("T", " ").replace("Z", " UTC") : "–");
  const stamp = (time, prefix = "") => el("time", { datetime: time, title: when(time) }, prefix + relative(time));
  // Never 100 % of what is not all, nor 0 % of what is something.
  const percent = (n, all) => `${n === all ? 100 : n === 0 ? 0 : Math.min(99.9, Math.max(0.1, (100 * n) / all)).toFixed(1)} %`;
  const bytes = (n) => (n < 1 << 20 ? `${Math.round(n / 1024)} kB` : `${(n / (1 << 20)).toFixed(n < 10 << 20 ? 1 : 0)} MB`);

  // --- what is urgent ---

  const nameOf = (c) => c.names[0] || c.subject || c.id.slice(0, 16);
  const isCa = (c) => c.role === "ca";
  const needs = (c) => c.required || (c.must_staple && !isCa(c));
  function urgency(c) {
    if (c.state === "revoked") return [0, 0];
    if (c.state === "expired" || c.state === "pending") return [needs(c) ? 1 : 2, c.expires_in || 0];
    if (c.state === "unsupported") return [needs(c) ? 1 : 5, 0];
    if (c.state === "ended") return [6, 0];
    return [c.failures > 0 ? 3 : 4, c.expires_in];
  }
  function byUrgency(a, b) {
    const [x, y] = [urgency(a), urgency(b)];
    return x[0] - y[0] || x[1] - y[1] || nameOf(a).localeCompare(nameOf(b), "en", { numeric: true });
  }

  // --- fetching ---

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
    status.certificates = certificates.sort(byUrgency);
    return status;
  }

  async function refresh() {
    try {
      const status = await fetchStatus();
      view.ahead = seconds(status.now) - Date.now() / 1000;
      view.status = status;
      view.fetched = Date.now();
      view.failed = null;
      draw();
    } catch (error) {
      view.failed = error instanceof TypeError ? "the server cannot be reached" : error.message;
    }
    drawFreshness();
    schedule();
  }
  let timer = 0;
  function schedule() {
    clearTimeout(timer);
    const many = view.status ? view.status.certificates.length / PAGE : 0;
    if (document.visibilityState !== "hidden") timer = setTimeout(refresh, REFRESH * Math.max(1, many));
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

  // --- drawing ---

  function draw() {
    const { status } = view;
    replace("where", location.host);
    drawSummary(status);
    drawFacts(status);
    drawStates(status);
    drawCertificates();
    drawResponders(status);
    drawShare(status);
    replace("about", `ocsp_plus ${status.version} · zone ${status.zone.name} · times are relative to the server's clock: ${when(status.now)}`);
  }

  function drawSummary(status) {
    const all = status.certificates;
    const can = all.filter((c) => c.state !== "unsupported" && c.state !== "ended");
    const stapled = can.filter((c) => c.state === "valid");
    const revoked = can.filter((c) => c.state === "revoked");
    const lacking = can.filter((c) => c.state === "expired" || c.state === "pending");
    const none = all.filter((c) => c.state === "unsupported").length;
    const expired = all.filter((c) => c.state === "ended");
    const summary = $("summary");
    const good = lacking.length + revoked.length === 0;
    const urgent = revoked.length || lacking.some(needs) || lacking.some((c) => c.state === "expired");
    summary.className = !can.length ? "" : good ? "good" : urgent ? "bad" : "wait";
    let text = "No certificate can be stapled";
    if (can.length) {
      text = good ? (can.length === 1 ? "The certificate is stapled" : `All ${count(can.length)} certificates are stapled`)
        : `${count(stapled.length)} of ${plural(can.length, "certificate is", "certificates are")} stapled with a good response`;
    }
    if (summary.textContent !== text) summary.textContent = text;
    document.title = good ? "OCSP stapling" : `(${lacking.length + revoked.length}) OCSP stapling`;

    const list = (certificates) => {
      const names = certificates.slice(0, 3).map(nameOf).join(", ");
      return certificates.length > 3 ? `${names} and ${count(certificates.length - 3)} more` : names;
    };
    const why = [];
    if (status.ended_early) why.push(el("li", {}, el("b", {}, "Not all certificates are shown: "), "one went while they were listed."));
    if (revoked.length) why.push(el("li", {}, el("b", {}, `${count(revoked.length)} revoked: `), list(revoked)));
    const reasons = new Map();
    for (const c of lacking) {
      const reason = c.last_attempt ? c.last_attempt.result : "not tried yet";
      reasons.set(reason, [...(reasons.get(reason) || []), c]);
    }
    for (const [reason, certificates] of [...reasons].sort((a, b) => b[1].length - a[1].length)) {
      why.push(el("li", {}, el("b", {}, `${count(certificates.length)} without a valid response (${reason}): `), list(certificates)));
    }
    const renewing = stapled.filter((c) => c.failures > 0);
    if (renewing.length) why.push(el("li", {}, el("b", {}, `${count(renewing.length)} stapled, but renewal fails: `), list(renewing)));
    if (none) why.push(el("li", {}, `${plural(none, "certificate names", "certificates name")} no responder and ${none === 1 ? "gets" : "get"} no staple`));
    if (expired.length) why.push(el("li", {}, `${plural(expired.length, "certificate has", "certificates have")} expired, nobody is asked: `, list(expired)));
    if (status.cache.state === "failing") why.push(el("li", {}, el("b", {}, `The cache directory cannot be used (${status.cache.reason}): `), `responses will not survive a restart: ${status.cache.path}`));
    const { share } = status;
    if (share && share.state === "down") why.push(el("li", {}, el("b", {}, `The shared store cannot be used (${share.last_error ? share.last_error.reason : "not known why"}): `), `this node asks responders on its own: ${share.place || "–"}`));
    replace("why", ...why);
  }

  function drawFacts(status) {
    const { handshakes, fetches, worker, zone, cache } = status;
    const share = handshakes.requested ? (100 * handshakes.stapled) / handshakes.requested : null;
    const beat = worker ? seconds(status.now) - seconds(worker.heartbeat) : null;
    const skew = status.clock_skew;
    const fact = (name, value, more, bad) => el("div", {}, el("dt", {}, name), el("dd", { class: bad ? "bad" : null }, value, more ? el("small", {}, ` ${more}`) : null));
    replace("facts",
      fact("Asked for a status", count(handshakes.requested), handshakes.requested === 1 ? "handshake" : "handshakes"),
      fact("Stapled", count(handshakes.stapled), share === null ? "" : `${share === 100 || share === 0 ? share : share.toFixed(share > 99.9 ? 3 : 1)} %`),
      fact("Missing", count(handshakes.missing), ["unsupported", "refused", "foreign"].filter((what) => handshakes[what]).map((what) => `and ${count(handshakes[what])} ${what}`).join(", "), handshakes.refused > 0),
      fact("Fetches", count(fetches.ok), `ok, ${count(fetches.failed)} failed, ${count(fetches.in_flight)} running`),
      fact("Engine", worker ? `worker ${worker.slot}` : "none", worker ? (beat > 10 ? `silent for ${span(beat)}` : `pid ${worker.pid}, alive`) : "nobody fetches", !worker || beat > 10),
      fact("Clock", skew === null ? "–" : `${skew > 0 ? "−" : "+"}${Math.abs(skew)} s`.replace(/[−+]0 s/, "0 s"), skew === null ? "not compared yet" : "against a responder", Math.abs(skew || 0) > 300),
      fact("Shared zone", `${zone.size ? Math.ceil((100 * zone.used) / zone.size) : 0} %`, `of ${bytes(zone.size)}`, zone.used > 0.9 * zone.size),
      fact("Cache", { off: "off", works: "works", failing: "fails" }[cache.state] || cache.state, cache.state === "failing" ? `${cache.reason}${cache.since ? `, for ${span(seconds(status.now) - seconds(cache.since))}` : ""}` : "", cache.state === "failing"));
  }

  function drawStates(status) {
    const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
    for (const c of status.certificates) counts[c.state] += 1;
    const button = (state, text, n) => el("button", {
      type: "button", "data-focus": `state-${state}`, "aria-pressed": String(view.state === state),
      onclick: () => { view.state = view.state === state && state ? "" : state; view.rows = ROWS; keepFocus(() => { drawStates(status); drawCertificates(); }); },
    }, `${text} ${count(n)}`);
    keepFocus(() => replace("states", button("", "all", status.certificates.length),
      ...STATES.filter((state) => counts[state] || view.state === state).map((state) => button(state, WORDS[state], counts[state]))));
  }

  // Redraws and keeps the keyboard focus.
  function keepFocus(redraw) {
    const key = document.activeElement && document.activeElement.getAttribute("data-focus");
    redraw();
    if (key) {
      const again = [...document.querySelectorAll("[data-focus]")].find((node) => node.getAttribute("data-focus") === key);
      if (again) again.focus({ preventScroll: true });
    }
  }

  function found(c) {
    if (view.state && c.state !== view.state) return false;
    if (!view.search) return true;
    const text = [c.subject, c.issuer, c.serial, c.id, ...c.names, ...c.servers, ...c.responders, c.last_attempt ? c.last_attempt.result : ""].join("\n").toLowerCase();
    return view.search.split(/\s+/).every((word) => text.includes(word));
  }

  function drawCertificates() {
    const all = view.status.certificates.filter(found);
    const shown = all.slice(0, view.rows);
    const rows = [];
    for (const c of shown) {
      rows.push(row(c));
      if (view.open.has(c.id)) rows.push(detail(c));
    }
    keepFocus(() => $("certificates").tBodies[0].replaceChildren(...rows));
    const nothing = $("nothing");
    nothing.hidden = all.length > 0;
    nothing.textContent = view.status.certificates.length ? "No certificate matches." : "No server has \u201cocsp_plus on\u201d and a certificate.";
    const more = $("more");
    more.hidden = all.length <= shown.length;
    more.textContent = `Show all ${count(all.length)}`;
  }

  function row(c) {
    const open = view.open.has(c.id);
    const toggle = () => { open ? view.open.delete(c.id) : view.open.add(c.id); drawCertificates(); };
    const others = c.names.length > 1 ? `and ${plural(c.names.length - 1, "more name", "more names")}` : "";
    return el("tr", {},
      el("td", {}, el("span", { class: `state ${c.state}` }, WORDS[c.state])),
      el("td", {}, el("button", { type: "button", class: "name", "data-focus": c.id, "aria-expanded": String(open), onclick: toggle }, nameOf(c)),
        isCa(c) ? el("span", { class: "tag" }, "CA") : null,
        c.must_staple ? el("span", { class: "tag" }, "Must-Staple") : null,
        c.required ? el("span", { class: "tag" }, "required") : null,
        ending(c),
        el("small", {}, [others, c.servers.filter((server) => server !== nameOf(c)).slice(0, 2).join(", ")].filter(Boolean).join(" · "))),
      el("td", {}, ...validity(c)),
      el("td", {}, ...attempt(c)),
      el("td", { class: "number" }, count(c.stapled)));
  }

  // Warns of the end of the certificate itself, not of its staple.
  function ending(c) {
    const left = seconds(c.not_after) - now();
    if (left > ENDING) return null;
    return el("span", { class: "tag bad" }, left > 0 ? `certificate ends in ${span(left)}` : "certificate has ended");
  }

  function attempt(c) {
    const last = c.last_attempt;
    const next = c.next_attempt ? `next ${coming(c.next_attempt)}` : "";
    if (c.state === "ended") return ["nobody is asked"];
    if (!last) return [c.state === "unsupported" ? "–" : "not tried yet", el("small", {}, next)];
    const fine = last.result === "ok" || last.result === "not_newer" || last.result === "revoked";
    const times = !fine && c.failures > 1 ? `, ${c.failures} times in a row` : "";
    return [el("span", { class: fine ? null : "bad" }, last.result), " ", stamp(last.at),
      el("small", {}, [fine ? "" : last.detail, next + times].filter(Boolean).join(" · "))];
  }

  // Draws the validity: this update, the refresh window (40 to 50 % of it), the next attempt, now, the end.
  function validity(c) {
    if (!c.this_update) return [el("span", { class: "bad" }, c.state === "unsupported" ? "" : "nothing to staple")];
    const from = seconds(c.this_update), to = seconds(c.expires), at = now();
    const last = Math.max(to, Math.min(at, to + (to - from)));
    const x = (time) => Math.max(0, Math.min(300, (300 * (time - from)) / Math.max(1, last - from)));
    const ended = at >= to || c.state === "revoked";
    const percent = Math.round((100 * (at - from)) / Math.max(1, to - from));
    const svg = shape("svg", { viewBox: "0 0 300 18", preserveAspectRatio: "none", role: "img",
      "aria-label": `valid from ${when(c.this_update)} to ${when(c.expires)}; ${percent} % of it has passed` });
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
    if (c.last_attempt) add("Last attempt", `${when(c.last_attempt.at)}: ${c.last_attempt.result}${c.last_attempt.detail ? ` – ${c.last_attempt.detail}` : ""}${c.last_attempt.responder ? ` (${c.last_attempt.responder})` : ""}`);
    if (c.next_attempt) add("Next attempt", `${when(c.next_attempt)} (${relative(c.next_attempt)})`);
    add("Serial", c.serial, true);
    add("Id", c.id, true);
    return el("tr", { class: "detail" }, el("td", { colspan: 5 }, list));
  }

  function drawResponders(status) {
    const order = { failing: 0, unproven: 1, up: 2 };
    const used = new Map();
    for (const c of status.certificates) {
      const hosts = new Set(c.responders.map((url) => { try { const u = new URL(url); return `${u.hostname.replace(/^\[|\]$/g, "")}:${u.port || (u.protocol === "https:" ? 443 : 80)}`; } catch { return url; } }));
      for (const host of hosts) used.set(host, (used.get(host) || 0) + 1);
    }
    const rows = [...status.responders].sort((a, b) => order[a.state] - order[b.state] || a.host.localeCompare(b.host, "en", { numeric: true })).map((r) => el("tr", {},
      el("td", {}, r.host),
      el("td", {}, el("span", { class: `state ${r.state}` }, { up: "answers", failing: "fails", unproven: "not asked yet" }[r.state]), r.failures ? el("small", {}, plural(r.failures, "failure", "failures")) : null),
      el("td", {}, r.next_attempt ? coming(r.next_attempt) : r.state === "failing" ? "when a certificate is due" : "–"),
      el("td", { class: "number" }, count(used.get(r.host) || used.get(r.host.replace(/^\[(.*)\]/, "$1")) || 0))));
    $("responders").tBodies[0].replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colspan: 4 }, "No certificate names a responder."))]));
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
        error ? ` · last error: ${error.reason}${error.detail ? ` – ${error.detail}` : ""}` : ""));
  }

  // --- user input ---

  $("search").addEventListener("input", (event) => {
    view.search = event.target.value.trim().toLowerCase();
    view.rows = ROWS;
    if (view.status) drawCertificates();
  });
  $("more").addEventListener("click", () => { view.rows = Infinity; drawCertificates(); });
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") refresh(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== $("search") && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      $("search").focus();
    }
  });
  setInterval(drawFreshness, 1000);
  refresh();
})();
