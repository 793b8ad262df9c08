#include "sim/script.h"

#include <fmt/format.h>

#include <algorithm>

#include "ocsp_plus/defaults.h"
#include "sim/machine.h"

namespace ocsp_plus::sim {
namespace {

constexpr Seconds kHour = 3600;
constexpr Seconds kDay = 24 * kHour;

Millis some_time(Prng& prng, Millis length) {
  return Machine::kBoot + prng.between(0, length);
}

// Draws spans in order, without overlap, rarely as long as `longest`.
template <typename Span, typename Fill>
std::vector<Span> draw_spans(Prng& prng, Millis length, std::int64_t count, Seconds longest, Fill fill) {
  std::vector<Span> spans;
  for (; count > 0; --count) {
    Span span;
    span.from = some_time(prng, length);
    // Spans that end shortly before the held response are the hardest to survive.
    span.to =
        span.from + 1000 * (prng.chance(35) ? prng.between(longest / 10, longest / 4) : prng.spread(5, longest));
    fill(&span);
    spans.push_back(span);
  }
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.from < b.from; });
  for (std::size_t i = 0; i + 1 < spans.size(); ++i) {
    spans[i].to = std::min(spans[i].to, spans[i + 1].from);
  }
  return spans;
}

void draw_practice(Prng& prng, Script* script) {
  constexpr Seconds kValidities[] = {60, 300, kHour, 12 * kHour, 4 * kDay, 7 * kDay, 7 * kDay, 10 * kDay};
  Practice& practice = script->practice;
  practice.validity = kValidities[prng.between(0, 7)];
  practice.delegated = prng.chance(50);
  practice.by_key = prng.chance(50);
  if (practice.validity >= kHour && prng.chance(40)) {
    practice.resign = practice.validity / prng.between(2, 8);
  }
  script->length = 1000 * std::min<Seconds>(365 * kDay, practice.validity * prng.between(45, 65));
}

Conduct draw_conduct(Prng& prng, bool lies) {
  constexpr Deed kOutages[] = {Deed::kSlow,      Deed::kHang,       Deed::kRefuse, Deed::kReset,    Deed::kNoDns,
                               Deed::kHttpError, Deed::kRetryAfter, Deed::kHang,   Deed::kOnlyPost, Deed::kOnlyGet};
  Conduct conduct;
  if (lies && prng.chance(60)) {
    conduct.deed = prng.chance(20) ? Deed::kReplay : Deed::kLie;
    conduct.lie = static_cast<Lie>(prng.between(0, static_cast<int>(Lie::kLast)));
  } else {
    conduct.deed = kOutages[prng.between(0, 9)];
    conduct.retry_after = prng.spread(1, 2 * kDay);
  }
  conduct.only = prng.chance(20) ? static_cast<LeafNumber>(prng.between(0, 7)) : SIZE_MAX;
  return conduct;
}

void draw_network(Prng& prng, Script* script) {
  const std::size_t count = prng.chance(25) ? 2 : 1;
  for (std::size_t i = 0; i < count; ++i) {
    const auto faults = prng.spread(4, 40);
    script->responders.push_back(
        draw_spans<Conduct>(prng, script->length, faults, 2 * script->practice.validity, [&](Conduct* conduct) {
          const Conduct drawn = draw_conduct(prng, script->lies);
          conduct->deed = drawn.deed;
          conduct->lie = drawn.lie;
          conduct->only = drawn.only;
          conduct->retry_after = drawn.retry_after;
        }));
    if (script->lies) {
      Conduct& sure = script->responders[i][static_cast<std::size_t>(prng.between(0, faults - 1))];
      sure.deed = Deed::kLie;
      sure.only = SIZE_MAX;
    }
  }
}

void add(Prng& prng, Script* script, Incident what, std::int64_t number = 0, bool flag = false) {
  script->happenings.push_back({some_time(prng, script->length), what, number, flag});
}

// Sets the wall clock wrong, and later right again.
void draw_jump(Prng& prng, Script* script) {
  const Seconds most = prng.chance(10) ? 200 * kDay : 30 * kHour;
  const Seconds by = prng.spread(3, most) * (prng.chance(50) ? 1 : -1);
  const Millis from = some_time(prng, script->length);
  const Millis span = 1000 * prng.spread(1, script->practice.validity);
  script->happenings.push_back({from, Incident::kClock, by, false});
  script->happenings.push_back({from + span, Incident::kClock, 0, false});
}

