// The first screen: refused clients, the summary and its reasons, the figures.

const SILENT = 10;         // s without a heartbeat
const WRONG_CLOCK = 300;   // s
const FULL_ZONE = 0.9;

// Names as links to their rows; the rest behind a button that filters by `state` and `search`.
function names(certificates, state, search = "") {
  const links = certificates.slice(0, 3).flatMap((c, i) => [i ? ", " : "", link(c)]);
  if (certificates.length > 3) {
    links.push(" and ", el("button", { type: "button", class: "link", "data-focus": `more-${state}-${search}`,
      onclick: () => filter(state, search) }, `${count(certificates.length - 3)} more`));
  }
  return links;
}
const tokenOf = (c) => c.reason || (c.last_attempt ? c.last_attempt.result : "");
function nextTry(certificates) {
  const times = certificates.map((c) => c.next_attempt).filter(Boolean).sort();
  return times.length ? `; next try ${coming(times[0])}` : "";
}

// Clients that get no connection come before anything else.
function drawRefused(status) {
  const without = status.certificates.filter(refuses);
  const { refusals } = view;
  const recent = refusals && Date.now() - refusals.at < JUST ? refusals : null;
  const refusing = without.some((c) => c.required) || recent;
  $("refused").hidden = !without.length && !recent;
  say("refused-title", refusing ? "Clients are being refused" : without.length ? "Clients that honour Must-Staple refuse the connection" : "");
  const reason = (c) => (c.state === "unsupported" ? `it can never get one: ${obstacle(c)[1]}` : reasonOf(c));
  keepFocus(() => replace("refused-why",
    grouped(without, reason).map(([text, list]) => el("li", {}, names(list, "attention", tokenOf(list[0])),
      `: no staple, ${text}${list[0].state === "unsupported" ? "" : nextTry(list)}`)),
    recent ? el("li", {}, `${plural(recent.refused, "handshake was", "handshakes were")} refused within ${span(recent.within / 1000)}`) : []));
  return refusing;
}

function drawSummary(status, refusing) {
  const all = status.certificates;
  const can = all.filter((c) => (c.state !== "unsupported" || mendable(c)) && c.state !== "ended");
  const good = can.filter((c) => c.state === "valid");
  const bad = can.length - good.length;
  const urgent = can.some((c) => c.state === "revoked" || c.state === "expired" || refuses(c));
  const none = all.filter(withoutOcsp);
  const summary = $("summary");
  summary.className = !can.length ? "" : !bad ? "good" : urgent ? "bad" : "wait";
  say("summary", can.length
    ? (bad ? `${count(good.length)} of ${plural(can.length, "certificate is", "certificates are")} stapled with a good response`
      : can.length === 1 ? "The certificate is stapled with a good response" : `All ${count(can.length)} certificates are stapled with a good response`)
    : !all.length ? "No certificate is stapled here" : none.length === all.length ? "No certificate here has OCSP" : "No certificate can be stapled");
  document.title = refusing ? "Clients refused – OCSP stapling" : bad ? `(${bad}) OCSP stapling` : "OCSP stapling";
  $("explained").hidden = can.length > 0 || !none.length || none.length < all.length;
  replace("explained", "The certificates name no OCSP responder: their CA has ended OCSP, as Let’s Encrypt and others have, or never had it. Clients expect no staple, and there is nothing to do. Issued by ",
    grouped(none, (c) => commonName(c.issuer)).map(([issuer, list]) => `${issuer} (${count(list.length)})`).join(", "),
    ". Only if a CA of these is your own and has a responder, name it in ocsp_plus_responder.");
  keepFocus(() => replace("why", troubles(status), certificateTroubles(all, good)));
}

const trouble = (what, ...more) => el("li", {}, what ? el("b", {}, what) : "", ...more);

// Of the engine.
function troubles({ worker, clock_skew: skew, zone, cache, share, unreadable, ended_early: early, now: at }) {
  const beat = worker ? seconds(at) - seconds(worker.heartbeat) : null;
  return [
    early && trouble("Not all certificates are shown: ", "one went while they were listed."),
    !worker && view.status.certificates.length > 0 && trouble("Nobody fetches: ", "there is no designated worker now."),
    worker && beat > SILENT && trouble(`The designated worker has been silent for ${span(beat)}: `, `nothing is fetched (pid ${worker.pid}).`),
    Math.abs(skew || 0) > WRONG_CLOCK && trouble(`This machine’s clock is ${span(skew)} ${skew > 0 ? "behind" : "ahead of"} a responder’s: `, "run an NTP client."),
    zone.used > FULL_ZONE * zone.size && trouble(`The shared zone is ${percent(zone.used, zone.size)} full: `, "enlarge ocsp_plus_zone."),
    cache.state === "failing" && trouble(`The cache directory cannot be used (${words(cache.reason)}): `, `responses will not survive a restart: ${cache.path}${cache.since ? `, for ${span(seconds(at) - seconds(cache.since))}` : ""}`),
    unreadable.length && trouble(`${count(unreadable.length)} that cannot be read, and nothing is stapled: `, unreadable.slice(0, 3).join(", "),
      unreadable.length > 3 ? ` and ${count(unreadable.length - 3)} more` : "", ": have them reissued."),
    share && share.state === "down" && trouble(`The shared store cannot be used (${share.last_error ? words(share.last_error.reason) : "not known why"}): `, `this node asks responders on its own: ${share.place || "–"}`),
  ].filter(Boolean);
}

