// Certificates that fail, grouped by what is told of them in one line: the host that was asked, the reason, and
// whether a response is held meanwhile. Ten thousand certificates of a dead host are one group. Pure: the caller
// brings the monotonic time, and decides what is written.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/bytes.h"
#include "base/reason.h"
#include "base/time.h"

namespace ocsp_plus::engine {

class FailureGroups {
 public:
  struct Key {
    std::string host;  // health key; empty where nobody was asked
    Reason reason = Reason::kNotChecked;
    bool held = false;

    bool operator<(const Key& other) const {
      return std::tie(host, reason, held) < std::tie(other.host, other.reason, other.held);
    }
  };
  struct Group {
    std::uint64_t certificates = 0;  // whose last attempt ended so
    std::uint64_t most = 0;          // of them at any time
    std::uint64_t failures = 0;      // since the last line
    std::optional<Millis> said;      // the last line; nothing: none yet
    std::uint64_t told = 0;          // certificates, in that line
    bool first_of_host = false;      // nothing had been said of the host within the hour before
  };

  // A line is repeated after so long, or sooner where it holds for twice as many certificates by then.
  static constexpr Millis kRepeat = 3600000;
  static constexpr Millis kGrowth = 10000;

  // An attempt for that certificate ended so; its group, valid until the next call.
  Group& failed(const CertificateId& id, const Key& key, Millis now);
  // Whether one more failure is worth a line of its own: the first of its group, or the hour is over for the only
  // certificate in it.
  static bool is_due(const Group& group, Millis now);
  // That line was written.
  void said(const Key& key, Group& group, Millis now);

  // An attempt succeeded. The group, if it was told of and this was the last certificate in it.
  std::optional<std::pair<Key, Group>> succeeded(const CertificateId& id);
  // The certificate has gone.
  void forget(const CertificateId& id);

  // Groups of several certificates of which there is more to tell. Marks them as told; to be called about twice a
  // second.
  std::vector<std::pair<Key, Group>> take_due(Millis now);

 private:
  using Groups = std::map<Key, Group>;

  void leave(Groups::iterator group);
  void prune(Millis now);

  Groups groups_;
  std::map<CertificateId, Groups::iterator> of_certificate_;  // since its last success
  std::map<std::string, Millis> hosts_said_;
  Millis pruned_ = 0;
};

}  // namespace ocsp_plus::engine