void draw_happenings(Prng& prng, Script* script) {
  for (auto n = script->jumps ? prng.spread(1, 6) : 0; n > 0; --n) {
    draw_jump(prng, script);
  }
  for (auto n = script->kills ? prng.spread(1, 20) : 0; n > 0; --n) {
    const bool locked = prng.chance(70);
    add(prng, script, Incident::kKill, prng.spread(1, locked ? 40 : 4000), locked);
  }
  for (auto n = script->kills ? prng.between(0, 1) : 0; n > 0; --n) {
    add(prng, script, Incident::kKillHelper, prng.spread(1, 2000), prng.chance(30));
  }
  for (auto n = prng.spread(1, 12); n > 0; --n) {
    add(prng, script, Incident::kReload, prng.chance(50) ? prng.between(1, 2) : 0);
  }
  for (auto n = prng.between(0, 2); n > 0; --n) {
    add(prng, script, Incident::kFailedReload, prng.chance(50) ? prng.between(1, 2) : 0);
  }
  constexpr Incident kEnds[] = {Incident::kRestart, Incident::kRestart, Incident::kCrash, Incident::kPowerCut};
  for (auto n = prng.between(0, 6); n > 0; --n) {
    const Seconds most = prng.chance(20) ? script->practice.validity : 60;
    add(prng, script, kEnds[prng.between(0, 3)], 1000 * prng.spread(1, most), prng.chance(25));
  }
  if (prng.chance(50)) {
    add(prng, script, Incident::kRevoke, prng.between(0, 7));
  }
  std::stable_sort(script->happenings.begin(), script->happenings.end(),
                   [](const Happening& a, const Happening& b) { return a.at < b.at; });
}

// --- certificates that are loaded per connection ---

void draw_shown(Prng& prng, Script* script) {
  const bool two = script->responders.size() == 2;
  const auto first = static_cast<std::size_t>(prng.between(0, Pki::kLoadedLeaves - 1));
  for (auto n = prng.between(1, 4); n > 0; --n) {
    Shown shown;
    shown.leaf = Pki::loaded((first + static_cast<std::size_t>(n)) % Pki::kLoadedLeaves, two, prng.chance(60));
    constexpr Chain kChains[] = {Chain::kComplete, Chain::kComplete, Chain::kBehindLookalike,
                                 Chain::kEmpty,    Chain::kEmpty,    Chain::kLookalike};
    shown.chain = kChains[prng.between(0, script->calm ? 2 : 5)];
    // Some are shown all the time, some for a while, some once more after that.
    shown.from = prng.chance(50) ? Machine::kBoot : some_time(prng, script->length * 2 / 3);
    shown.to = prng.chance(60) ? Machine::kBoot + script->length : shown.from + prng.between(0, script->length / 2);
    script->shown.push_back(shown);
    if (prng.chance(30)) {
      shown.from = shown.to + prng.between(0, script->length / 4);
      shown.to = shown.from + prng.between(0, script->length / 4);
      script->shown.push_back(shown);
    }
  }
}

void draw_floods(Prng& prng, Script* script) {
  script->small_zone = prng.chance(60);
  for (auto n = prng.between(1, 3); n > 0; --n) {
    Flood flood;
    flood.from = some_time(prng, script->length);
    // A small zone's queue takes two of them per tick; the zone has room for about 250.
    flood.step = prng.spread(script->small_zone ? 150 : 10, 400);
    flood.count = static_cast<std::size_t>(script->small_zone ? prng.between(200, 500) : prng.between(50, 500));
    flood.life = prng.spread(600, 6 * kHour);
    flood.insisting = static_cast<std::size_t>(prng.between(0, 12));
    script->floods.push_back(flood);
  }
  std::sort(script->floods.begin(), script->floods.end(),
            [](const Flood& a, const Flood& b) { return a.from < b.from; });
  for (std::size_t i = 0; i + 1 < script->floods.size(); ++i) {
    script->floods[i + 1].from = std::max(script->floods[i + 1].from, script->floods[i].to() + 1000);
  }
}

