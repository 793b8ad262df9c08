// Rule (p): the staples of the CA certificates that are sent after a leaf.
#include <fmt/format.h>

#include "sim/chains.h"
#include "sim/oracle.h"

namespace ocsp_plus::sim {

void Oracle::judge_chain(LeafNumber leaf, const Node::Staple& staple) {
  const std::vector<Bytes>& after = staple.after;
  const bool stapled = staple.staples_chain && staple.status == Node::Got::kGood;
  const std::size_t most = stapled ? chains::stapleable(staple.sent) : 0;
  if (after.size() > most || staple.remembered != after.size()) {
    return complain(leaf, fmt::format("(p) {} staples follow the leaf's, of which {} are remembered and {} allowed",
                                      after.size(), staple.remembered, most));
  }
  chained_.count += after.empty() ? 0 : 1;
  chained_.loaded += after.empty() || served_.count(leaf) != 0 ? 0 : 1;
  std::size_t due = 0;
  for (std::size_t i = 0; i < most; ++i) {
    const LeafNumber number = staple.sent[i];
    if (served_.count(number) == 0) {
      clear(&records_[number]);  // it may have been evicted since, or never been taken
    }
    if (i == after.size()) {
      judge_certificate(number, Node::Got::kNone, {});
      return;
    }
    const Signed* const honest = ca_.find(after[i]);
    const bool revoked = honest != nullptr && honest->revoked;
    due += judge_certificate(number, revoked ? Node::Got::kRevoked : Node::Got::kGood, after[i]) ? 1 : 0;
    if (revoked) {
      ++chained_.revoked;
      if (script_.omits || i + 1 != after.size()) {
        complain(number, script_.omits ? "(p) served a response that says revoked, which had to be omitted"
                                       : "(p) a staple follows one that says revoked");
      }
      return;
    }
  }
  chained_.due += most != 0 && due == most ? 1 : 0;
}

}  // namespace ocsp_plus::sim
