// Failing certificates, grouped by what one log line says about them: the host that was asked, the reason, and
// whether a response is held meanwhile. Ten thousand certificates of a dead host are one group. Pure: the caller
// passes the monotonic time and writes the lines.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/reason.h"
#include "base/time.h"

namespace ocsp_plus::engine {

class FailureGroups {
 public:
  struct Key {
    std::string host;  // health key; empty where no host was asked
    Reason reason = Reason::kNotChecked;
    bool held = false;

    bool operator<(const Key& other) const {
      return std::tie(host, reason, held) < std::tie(other.host, other.reason, other.held);
    }
  };
  struct Group {
    std::uint64_t certificates = 0;  // in the group now: their last attempt failed so
    std::uint64_t most = 0;          // the largest value of `certificates`
    std::uint64_t failures = 0;      // since the last line
    std::optional<Millis> said;      // time of the last line; nothing: none yet
    std::uint64_t told = 0;          // number of certificates in that line
    bool first_of_host = false;      // no line about the host within the hour before
    // The loudest line about a failure of its certificates, also in groups that they have left empty; nothing: none.
    std::optional<LogLevel> loudest;
  };

  // A line is repeated after kRepeat ms, or after kGrowth ms if the group has doubled by then.
  static constexpr Millis kRepeat = 3600000;
  static constexpr Millis kGrowth = 10000;

  // Records a failed attempt; returns its group, valid until the next call.
  Group& failed(const CertificateId& id, const Key& key, Millis now);
  // Whether one more failure deserves a line of its own: the group's first, or an hour after the last if the group
  // has only this certificate.
  static bool is_due(const Group& group, Millis now);
  // The level of a group's lines: warn while a response is held, else error.
  static LogLevel level_of(const Key& key) { return key.held ? LogLevel::kWarn : LogLevel::kError; }
  // Records that the line was written, at `level`.
  void said(const Key& key, Group& group, Millis now, LogLevel level);

  // Records a success. Returns the group, if a failure was logged and this was its last certificate.
  std::optional<std::pair<Key, Group>> succeeded(const CertificateId& id);
  // Records that a certificate without a response got one that its responder did not give: as succeeded(). Changes
  // nothing for one that held a response: its responder still fails.
  std::optional<std::pair<Key, Group>> supplied(const CertificateId& id);
  // Removes a certificate that has gone.
  void forget(const CertificateId& id);

  // Groups of several certificates with news to log; marks them as logged. Call it about twice a second.
  std::vector<std::pair<Key, Group>> take_due(Millis now);

 private:
  using Groups = std::map<Key, Group>;

  std::optional<LogLevel> leave(Groups::iterator group);
  void prune(Millis now);

  Groups groups_;
  std::map<CertificateId, Groups::iterator> of_certificate_;  // those that failed since their last success
  std::map<std::string, Millis> hosts_said_;
  Millis pruned_ = 0;
};

}  // namespace ocsp_plus::engine