void draw_issuer_server(Prng& prng, Script* script) {
  script->issuer_server =
      draw_spans<Conduct>(prng, script->length, prng.spread(1, 10), script->practice.validity, [&](Conduct* conduct) {
        const Conduct drawn = draw_conduct(prng, false);
        conduct->deed = script->lies && prng.chance(50) ? Deed::kLie : drawn.deed;
        conduct->wrong = static_cast<WrongIssuer>(prng.between(0, static_cast<int>(WrongIssuer::kLast)));
        conduct->retry_after = drawn.retry_after;
      });
}

// Drawn last, so that the rest of the script is the same as without it.
void draw_loaded(Prng& prng, Script* script) {
  script->loads = prng.chance(65);
  if (!script->loads) {
    return;
  }
  script->trusts = prng.chance(15);
  draw_shown(prng, script);
  if (script->calm) {
    return;
  }
  draw_issuer_server(prng, script);
  if (prng.chance(60)) {
    draw_floods(prng, script);
  }
  for (auto n = prng.between(0, 2); n > 0; --n) {
    add(prng, script, Incident::kAdopt, prng.between(0, 7), prng.chance(33));
    add(prng, script, Incident::kRelease, prng.between(0, 7));
  }
  for (auto n = script->kills ? prng.spread(1, 6) : 0; n > 0; --n) {
    add(prng, script, Incident::kKillOffering, prng.spread(1, 15));
    const bool locked = prng.chance(50);
    add(prng, script, Incident::kKillTaking, prng.spread(1, locked ? 40 : 300), locked);
  }
  if (prng.chance(30)) {
    add(prng, script, Incident::kRevokeLoaded, prng.between(0, 7));
  }
  std::stable_sort(script->happenings.begin(), script->happenings.end(),
                   [](const Happening& a, const Happening& b) { return a.at < b.at; });
}

// --- CA certificates that servers send ---

// The upper CA's responders sign for days, the root's for up to a year, each scaled to the run.
Practice draw_ca_practice(Prng& prng, Seconds shortest, Seconds longest) {
  Practice practice;
  practice.validity = prng.spread(shortest, longest);
  practice.by_key = prng.chance(50);
  if (prng.chance(40)) {
    practice.resign = practice.validity / prng.between(2, 8);
  }
  return practice;
}

Conducts draw_ca_responder(Prng& prng, const Script& script, const Practice& practice) {
  const Seconds longest = std::min(2 * practice.validity, script.length / 2000);
  return {draw_spans<Conduct>(prng, script.length, prng.spread(1, 8), longest, [&](Conduct* conduct) {
    const Conduct drawn = draw_conduct(prng, script.lies);
    conduct->deed = drawn.deed;
    conduct->lie = drawn.lie;
    conduct->retry_after = drawn.retry_after;
  })};
}

// In calm no certificate ends within the run.
SentCas draw_cas(Prng& prng, const Script& script) {
  SentCas cas;
  if (!prng.chance(35)) {
    return cas;
  }
  cas.stapleable = prng.chance(92);
  for (auto n = prng.between(1, 3); n > 0; --n) {
    constexpr Sent kSent[] = {Sent::kWhole,      Sent::kWhole,       Sent::kWhole,       Sent::kBothLowers,
                              Sent::kBothLowers, Sent::kWithoutRoot, Sent::kWithoutRoot, Sent::kWithoutUpper,
                              Sent::kLowerAlone, Sent::kMisordered,  Sent::kNothing};
    ServerChain chain;
    chain.sent = kSent[prng.between(0, script.calm ? 2 : 10)];
    chain.lower = static_cast<std::size_t>(script.calm ? 4 * prng.between(0, 2) : prng.between(0, 11));
    chain.stapled = prng.chance(85);
    cas.servers.push_back(chain);
  }
  const Seconds validity = script.practice.validity;
  cas.lower = draw_ca_practice(prng, validity, 6 * validity);
  cas.upper = draw_ca_practice(prng, validity, script.length / 1000);
  cas.lower_responders.resize(1);
  cas.upper_responders.resize(1);
  if (!script.calm) {
    cas.lower_responders = draw_ca_responder(prng, script, cas.lower);
    cas.upper_responders = draw_ca_responder(prng, script, cas.upper);
  }
  return cas;
}

