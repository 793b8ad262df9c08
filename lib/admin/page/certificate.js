// What the page concludes from a certificate of the document.

const ENDING = 14 * 86400;  // s: a certificate that ends sooner, or within a fifth of its validity, is highlighted
const STATES = ["revoked", "expired", "pending", "valid", "ended", "unsupported"];
const WORDS = { revoked: "revoked", expired: "expired", pending: "no response yet", valid: "valid", unsupported: "cannot be stapled", ended: "certificate expired" };

const nameOf = (c) => c.names[0] || c.subject || c.id.slice(0, 16);
const isCa = (c) => c.role === "ca";
const needs = (c) => c.required || (c.must_staple && !isCa(c));
const lacks = (c) => c.state === "expired" || c.state === "pending";
const refuses = (c) => needs(c) && (lacks(c) || c.state === "unsupported");
// Its CA gave it no responder, so no client expects a staple.
const withoutOcsp = (c) => c.reason === "no_responder";
// All else that keeps a staple from a leaf can be mended.
const mendable = (c) => c.state === "unsupported" && !withoutOcsp(c) && !isCa(c);
const OBSTACLES = { no_responder: ["no responder", "it names no responder"], no_issuer: ["no issuer", "its issuer is not known"] };
const obstacle = (c) => OBSTACLES[c.reason] || ["responder unusable", `its responder cannot be asked: ${words(c.reason)}`];
const stateOf = (c) => (c.state === "unsupported" ? obstacle(c)[0] : WORDS[c.state]);
const answered = (c) => Boolean(c.last_attempt && ANSWERED[c.last_attempt.result]);
const reasonOf = (c) => (c.last_attempt ? words(c.last_attempt.result) : "it has not been asked for yet");
const canBeAsked = (c) => c.responders.length > 0 && c.state !== "unsupported" && c.state !== "ended";

// How long the certificate itself is still valid, if that is not long; else null.
function endsIn(c) {
  const left = seconds(c.not_after) - now();
  return left < Math.min(ENDING, (seconds(c.not_after) - seconds(c.not_before)) / 5) ? left : null;
}

function urgency(c) {
  if (c.state === "revoked") return [1, 0];
  if (lacks(c)) return [refuses(c) ? 0 : 2, c.expires_in || 0];
  if (c.state === "unsupported") return [refuses(c) ? 0 : mendable(c) ? 2 : 5, 0];
  if (c.state === "ended") return [6, 0];
  return [c.failures > 0 ? 3 : 4, c.expires_in];
}
function byUrgency(a, b) {
  const [x, y] = [urgency(a), urgency(b)];
  return x[0] - y[0] || x[1] - y[1] || nameOf(a).localeCompare(nameOf(b), "en", { numeric: true });
}
const needsAttention = (c) => urgency(c)[0] < 4 || c.state === "ended" || endsIn(c) !== null;

// Marks certificates of one name: by their keys, and by their serial numbers where the keys do not tell them apart.
function markTwins(certificates) {
  for (const [, twins] of grouped(certificates, nameOf)) {
    for (const [key, alike] of grouped(twins, (c) => c.key)) {
      for (const c of alike) {
        c.mark = twins.length === 1 ? "" : [key, alike.length > 1 ? `serial …${c.serial.slice(-6)}` : ""].filter(Boolean).join(" · ");
      }
    }
  }
}
const fullName = (c) => (c.mark ? `${nameOf(c)} (${c.mark})` : nameOf(c));

// Hosts as the document lists them: "host:port".
const hostOf = (url) => {
  try {
    const { hostname, port, protocol } = new URL(url);
    return `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
  } catch {
    return url;
  }
};
