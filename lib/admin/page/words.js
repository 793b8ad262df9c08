// What every part draws with: elements, numbers and times for people, and words for tokens. Untrusted text is inserted
// as text nodes only.

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

// Creates an element; children are nodes or text.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
const replace = (id, ...children) => $(id).replaceChildren(...children.flat());
// Sets a text that is read aloud when it changes.
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

// Redraws, and gives the keyboard focus to what has come in the place of what had it.
function keepFocus(redraw) {
  const before = document.activeElement;
  const key = before && before.getAttribute("data-focus");
  const home = key && before.closest("ul[id], dl[id], table[id], div[id]");
  redraw();
  if (!home || before.isConnected) return;
  const again = [...home.querySelectorAll("[data-focus]")].find((node) => node.getAttribute("data-focus") === key);
  if (again) again.focus({ preventScroll: true });
}

// Groups a list by what `key` says of each; the largest group first.
function grouped(list, key) {
  const groups = new Map();
  for (const one of list) {
    const of = key(one);
    if (!groups.has(of)) groups.set(of, []);
    groups.get(of).push(one);
  }
  return [...groups].sort((a, b) => b[1].length - a[1].length);
}

// Escapes unsafe characters of certificates and responders, as lib/base/printable.h does.
const code = (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`;
const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, code);

const seconds = (time) => (time ? Date.parse(time) / 1000 : null);
const now = () => Date.now() / 1000 + view.ahead;
const count = (n) => Number(n).toLocaleString("en").replace(/,/g, "\u202f");
const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;
// Never 100 % of what is not all, nor 0 % of what is something.
const percent = (n, all) => `${n === all ? 100 : n === 0 ? 0 : Math.min(99.9, Math.max(0.1, (100 * n) / all)).toFixed(1)} %`;
const bytes = (n) => (n < 1 << 20 ? `${Math.round(n / 1024)} kB` : `${(n / (1 << 20)).toFixed(n < 10 << 20 ? 1 : 0)} MB`);

// "3 d 4 h", "2 h", "12 min", "45 s"
function span(s) {
  s = Math.max(0, Math.round(Math.abs(s)));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  const h = Math.floor(s / 3600);
  const withRest = (whole, rest) => (rest.startsWith("0 ") ? whole : `${whole} ${rest}`);
  if (h < 24) return withRest(`${h} h`, `${Math.floor((s % 3600) / 60)} min`);
  return withRest(`${Math.floor(h / 24)} d`, `${h < 240 ? h % 24 : 0} h`);
}
function relative(time) {
  if (!time) return "";
  const apart = seconds(time) - now();
  return apart > 0 ? `in ${span(apart)}` : `${span(apart)} ago`;
}
const coming = (time) => (seconds(time) > now() ? relative(time) : "is due");
const when = (time) => (time ? time.replace("T", " ").replace("Z", " UTC") : "–");
const stamp = (time, prefix = "") => el("time", { datetime: time, title: when(time) }, prefix + relative(time));

// Words for reasons: those of lib/base/reason.h, except where the table of attempts says more.
const REASONS = {
@REASONS@};
const ANSWERED = { ok: "answered", not_newer: "answered, nothing newer", revoked: "answered: revoked" };
const words = (reason) => ANSWERED[reason] || REASONS[reason] || reason;

// The common name of a distinguished name (RFC 2253), else all of it.
function commonName(dn) {
  const found = /(?:^|,)CN=((?:\\.|[^,\\])*)/.exec(dn);
  return found ? found[1].replace(/\\(.)/g, "$1") : dn;
}