void draw_ca_happenings(Prng& prng, Script* script) {
  if (script->calm || script->cas.servers.empty()) {
    return;
  }
  for (auto n = prng.between(0, 3); n > 0; --n) {
    add(prng, script, Incident::kRenewCas, prng.between(1, 5), prng.chance(40));
  }
  for (auto n = prng.chance(60) ? prng.between(1, 3) : 0; n > 0; --n) {
    add(prng, script, Incident::kRevokeCa, prng.between(0, 63));
  }
  std::stable_sort(script->happenings.begin(), script->happenings.end(),
                   [](const Happening& a, const Happening& b) { return a.at < b.at; });
}

// --- fleets ---

void draw_common(Prng& prng, Script* script) {
  draw_practice(prng, script);
  script->length = 1000 * script->practice.validity * prng.between(3, 7);
  script->certificates = static_cast<std::size_t>(prng.between(1, 4));
  script->shares = true;
  script->calm = prng.chance(20);
  script->startup_wait = prng.chance(60) ? 5000 : 0;
  if (prng.chance(30)) {
    script->retry_max = prng.spread(10 + script->practice.validity / 500, kDay);
    script->retry_min = prng.between(1, 10);
  }
  constexpr op_require_t kRequires[] = {OP_REQUIRE_OFF, OP_REQUIRE_OFF, OP_REQUIRE_MUST_STAPLE, OP_REQUIRE_ON};
  script->require = kRequires[prng.between(0, 3)];
}

std::vector<std::vector<Conduct>> draw_responders(Prng& prng, const Script& script, std::size_t count) {
  std::vector<std::vector<Conduct>> responders;
  for (; count > 0; --count) {
    responders.push_back(
        draw_spans<Conduct>(prng, script.length, prng.between(0, 4), script.practice.validity, [&](Conduct* conduct) {
          const Conduct drawn = draw_conduct(prng, script.lies);
          conduct->deed = drawn.deed;
          conduct->lie = drawn.lie;
          conduct->only = drawn.only;
          conduct->retry_after = drawn.retry_after;
        }));
  }
  return responders;
}

void draw_node(Prng& prng, Script* script) {
  if (prng.chance(20)) {
    script->responders = draw_responders(prng, *script, script->responders.size());  // its way out is another
  }
  script->workers = static_cast<std::uint32_t>(prng.between(1, 2));
  if (prng.chance(12)) {
    script->offset = prng.spread(60, 5 * kDay) * (prng.chance(50) ? 1 : -1);
  }
  constexpr DiskFault kFaults[] = {DiskFault::kFull, DiskFault::kReadOnly, DiskFault::kGone};
  script->disk = draw_spans<DiskSpan>(prng, script->length, prng.between(0, 1), script->practice.validity,
                                      [&](DiskSpan* span) { span->fault = kFaults[prng.between(0, 2)]; });
  script->jumps = prng.chance(20);
  script->kills = prng.chance(35);
  if (script->jumps) {
    draw_jump(prng, script);
  }
  for (auto n = script->kills ? prng.spread(1, 5) : 0; n > 0; --n) {
    const bool locked = prng.chance(40);
    add(prng, script, Incident::kKill, prng.spread(1, locked ? 40 : 4000), locked);
  }
  for (auto n = script->kills ? prng.between(0, 1) : 0; n > 0; --n) {
    add(prng, script, Incident::kKillHelper, prng.spread(1, 2000), prng.chance(30));
  }
  for (auto n = prng.between(0, 2); n > 0; --n) {
    add(prng, script, Incident::kReload, prng.chance(30) ? prng.between(1, 2) : 0);
  }
  constexpr Incident kEnds[] = {Incident::kRestart, Incident::kRestart, Incident::kCrash, Incident::kPowerCut};
  for (auto n = prng.between(0, 1); n > 0; --n) {
    const Seconds most = prng.chance(20) ? script->practice.validity : 60;
    add(prng, script, kEnds[prng.between(0, 3)], 1000 * prng.spread(1, most), prng.chance(25));
  }
}