function certificateTroubles(all, good) {
  const of = (state) => all.filter((c) => c.state === state);
  const [revoked, expired, none] = [of("revoked"), of("ended"), all.filter(withoutOcsp)];
  const [unknown, unusable] = [true, false].map((missing) => all.filter((c) => mendable(c) && !refuses(c) && (c.reason === "no_issuer") === missing));
  const failing = good.filter((c) => c.failures > 0);
  const ending = all.filter((c) => c.state !== "ended" && endsIn(c) !== null);
  return [
    revoked.length && trouble(`${count(revoked.length)} revoked, not stapled as good: `, names(revoked, "revoked")),
    ...grouped(all.filter((c) => lacks(c) && !refuses(c)), reasonOf).map(([reason, list]) => trouble(`${count(list.length)} without a valid response: `,
      names(list, "attention", tokenOf(list[0])), `: ${reason}${nextTry(list)}`)),
    ...grouped(failing, reasonOf).map(([reason, list]) => trouble(`${count(list.length)} stapled, but renewal fails: `,
      names(list, "attention", tokenOf(list[0])), `: ${reason}${nextTry(list)}`)),
    unknown.length && trouble(`${count(unknown.length)} whose issuer is not known: `, names(unknown, "unsupported", "no_issuer"), ": append it to ssl_certificate."),
    ...grouped(unusable, (c) => c.reason).map(([reason, list]) => trouble(`${count(list.length)} whose responder cannot be asked: `,
      names(list, "unsupported", reason), `: ${words(reason)}; name one in ocsp_plus_responder.`)),
    ending.length && trouble(`${plural(ending.length, "certificate itself ends", "certificates themselves end")} soon: `, names(ending, "attention")),
    expired.length && trouble(`${plural(expired.length, "certificate itself has", "certificates themselves have")} expired, nobody is asked: `, names(expired, "ended")),
    none.length && none.length < all.length && trouble("", `${plural(none.length, "certificate has no OCSP: it names", "certificates have no OCSP: they name")} no responder, and no staple is expected`),
  ].filter(Boolean);
}

function drawFacts(status) {
  const { handshakes, fetches, worker, zone, cache, clock_skew: skew } = status;
  const fact = (name, value, more, bad) => el("div", {}, el("dt", {}, name), el("dd", { class: bad ? "bad" : null }, value, more ? el("small", {}, " ", more) : null));
  const able = handshakes.requested - handshakes.unsupported;
  const soonest = status.certificates.filter((c) => c.state === "valid").reduce((a, b) => (a && a.expires_in <= b.expires_in ? a : b), null);
  const attention = status.certificates.filter(needsAttention).length;
  const others = { refused: "refused", foreign: "with another module’s", unsupported: "of certificates that can have none" };
  keepFocus(() => replace("facts",
    fact("Next staple to expire", soonest ? coming(soonest.expires) : "–", soonest ? link(soonest) : "none is held", soonest && soonest.failures > 0),
    fact("Need attention", count(attention), `of ${plural(status.certificates.length, "certificate", "certificates")}`, attention > 0),
    fact("Handshakes stapled", able ? percent(handshakes.stapled, able) : "–", able ? `${count(handshakes.stapled)} of ${count(able)} that asked` : "none has asked"),
    fact("Without a staple", count(handshakes.missing), Object.entries(others).filter(([what]) => handshakes[what]).map(([what, text]) => `and ${count(handshakes[what])} ${text}`).join(", ")),
    fact("Fetches", count(fetches.ok), `ok, ${count(fetches.failed)} failed, ${count(fetches.in_flight)} running`)));
  const engine = [
    worker ? `worker ${worker.slot} fetches (pid ${worker.pid})` : "no worker fetches",
    skew === null ? "clock not compared yet" : `clock ${skew === 0 ? "as a responder’s" : `${span(skew)} ${skew > 0 ? "behind" : "ahead of"} a responder’s`}`,
    `zone ${zone.size ? percent(zone.used, zone.size) : "0 %"} of ${bytes(zone.size)} used`,
    `cache directory ${{ off: "off", works: "works", failing: "fails" }[cache.state] || cache.state}`,
  ];
  replace("engine", engine.flatMap((text, i) => [el("span", {}, i < engine.length - 1 ? `${text} ·` : text), " "]));
}
