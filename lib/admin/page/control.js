// Asks for a refresh, where a control location is in the same server; it has its own access rules.

const answers = new Map();  // what came of the last request, by "all" or the certificate's id
const ASKING = "asking…";
const SOON = 2000;          // ms after a request until the document is fetched again

// nginx's own answers say little.
const REFUSALS = {
  401: "the server asks for a user and a password there: give them, or ask from a shell",
  403: "the server does not let this browser in there: its allow and deny rules exclude this address, or this page was opened under a name that is not in the server’s server_name",
  404: "nothing answers there: another location takes the address",
  405: "something else answers there: another location takes the address",
  429: "too many requests: wait a minute",
  503: "too many requests wait: try again in a second",
};

async function ask(what) {
  if (answers.get(what) === ASKING) return;
  const { control } = view.status;
  const path = encodeURI(control).replace(/[?#]/g, encodeURIComponent);
  answers.set(what, ASKING);
  drawControl();
  let text;
  try {
    const answer = await fetch(`${path}?refresh=${what}`, { method: "POST", cache: "no-store" });
    const own = (answer.headers.get("Content-Type") || "").startsWith("text/plain");
    const said = own ? visible((await answer.text()).trim()) : "";
    text = said || `Not done: ${REFUSALS[answer.status] || "the server refuses it"} (${control} answers ${answer.status}).`;
  } catch {
    text = "Not done: the server cannot be reached.";
  }
  answers.set(what, text);
  drawControl();
  schedule(SOON);
}

function drawControl() {
  const { control, certificates } = view.status;
  $("refresh").hidden = !control || !certificates.some(canBeAsked);
  $("answer").hidden = !answers.has("all");
  say("answer", answers.get("all") || "");
  drawTable();
}

function refreshOne(c) {
  if (!view.status.control || !canBeAsked(c)) return null;
  return el("p", { class: "ask" },
    el("button", { type: "button", "data-focus": `ask-${c.id}`, onclick: () => ask(c.id) }, "Refresh now"),
    el("span", { role: "status" }, answers.get(c.id) || ""));
}