void draw_store(Prng& prng, Script* script) {
  if (prng.chance(8)) {
    StoreSpan dead;
    dead.from = Machine::kBoot;
    dead.to = Machine::kBoot + script->length;
    dead.deed = static_cast<StoreDeed>(prng.between(0, 3));
    script->store.push_back(dead);
    return;
  }
  script->store = draw_spans<StoreSpan>(
      prng, script->length, prng.between(0, 8), script->practice.validity, [&](StoreSpan* span) {
        span->deed = static_cast<StoreDeed>(prng.between(0, static_cast<int>(StoreDeed::kLast)));
        span->nodes = prng.chance(60) ? UINT32_MAX : static_cast<std::uint32_t>(prng.next());
        span->step = std::max<Millis>(prng.spread(100, 60000), (span->to - span->from) / 30);
      });
}

// So that a run has some thousand requests at the most.
Seconds draw_refresh(Prng& prng, const Script& script) {
  return prng.chance(25) ? std::max<Seconds>(OP_MIN_REFRESH_S, script.length / 1000 / prng.between(100, 600)) : 0;
}

// REQUIRES: `spans` are in order of time, without overlap.
const Conduct* conduct_in(const std::vector<Conduct>& spans, Millis at) {
  auto after = std::upper_bound(spans.begin(), spans.end(), at,
                                [](Millis time, const Conduct& conduct) { return time < conduct.from; });
  return after != spans.begin() && (after - 1)->to > at ? &*(after - 1) : nullptr;
}

}  // namespace

Script Script::draw(std::uint64_t seed) {
  Prng prng = Prng(seed).split();  // makes neighbouring seeds independent
  Script script = draw_world(prng, seed);
  // Drawn last, so that the rest of the draw does not change.
  constexpr op_require_t kRequires[] = {OP_REQUIRE_OFF, OP_REQUIRE_OFF, OP_REQUIRE_MUST_STAPLE, OP_REQUIRE_ON};
  script.require = kRequires[prng.between(0, 3)];
  script.omits = prng.chance(30);
  script.refresh = draw_refresh(prng, script);
  script.cas = draw_cas(prng, script);
  draw_ca_happenings(prng, &script);
  return script;
}

std::vector<Script> Script::draw_fleet(std::uint64_t seed) {
  Prng prng = Prng(seed + 0xf1ee700000).split();
  Script common;
  common.seed = seed;
  draw_common(prng, &common);
  const auto nodes = static_cast<std::size_t>(prng.chance(10) ? prng.between(7, 20) : prng.between(2, 5));
  if (common.calm) {
    common.responders.resize(1);
    common.refresh = draw_refresh(prng, common);
    common.cas = draw_cas(prng, common);
    return std::vector<Script>(nodes, common);
  }
  common.lies = prng.chance(40);
  common.responders = draw_responders(prng, common, prng.chance(20) ? 2 : 1);
  std::vector<Script> scripts(nodes, common);
  for (Script& script : scripts) {
    draw_node(prng, &script);
  }
  draw_store(prng, &scripts.front());
  for (auto n = prng.between(0, 2); n > 0; --n) {
    add(prng, &scripts.front(), Incident::kRevoke, prng.between(0, 7));
  }
  const Seconds refresh = draw_refresh(prng, common);
  const SentCas cas = draw_cas(prng, common);
  for (Script& script : scripts) {
    script.refresh = refresh;
    script.cas = cas;
    draw_ca_happenings(prng, &script);
    std::stable_sort(script.happenings.begin(), script.happenings.end(),
                     [](const Happening& a, const Happening& b) { return a.at < b.at; });
  }
  return scripts;
}

const StoreSpan* Script::store_span(std::size_t node, Millis at) const {
  for (const StoreSpan& span : store) {
    if (span.of_some() && span.from <= at && at < span.to && (span.nodes >> (node % 32) & 1) != 0) {
      return &span;
    }
  }
  return nullptr;
}

Script Script::draw_world(Prng& prng, std::uint64_t seed) {
  Script script;
  script.seed = seed;
  draw_practice(prng, &script);
  script.certificates = static_cast<std::size_t>(prng.between(1, 5));
  script.workers = static_cast<std::uint32_t>(prng.between(1, 2));
  script.startup_wait = prng.chance(80) ? 5000 : 0;
  script.calm = prng.chance(10);
  if (prng.chance(30)) {
    script.retry_max = prng.spread(10 + script.practice.validity / 500, kDay);
    script.retry_min = prng.between(1, 10);
  }
  if (script.calm) {
    script.responders.resize(1);
    draw_loaded(prng, &script);
    return script;
  }
  script.lies = prng.chance(70);
  script.jumps = prng.chance(60);
  script.kills = prng.chance(60);
  draw_network(prng, &script);
  constexpr DiskFault kFaults[] = {DiskFault::kFull, DiskFault::kReadOnly, DiskFault::kGone};
  script.disk = draw_spans<DiskSpan>(prng, script.length, prng.between(0, 5), script.practice.validity,
                                     [&](DiskSpan* span) { span->fault = kFaults[prng.between(0, 2)]; });
  draw_happenings(prng, &script);
  draw_loaded(prng, &script);
  return script;
}

