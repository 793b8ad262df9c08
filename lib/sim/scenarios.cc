// Fixed scenarios, for situations that random seeds reach too rarely or only with many certificates or nodes.
//
// Invariant (d), no herds: certificates fetched in one minute are not refreshed in one minute, those loaded from the
// directory not at once, and nodes with the same response not together.
// Invariant (e): a revocation while the disk is full.
// Invariant (b): a start while the responder hangs for one certificate; a responder with a single method; a responder
// that returns after hours.
// Floods: a responder that refuses all requests, a clock that jumps back and forth.
// Certificates loaded per connection: they soon have a staple and keep it.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "sim/calm.h"
#include "sim/run.h"

namespace ocsp_plus::sim {
namespace {

constexpr double kMostPeak = 6;
constexpr double kMostRestartPeak = 2.5;
constexpr double kMostBoundPeak = 6;  // of a second, in which two or three are asked for
constexpr Millis kSlice = 10000;
constexpr Millis kCheckedWithin = 300000;

}  // namespace

// The mean is that of the busy span (the tenth of the validity over which attempts are spread): the idle days in
// between would make every peak look high.
Figures run_herd(std::size_t certificates) {
  const Script script = herd_script(certificates);
  Figures figures;
  const Calm calm(script, 1);
  calm.node->start();
  const Millis began = calm.machine->monotonic();
  calm.run_until(Machine::kBoot + script.length);

  std::map<Millis, std::int64_t> by_minute;
  std::int64_t peak = 0;
  for (const Millis time : calm.network->times()) {
    if (time > began + kHour) {
      peak = std::max(peak, ++by_minute[time / 60000]);
    }
  }
  // The first round of refreshes: between 40 % and 50 % of the validity.
  const double window = static_cast<double>(script.practice.validity) / 10 / 60;
  const double mean = static_cast<double>(certificates) / window;
  figures.peak = static_cast<double>(peak) / mean;
  if (figures.peak > kMostPeak || by_minute.size() < certificates / 4) {
    fail(&figures, fmt::format("(d) herd: {} requests in one minute, {:.1f} times the mean of {:.1f}", peak,
                               figures.peak, mean));
  }
  return figures;
}

// After a restart hours later each certificate is fetched once, within five minutes; after another restart within the
// hour, none.
Figures run_restarted_herd(std::size_t certificates) {
  Script script = herd_script(certificates);
  const Calm calm(script, 2);
  calm.node->start();
  calm.run_until(calm.machine->monotonic() + 2 * kHour);
  const auto restart = [&calm] {
    calm.node->stop(true);
    calm.node->start();
    return calm.network->times().size();
  };
  Figures figures;
  const std::size_t before = restart();
  const Millis began = calm.machine->monotonic();
  calm.run_until(began + kHour / 2);
  std::map<Millis, std::int64_t> by_slice;
  std::int64_t peak = 0;
  const auto& times = calm.network->times();
  for (std::size_t i = before; i < times.size(); ++i) {
    peak = std::max(peak, ++by_slice[times[i] / kSlice]);
  }
  const std::size_t asked = times.size() - before;
  const Millis took = asked == 0 ? 0 : times.back() - began;
  const double mean = static_cast<double>(certificates) * kSlice / kCheckedWithin;
  figures.restart_peak = static_cast<double>(peak) / mean;
  if (asked != certificates || took > kCheckedWithin + kSlice || figures.restart_peak > kMostRestartPeak) {
    fail(&figures,
         fmt::format("(d) restart: {} requests for {} certificates within {} s, at the most {} in ten seconds", asked,
                     certificates, took / 1000, peak));
  }
  const std::size_t between = restart();
  calm.run_until(calm.machine->monotonic() + kHour / 3);
  if (calm.network->times().size() != between) {
    fail(&figures, fmt::format("(d) restart: {} requests again after another restart within the hour",
                               calm.network->times().size() - between));
  }
  return figures;
}

// Nodes behind one HTTP cache get the same response.
Figures run_fleet(std::size_t nodes) {
  Script script = herd_script(1);
  script.practice.validity = kDay;
  script.practice.resign = kDay / 2;
  script.length = 1000 * 20 * kDay;
  Figures figures;
  std::map<Millis, std::int64_t> by_slice;
  std::size_t requests = 0;
  for (std::size_t i = 0; i < nodes; ++i) {
    const Calm calm(script, 100 + i);
    calm.node->start();
    calm.run_until(Machine::kBoot + script.length);
    for (const Millis time : calm.network->times()) {
      if (time > Machine::kBoot + kHour) {
        ++requests;
        figures.fleet_peak = std::max(figures.fleet_peak, static_cast<double>(++by_slice[time / kSlice]));
      }
    }
  }
  if (figures.fleet_peak > static_cast<double>(nodes) / 4 || requests < 20 * nodes) {
    fail(&figures, fmt::format("(d) fleet: {} of {} nodes ask for one certificate within ten seconds",
                               figures.fleet_peak, nodes));
  }
  return figures;
}

// The revocation comes while the disk is full; the good response in the directory would be valid for days.
Figures run_full_disk() {
  Script script = herd_script(1);
  script.disk.push_back({Machine::kBoot + 2 * kHour, Machine::kBoot + 140 * kHour, DiskFault::kFull});
  script.responders[0].push_back(conduct(Deed::kRefuse, 90 * kHour, 200 * kHour));
  const Calm calm(script, 3);
  const LeafNumber leaf = calm.node->wanted().front();
  Figures figures;
  calm.node->start();
  calm.run_until(Machine::kBoot + 3 * kHour);
  calm.ca->revoke(leaf, calm.machine->true_time());
  calm.run_until(Machine::kBoot + 89 * kHour);
  if (!calm.gets(leaf, Node::Got::kRevoked)) {
    fail(&figures, "(e) full disk: the revocation did not come");
  }
  calm.node->stop(true);
  calm.run_until(Machine::kBoot + 96 * kHour);
  calm.node->start();
  calm.run_until(Machine::kBoot + 97 * kHour);
  if (calm.gets(leaf, Node::Got::kGood)) {
    fail(&figures, "(e) full disk: good again after a restart, though revoked");
  }
  return figures;
}

// Servers omit revoked responses: one certificate is good and then revoked, another never has a response.
Figures run_without_staple(op_require_t require) {
  Script script = herd_script(2);
  script.startup_wait = 5000;
  script.require = require;
  script.omits = true;
  Conduct silent = conduct(Deed::kRefuse, 0, script.length);
  silent.only = Pki::kLeaves + 1;
  script.responders[0].push_back(silent);
  Figures figures;
  const Calm calm(script, 10);
  const auto all_get = [&](LeafNumber leaf, const char* when, auto due) {
    for (int handshakes = 0; handshakes < 10; ++handshakes) {  // some with another module's response
      for (const Node::Staple& staple : calm.node->handshake(leaf)) {
        if (staple.outcome != due(staple)) {
          fail(&figures, fmt::format("(i) without a staple, require {}: outcome {} of certificate {} {}",
                                     static_cast<int>(require), static_cast<int>(staple.outcome), leaf, when));
        }
      }
    }
  };
  const auto bare = [require](LeafNumber leaf) {
    const bool required = require == OP_REQUIRE_ON || (require == OP_REQUIRE_MUST_STAPLE && Pki::must_staple(leaf));
    return required ? OP_REFUSED : OP_NO_STAPLE;
  };
  const LeafNumber leaf = Pki::kLeaves;
  calm.node->start();
  calm.run_until(calm.machine->monotonic() + kHour);
  all_get(leaf, "while it is good", [](const Node::Staple&) { return OP_STAPLED; });
  all_get(silent.only, "of which nothing is held", [&](const Node::Staple& staple) {
    return bare(silent.only) == OP_NO_STAPLE && staple.foreign_set ? OP_FOREIGN : bare(silent.only);
  });
  calm.ca->revoke(leaf, calm.machine->true_time());
  calm.run_until(calm.machine->monotonic() + 90 * kHour);
  all_get(leaf, "once it is revoked", [&](const Node::Staple&) { return bare(leaf); });
  if (const std::string wrong = calm.node->miscounted(); !wrong.empty()) {
    fail(&figures, wrong);
  }
  return figures;
}

// The hanging certificate is fetched first, and does not need a staple.
Figures run_hanging_start() {
  Script script = herd_script(6);
  script.startup_wait = 5000;
  Conduct hangs = conduct(Deed::kHang, 0, kHour);
  hangs.only = Pki::kLeaves + 1;
  script.responders[0].push_back(hangs);
  Figures figures;
  const Calm calm(script, 4);
  std::swap(calm.node->wanted()[0], calm.node->wanted()[1]);
  const Millis began = calm.machine->monotonic();
  calm.node->start();
  const Millis took = calm.machine->monotonic() - began;
  if (took > 2100) {
    fail(&figures, fmt::format("(b) hanging start: it took {} ms", took));
  }
  for (const LeafNumber leaf : calm.node->wanted()) {
    if (leaf != hangs.only && !calm.gets(leaf, Node::Got::kGood)) {
      fail(&figures, fmt::format("(b) hanging start: no staple for certificate {}", leaf));
    }
  }
  return figures;
}

// Half of the time only POST works, then only GET.
Figures run_other_method() {
  Script script = herd_script(3);
  script.responders[0] = {conduct(Deed::kOnlyPost, 0, script.length / 2),
                          conduct(Deed::kOnlyGet, script.length / 2, script.length)};
  Figures figures;
  const Calm calm(script, 6);
  calm.node->start();
  for (Millis time = calm.machine->monotonic(); time < Machine::kBoot + script.length; time += kHour) {
    calm.run_until(time);
    for (const LeafNumber leaf : calm.node->wanted()) {
      if (!calm.gets(leaf, Node::Got::kGood)) {
        fail(&figures, fmt::format("(b) other method: no staple for certificate {} at {} s", leaf, time / 1000));
      }
    }
  }
  return figures;
}

Figures run_long_outage() {
  Figures figures;
  for (std::uint64_t seed = 20; seed < 30; ++seed) {
    Script script = herd_script(1);
    script.responders[0] = {conduct(Deed::kRefuse, 0, 6 * kHour)};
    const Calm calm(script, seed);
    ++calm.node->wanted().front();  // one without must-staple
    calm.node->start();
    calm.run_until(Machine::kBoot + 6 * kHour + 1000 * kNoticedWithin);
    if (!calm.gets(calm.node->wanted().front(), Node::Got::kGood)) {
      fail(&figures, fmt::format("(b) long outage: no staple {} s after its end", kNoticedWithin));
    }
  }
  return figures;
}

Figures run_refreshed(Seconds refresh) {
  const std::size_t certificates = refresh == 0 ? 60 : 1000;
  const Seconds round = refresh == 0 ? 300 : refresh;
  Figures figures;
  Script script = herd_script(certificates);
  script.refresh = refresh;
  const Calm calm(script, 31);
  calm.node->start();
  const Millis began = calm.machine->monotonic();
  Prng prng(7);
  std::map<LeafNumber, UnixSeconds> revoked;
  for (int i = 0; i < 20; ++i) {
    const LeafNumber leaf = calm.node->wanted()[static_cast<std::size_t>(i * 3)];
    calm.machine->at(began + 1000 * (2 * round + prng.between(0, round)), [=, &revoked] {
      revoked[leaf] = calm.machine->true_time();
      calm.ca->revoke(leaf, calm.machine->true_time());
    });
  }
  const Millis end = began + (refresh == 0 ? 7 * 24 * kHour : 1000 * (4 * refresh + 60));
  Seconds longest = 0;
  while (calm.machine->monotonic() < end && (refresh != 0 || figures.noticed_unbound < 20)) {
    calm.run_until(calm.machine->monotonic() + (refresh == 0 ? kHour : 1000));
    for (auto at = revoked.begin(); at != revoked.end();) {
      if (!calm.gets(at->first, Node::Got::kRevoked)) {
        ++at;
        continue;
      }
      ++(refresh == 0 ? figures.noticed_unbound : figures.noticed);
      longest = std::max(longest, calm.machine->true_time() - at->second);
      at = revoked.erase(at);
    }
  }
  if (refresh == 0) {
    figures.early = static_cast<double>(longest) / 3600;
    return figures;
  }
  figures.late = static_cast<double>(longest) / static_cast<double>(refresh);
  if (figures.noticed != 20 || longest > refresh + 6) {
    fail(&figures,
         fmt::format(
             "(o) refreshed: {} of 20 revocations were served, after {} s at the latest, under a bound of {} s",
             figures.noticed, longest, refresh));
  }
  // From the second round on.
  std::map<Millis, std::int64_t> by_second;
  std::int64_t peak = 0, all = 0;
  for (const Millis time : calm.network->times()) {
    if (time > began + 1000 * refresh && time <= began + 3000 * refresh) {
      peak = std::max(peak, ++by_second[time / 1000]);
      ++all;
    }
  }
  const double mean = static_cast<double>(certificates) / static_cast<double>(refresh);
  figures.bound_peak = static_cast<double>(peak) / mean;
  if (figures.bound_peak > kMostBoundPeak ||
      all > static_cast<std::int64_t>(2.1 * static_cast<double>(certificates))) {
    fail(&figures, fmt::format("(d) refreshed: {} requests in two bounds, {} of them in one second", all, peak));
  }
  return figures;
}

Figures run_refreshed_outage() {
  constexpr Seconds kBound = 120;
  Figures figures;
  for (std::uint64_t seed = 40; seed < 50; ++seed) {
    Script script = herd_script(3);
    script.refresh = kBound;
    script.responders[0] = {conduct(Deed::kRefuse, kHour, 6 * kHour)};
    const Calm calm(script, seed);
    calm.node->start();
    calm.run_until(Machine::kBoot + 3 * kHour);
    for (const LeafNumber leaf : calm.node->wanted()) {
      calm.ca->revoke(leaf, calm.machine->true_time());
    }
    calm.run_until(Machine::kBoot + 6 * kHour + 1000 * (kBound + 10));
    for (const LeafNumber leaf : calm.node->wanted()) {
      if (!calm.gets(leaf, Node::Got::kRevoked)) {
        fail(&figures, fmt::format("(o) refreshed outage: good is served {} s after its end", kBound + 10));
      }
    }
  }
  return figures;
}

Figures run_flood(std::size_t certificates) {
  Script script = herd_script(certificates);
  Conduct refuses = conduct(Deed::kLie, 0, kHour);
  refuses.lie = Lie::kUnauthorized;
  script.responders[0].push_back(refuses);
  Figures figures;
  const Calm calm(script, 5);
  const auto in_minute = [&](const char* what, double most_requests, std::int64_t most_lines, Millis step) {
    const std::size_t before = calm.network->times().size();
    calm.machine->loud_lines = 0;
    const Millis end = calm.machine->monotonic() + 60000;
    for (Seconds offset = 7200; calm.machine->monotonic() < end; offset = 7200 - offset) {
      calm.run_until(std::min(end, calm.machine->monotonic() + step));
      if (step < 60000) {
        calm.machine->set_offset(offset);
      }
    }
    const auto requests = static_cast<double>(calm.network->times().size() - before);
    if (requests > most_requests * static_cast<double>(certificates) || calm.machine->loud_lines > most_lines) {
      fail(&figures, fmt::format("(d) {}: {} requests for {} certificates, {} lines within a minute", what, requests,
                                 certificates, calm.machine->loud_lines));
    }
  };
  calm.node->start();
  calm.machine->loud_lines = 0;
  in_minute("flood", 0.5, 10, 60000);
  calm.run_until(Machine::kBoot + kHour / 4);
  in_minute("flood, while the clock goes to and fro", 3.5, 20, 1000);
  in_minute("flood, and still", 0.5, 20, 1000);
  const auto all = static_cast<double>(calm.network->times().size());
  if (all < static_cast<double>(certificates) || all > 8 * static_cast<double>(certificates)) {
    fail(&figures, fmt::format("(d) flood: {} requests for {} certificates", all, certificates));
  }
  return figures;
}

// --- certificates loaded per connection ---

namespace {

constexpr Millis kSoon = 5000;  // from the first handshake to a staple, without faults

Script loaded_script() {
  Script script = herd_script(1);
  script.loads = true;
  std::size_t which = 4;  // none of these four expires in time
  for (const Chain chain : {Chain::kComplete, Chain::kBehindLookalike, Chain::kEmpty, Chain::kLookalike}) {
    script.shown.push_back({Pki::loaded(which++, false, true), chain, Machine::kBoot, kNever});
  }
  return script;
}

// One of each kind.
std::vector<LeafNumber> forge_all(const Script& script, UnixSeconds end) {
  std::vector<LeafNumber> forged;
  for (int how = 0; how <= static_cast<int>(Forgery::kLast); ++how) {
    // One look-alike copies the CA's key identifier, the other does not.
    for (int other = 0; other < 2; ++other) {
      forged.push_back(Pki::kForged + forged.size());
      Pki::get().forge(forged.back(), static_cast<Forgery>(how), script.shown.front().leaf, false, end);
    }
  }
  return forged;
}

// Returns whether every configuration currently served gives this status.
bool shown_get(const Calm& calm, LeafNumber leaf, Chain chain, Node::Got status) {
  const auto all = calm.node->show(leaf, chain);
  return !all.empty() && std::all_of(all.begin(), all.end(), [&](const Node::Shown& shown) {
    const Signed* const honest = calm.ca->find(shown.staple.der);
    return shown.staple.status == status &&
           (status == Node::Got::kNone || (honest != nullptr && honest->leaf == leaf));
  });
}

}  // namespace

Figures run_loaded() {
  const Script script = loaded_script();
  const Calm calm(script, 7);
  Figures figures;
  const std::vector<LeafNumber> forged = forge_all(script, kEpoch + 30 * kDay);
  const auto show = [&](Node::Got status, const char* when) {
    for (const LeafNumber leaf : forged) {
      if (!shown_get(calm, leaf, Chain::kEmpty, Node::Got::kNone)) {
        fail(&figures, fmt::format("(h) loaded: a staple for certificate {}, which is forged", leaf));
      }
    }
    for (const Shown& one : script.shown) {
      if (!shown_get(calm, one.leaf, one.chain, status)) {
        fail(&figures,
             fmt::format("(b) loaded: {} for certificate {}, beside it {}, {}",
                         status == Node::Got::kNone ? "a staple" : "no staple", one.leaf, name_of(one.chain), when));
      }
    }
  };
  const auto pass = [&](Millis span) { calm.run_until(calm.machine->monotonic() + span); };
  const auto shown_hourly = [&](int hours, const char* when) {
    for (; hours > 0; --hours) {
      pass(kHour);
      show(Node::Got::kGood, when);
    }
  };
  calm.node->start();
  pass(kSoon);
  show(Node::Got::kNone, "before anybody knew it");
  calm.run_awake(kSoon);
  show(Node::Got::kGood, "five seconds after the first handshake");
  shown_hourly(100, "in calm");
  const LeafNumber moved = script.shown[2].leaf;
  calm.node->wanted().push_back(moved);
  calm.node->reload(true);  // fails: the worker that handed it over does so again
  shown_hourly(200, "after a reload that failed, whose configuration named one of them");
  calm.node->wanted().pop_back();
  calm.node->reload(false);
  shown_hourly(40, "after a reload");
  calm.node->wanted().push_back(moved);
  calm.node->reload(false);
  if (!calm.gets(moved, Node::Got::kGood)) {
    fail(&figures, "(b) loaded: no staple where the configuration has come to name it");
  }
  shown_hourly(20, "while the configuration names one of them");
  calm.node->wanted().pop_back();
  calm.node->reload(false);
  calm.run_awake(1000);
  show(Node::Got::kGood, "while the workers change that named one of them");
  shown_hourly(20, "after the configuration has named one of them");
  calm.node->stop(true);
  calm.node->start();
  pass(kSoon);
  show(Node::Got::kNone, "after a restart, before anybody knew it");
  calm.run_awake(kSoon);
  show(Node::Got::kGood, "five seconds after that");
  shown_hourly(100, "after a restart");
  const double periods = static_cast<double>(calm.machine->monotonic() - Machine::kBoot) / 1000 /
                         static_cast<double>(script.practice.validity);
  for (const Shown& one : script.shown) {
    const auto asked = static_cast<double>(calm.network->requests().at(one.leaf));
    if (asked > 2 + 2.5 * periods) {
      fail(&figures, fmt::format("(c) loaded: {} requests for certificate {}", asked, one.leaf));
    }
  }
  return figures;
}

// The only certificate of its CA: the configuration that knew its issuer is gone, and no server sends it.
Figures run_released() {
  Script script = loaded_script();
  script.shown.clear();
  const Calm calm(script, 9);
  Figures figures;
  const LeafNumber leaf = calm.node->wanted().front();
  calm.node->start();
  calm.run_until(calm.machine->monotonic() + kHour);
  calm.node->wanted().clear();
  calm.node->reload(false);
  for (int second = 0; second < 120; ++second) {
    calm.run_awake(1000);
    if (!shown_get(calm, leaf, Chain::kEmpty, Node::Got::kGood)) {
      fail(&figures, fmt::format("(b) released: no staple {} s after the configuration has named it", second + 1));
    }
  }
  return figures;
}

// Certificates shown every second stay, despite the flood.
Figures run_loaded_flood(std::size_t count) {
  Script script = loaded_script();
  script.small_zone = true;
  const Calm calm(script, 8);
  Figures figures;
  calm.node->start();
  const auto show = [&](bool due) {
    for (const Shown& one : script.shown) {
      if (!shown_get(calm, one.leaf, one.chain, Node::Got::kGood) && due) {
        fail(&figures, fmt::format("(b) flood: no staple for certificate {}, beside it {}, which is in use", one.leaf,
                                   name_of(one.chain)));
      }
    }
  };
  for (int second = 0; second < 60; ++second) {
    calm.run_awake(1000);
    show(second > 40);
  }
  for (LeafNumber leaf = Pki::kForged; leaf < Pki::kForged + count; ++leaf) {
    const auto how = static_cast<Forgery>(leaf % 50 == 0 ? 3 : leaf % 3);
    Pki::get().forge(leaf, how, script.shown.front().leaf, false, kEpoch + kDay);
    calm.run_awake(200);
    if (!shown_get(calm, leaf, Chain::kEmpty, Node::Got::kNone)) {
      fail(&figures, fmt::format("(h) flood: a staple for certificate {}, which is forged", leaf));
    }
    if (leaf % 5 == 0) {
      show(true);
    }
  }
  if (calm.node->loaded().evicted == 0) {
    fail(&figures, "flood: everything had room");
  }
  return figures;
}

}  // namespace ocsp_plus::sim
