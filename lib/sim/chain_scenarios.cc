// Told worlds of servers that send CA certificates. Invariant (p): what follows the leaf's staple, second by second.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "sim/calm.h"
#include "sim/chains.h"

namespace ocsp_plus::sim {
namespace {

constexpr Millis kWholeDay = 24 * kHour;
constexpr std::int64_t kMostLines = 70 * 24;  // one an hour while a responder is dead, as for leaves

// The upper CA's responses last for a day, the root's for a year.
Script chain_script() {
  Script script = herd_script(1);
  script.startup_wait = 5000;
  script.cas.servers = {{Sent::kWhole, 0, true}};
  script.cas.stapleable = true;
  script.cas.lower.validity = kDay;
  script.cas.upper.validity = 365 * kDay;
  script.cas.lower_responders.resize(1);
  script.cas.upper_responders.resize(1);
  return script;
}

// Describes how handshakes differ from a good leaf's with so many staples of CA certificates after it, the last of
// which says revoked if `revoked`; empty: not at all. Some of them cannot have any.
std::string differs(const Calm& calm, std::size_t due, bool revoked = false) {
  for (int handshakes = 0; handshakes < 8; ++handshakes) {
    for (const Node::Staple& staple : calm.node->handshake(calm.node->wanted().front())) {
      const std::size_t most = staple.staples_chain ? due : 0;
      if (staple.status != Node::Got::kGood || staple.after.size() != most) {
        return fmt::format("{} staples of CA certificates after {} leaf's, where {} were due", staple.after.size(),
                           staple.status == Node::Got::kGood ? "the good" : "no good", most);
      }
      for (std::size_t i = 0; i < most; ++i) {
        const Signed* const honest = calm.ca->find(staple.after[i]);
        if (honest == nullptr || honest->leaf != staple.sent[i] || honest->revoked != (revoked && i + 1 == most)) {
          return fmt::format("a wrong response for CA certificate {}", i + 1);
        }
      }
    }
  }
  return {};
}

void demand(Figures* figures, const Calm& calm, const char* when, std::size_t due, bool revoked = false) {
  if (const std::string how = differs(calm, due, revoked); !how.empty()) {
    fail(figures, fmt::format("(p) chain, {}: {}", when, how));
  }
}

}  // namespace

// The root's responder is dead for two months, the upper CA's for three days.
Figures run_chain_outages() {
  Script script = chain_script();
  script.cas.lower_responders[0] = {conduct(Deed::kRefuse, 20 * kWholeDay, 23 * kWholeDay)};
  script.cas.upper_responders[0] = {conduct(Deed::kRefuse, kWholeDay, 60 * kWholeDay)};
  Figures figures;
  const Calm calm(script, 60);
  calm.node->start();
  calm.run_awake(5000);
  demand(&figures, calm, "seconds after the start", 2);
  for (int day = 1; day < 64; ++day) {
    calm.run_until(Machine::kBoot + day * kWholeDay + 1000 * kNoticedWithin);
    const bool dead = day > 20 && day < 23;
    if (day != 20) {
      demand(&figures, calm, dead ? "without the lower one's response" : "on any day", dead ? 0 : 2);
    }
  }
  if (calm.machine->loud_lines > kMostLines) {
    fail(&figures, fmt::format("(p) chain: {} lines on a dead responder", calm.machine->loud_lines));
  }
  return figures;
}

// The clock goes past the end of a response, the CA certificates change, and they are revoked.
Figures run_chain_changes(bool omits) {
  Script script = chain_script();
  script.omits = omits;
  Figures figures;
  const Calm calm(script, 61);
  calm.node->start();
  calm.run_until(Machine::kBoot + 30 * kHour);
  demand(&figures, calm, "in calm", 2);
  calm.machine->set_offset(2 * kDay);
  demand(&figures, calm, "by a clock past the end of the lower one's response", 0);
  calm.machine->set_offset(0);
  demand(&figures, calm, "by a clock that is right again", 2);

  calm.node->renew_cas(4);  // by an upper one that does not expire either
  calm.node->reload(false);
  calm.run_awake(150000);
  demand(&figures, calm, "after a reload with others", 2);
  calm.node->stop(true);
  calm.node->start();
  demand(&figures, calm, "at the first handshake after a start", 2);

  const auto sent = chains::certificates_of(calm.node->wanted_chain(calm.node->wanted().front()));
  const auto revoke = [&](std::size_t position) {
    calm.ca->revoke(sent[position], calm.machine->true_time());
    calm.run_until(calm.machine->monotonic() + 90 * kHour);
  };
  revoke(1);
  demand(&figures, calm, "with the upper one revoked", omits ? 1 : 2, !omits);
  revoke(0);
  demand(&figures, calm, "with both revoked", omits ? 0 : 1, !omits);
  if (const std::string wrong = calm.node->miscounted(); !wrong.empty()) {
    fail(&figures, wrong);
  }
  return figures;
}

}  // namespace ocsp_plus::sim