const Conducts& Script::responders_of(LeafNumber leaf) const {
  switch (Pki::tier_of(leaf)) {
    case Tier::kLeaf:
      break;
    case Tier::kLower:
      return cas.lower_responders;
    case Tier::kUpper:
      return cas.upper_responders;
  }
  return responders;
}

ServerChain Script::chain_of(LeafNumber leaf, std::int64_t renewals) const {
  if (cas.servers.empty() || Pki::of_tenant(leaf)) {
    return {};
  }
  ServerChain chain = cas.servers[leaf % cas.servers.size()];
  chain.lower += static_cast<std::size_t>(renewals);
  return chain;
}

const Conduct* Script::conduct(LeafNumber leaf, std::size_t responder, Millis at) const {
  // A certificate loaded per connection may name a responder that does not exist.
  static const Conduct nobody = [] {
    Conduct conduct;
    conduct.deed = Deed::kRefuse;
    return conduct;
  }();
  const Conducts& asked = responders_of(leaf);
  return responder < asked.size() ? conduct_in(asked[responder], at) : &nobody;
}

const Conduct* Script::issuer_conduct(Millis at) const {
  return conduct_in(issuer_server, at);
}

bool Script::seeks_issuer(LeafNumber leaf) const {
  return !trusts && std::any_of(shown.begin(), shown.end(), [leaf](const Shown& one) {
    return one.leaf == leaf && (one.chain == Chain::kEmpty || one.chain == Chain::kLookalike);
  });
}

DiskFault Script::disk_fault(Millis at) const {
  for (const DiskSpan& span : disk) {
    if (span.from <= at && at < span.to) {
      return span.fault;
    }
  }
  return DiskFault::kNone;
}

const char* name_of(Deed deed) {
  static constexpr const char* kNames[] = {"honest",  "slow",   "hangs",      "refuses",
                                           "resets",  "no dns", "http error", "retry after",
                                           "replays", "lies",   "only POST",  "only GET"};
  return kNames[static_cast<std::size_t>(deed)];
}

const char* name_of(Incident incident) {
  static constexpr const char* kNames[] = {"clock off by",  "kill",          "kill helper", "reload",
                                           "failed reload", "restart",       "crash",       "power cut",
                                           "revoke",        "adopt",         "release",     "kill offering",
                                           "kill taking",   "revoke loaded", "renew CAs",   "revoke CA"};
  return kNames[static_cast<std::size_t>(incident)];
}

const char* name_of(DiskFault fault) {
  static constexpr const char* kNames[] = {"works", "full", "read-only", "gone"};
  return kNames[static_cast<std::size_t>(fault)];
}

const char* name_of(StoreDeed deed) {
  static constexpr const char* kNames[] = {
      "down",   "hangs",      "slow",        "refuses the login", "read-only", "loses news",   "flushed",
      "evicts", "fails over", "leases held", "far notes",         "poisoned",  "invents news", "floods news"};
  return kNames[static_cast<std::size_t>(deed)];
}

std::string Script::summary() const {
  return fmt::format(
      "seed {}: {} valid for {}, {}, {} signer, {} certificates, {} workers, {} responders, retry {}..{} s, wait {} "
      "ms{}{}{}{}{}{}{}{}{}",
      seed, to_span(length / 1000), to_span(practice.validity),
      practice.resign == 0 ? "signed when asked" : "made every " + to_span(practice.resign),
      practice.delegated ? "delegated" : "direct", certificates, workers, responders.size(), retry_min, retry_max,
      startup_wait,
      require == OP_REQUIRE_ON            ? ", requires a staple"
      : require == OP_REQUIRE_MUST_STAPLE ? ", honours Must-Staple"
                                          : "",
      omits ? ", omits revoked ones" : "", loads ? ", loads per connection" : "", trusts ? ", trusts the CA" : "",
      small_zone ? ", small zone" : "",
      cas.servers.empty() ? ""
      : cas.stapleable    ? fmt::format(", CA certificates, their responses valid for {} and {}",
                                        to_span(cas.lower.validity), to_span(cas.upper.validity))
                          : ", CA certificates, but leaf staples only",
      refresh != 0 ? ", refreshed every " + to_span(refresh) : "", shares ? ", shares" : "",
      offset != 0 ? fmt::format(", clock off by {} s", offset) : "");
}

std::vector<std::string> Script::description() const {
  std::vector<std::pair<Millis, std::string>> lines;
  const auto time = [](Millis at) {
    return fmt::format("{:.1f} s", static_cast<double>(at - Machine::kBoot) / 1000);
  };
  for (std::size_t i = 0; i < responders.size(); ++i) {
    for (const Conduct& c : responders[i]) {
      lines.emplace_back(c.from,
                         fmt::format("{} .. {}: responder {} {}{}{}", time(c.from), time(c.to), i, name_of(c.deed),
                                     c.deed == Deed::kLie ? fmt::format(" ({})", name_of(c.lie)) : "",
                                     c.only == SIZE_MAX ? "" : fmt::format(" towards certificate {}", c.only)));
    }
  }
  const auto add_ca_responder = [&](const char* whose, const Conducts& conducts) {
    for (const auto& spans : conducts) {
      for (const Conduct& c : spans) {
        lines.emplace_back(
            c.from, fmt::format("{} .. {}: the {} CA's responder {}{}", time(c.from), time(c.to), whose,
                                name_of(c.deed), c.deed == Deed::kLie ? fmt::format(" ({})", name_of(c.lie)) : ""));
      }
    }
  };
  add_ca_responder("upper", cas.lower_responders);
  add_ca_responder("root", cas.upper_responders);
  for (const ServerChain& chain : cas.servers) {
    lines.emplace_back(Machine::kBoot, fmt::format("servers send {}, lower one {}{}", name_of(chain.sent),
                                                   chain.lower, chain.stapled ? ", and staple it" : ""));
  }
  for (const Conduct& c : issuer_server) {
    lines.emplace_back(c.from,
                       fmt::format("{} .. {}: the issuers' server {}{}", time(c.from), time(c.to), name_of(c.deed),
                                   c.deed == Deed::kLie ? fmt::format(" ({})", name_of(c.wrong)) : ""));
  }
  for (const Shown& s : shown) {
    lines.emplace_back(s.from, fmt::format("{} .. {}: certificate {} is loaded per connection, beside it {}",
                                           time(s.from), time(s.to), s.leaf, name_of(s.chain)));
  }
  for (const Flood& f : floods) {
    lines.emplace_back(f.from, fmt::format("{} .. {}: {} forged certificates, valid for {}, {} of them insisting",
                                           time(f.from), time(f.to()), f.count, to_span(f.life), f.insisting));
  }
  for (const DiskSpan& span : disk) {
    lines.emplace_back(span.from,
                       fmt::format("{} .. {}: disk {}", time(span.from), time(span.to), name_of(span.fault)));
  }
  for (const StoreSpan& span : store) {
    lines.emplace_back(span.from,
                       fmt::format("{} .. {}: the shared store {}, nodes {:x}, every {} ms", time(span.from),
                                   time(span.to), name_of(span.deed), span.nodes, span.step));
  }
  for (const Happening& h : happenings) {
    lines.emplace_back(h.at, fmt::format("{}: {} {}{}", time(h.at), name_of(h.what), h.number,
                                         !h.flag                         ? ""
                                         : h.what == Incident::kAdopt    ? " and fails"
                                         : h.what == Incident::kRenewCas ? " at the next reload or start"
                                         : h.what == Incident::kKill || h.what == Incident::kKillHelper ||
                                                 h.what == Incident::kKillTaking
                                             ? " with the lock held"
                                             : " as another user"));
  }
  std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> text = {summary()};
  for (auto& line : lines) {
    text.push_back("  " + std::move(line.second));
  }
  return text;
}

}  // namespace ocsp_plus::sim
