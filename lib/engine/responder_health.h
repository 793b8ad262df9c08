// The health of responders, by host and port: how many exchanges may run with each host, and which hosts are left
// alone because they fail.
//
// A host that has never answered gets one exchange, and three more if that one hangs: its certificate may be the
// cause. A host that has answered gets half of all slots. A failing host is probed by one exchange when its probe is
// due; all other certificates that need it wait without holding a slot. So ten thousand certificates on a dead host
// cost one time-out after the other, not ten thousand, and a dead host cannot starve a live one.
//
// All hosts may be behind one proxy. Its failures count against no host: while it fails, one exchange with any host
// probes it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/reason.h"
#include "base/time.h"
#include "crypto/ocsp_request.h"
#include "engine/schedule.h"

namespace ocsp_plus::engine {

class ResponderHealth {
 public:
  explicit ResponderHealth(std::size_t concurrency) : concurrency_(concurrency) {}

  enum class State { kUnproven, kUp, kFailing };
  struct Host {
    State state = State::kUnproven;
    std::uint32_t consecutive_errors = 0;  // up to the limit at which the host counts as failing
    std::uint32_t failures = 0;            // since it counts as failing: the first, and one a probe
    std::uint32_t in_flight = 0;
    Millis began = 0;            // monotonic; of the oldest exchange in flight, or of one that has ended since
    UnixSeconds next_probe = 0;  // kFailing: no exchange before
    TryTimes probes;             // as planned; next_probe may be earlier
    UnixSeconds failed_at = 0;   // time of the last failure; reason: its cause
    Reason reason = Reason::kNotChecked;
    std::uint32_t refusals = 0;                           // in a row
    crypto::CertIdHash hash = crypto::CertIdHash::kSha1;  // the hash that it has answered to
    std::uint32_t same_past_caches = 0;                   // answers in a row that were the cache's all the same
    Millis caches_until = 0;                              // until then its caches are believed; monotonic
    bool late = false;                                    // it has been logged as one that cannot keep up
  };
  // kBusy: a slot comes free by itself. kFailing: not before next_probe.
  enum class Permit { kAllowed, kBusy, kFailing };

  // An exchange with a host that has never answered counts as hanging after kHangs ms; then kMostBesideHanging may
  // run.
  static constexpr Millis kHangs = 300;
  static constexpr std::uint32_t kMostBesideHanging = 4;
  // How many exchanges a host in that state may have at once. `oldest`: age of its oldest running exchange, in ms;
  // `concurrency`: of all hosts together.
  static std::uint32_t most_at_once(State state, Millis oldest, std::size_t concurrency);

  // `now`: wall clock; `monotonic`: monotonic clock.
  Permit may_start(const std::string& host, UnixSeconds now, Millis monotonic) const;
  // How many more leases of a fleet (engine/sharing.h) make sense for a host that may_start() allows. One that has
  // never answered gets one, whether that hangs or not: the other nodes try the other certificates.
  std::size_t leases(const std::string& host) const;
  // Returns a token; pass it to failed() if the exchange fails.
  std::uint32_t started(const std::string& host, Millis monotonic);
  // The exchange was cancelled: it says nothing about the host's health.
  void cancelled(const std::string& host);
  void answered(const std::string& host);
  // `leave_alone`: the host has asked for it (Retry-After), so it counts as failing from now on, however well it did
  // before. Returns the host's failures, by which the caller plans the next probe; 0: nothing to plan, as the host is
  // forgiven, or the exchange had begun before the host counted as failing: eight exchanges that time out together
  // are no reason to back off eight times.
  std::uint32_t failed(const std::string& host, std::uint32_t started, bool leave_alone);
  // The proxy failed, which says nothing about the host. Returns the proxy's failures, as failed().
  std::uint32_t proxy_failed(const std::string& host, UnixSeconds now);
  void plan_proxy_probe(const TryTimes& when);
  void plan_probe(const std::string& host, const TryTimes& when);
  // Records why the host, or the proxy, failed last: certificates that wait for it without having been asked for show
  // this.
  void remember_failure(const std::string& host, bool of_proxy, Reason reason, UnixSeconds now);
  // A waiting certificate's response ends soon: probe no later than `when`.
  void bring_probe_forward(const std::string& host, UnixSeconds when);
  // A certificate with that need waits for the host: probe at the time that was planned for the need.
  void bring_probe_forward(const std::string& host, Need need);
  // A certificate with that bound (RefreshBound::within) waits for the host: probe as often.
  void bring_probe_within(const std::string& host, Seconds bound);
  // The wall clock jumped: drops all times planned by it.
  void forget_probe_times();
  // The wall clock jumped by that much: all probes stay as far away as they were.
  void shift_probe_times(Seconds by);

  // The host's answer was of no use for the certificate; or was accepted.
  void refused(const std::string& host);
  void accepted(const std::string& host) { hosts_[host].refusals = 0; }
  // Returns the host's refusals in a row if they show that it refuses every certificate; else 0.
  std::uint32_t consecutive_refusals(const std::string& host) const;

  // The CertID hash to ask the host by, and the record that it answered to one.
  crypto::CertIdHash hash(const std::string& host) const;
  void remember_hash(const std::string& host, crypto::CertIdHash hash) { hosts_[host].hash = hash; }

  // Whether a certificate whose answer an HTTP cache has held for too long may be asked for past it. A host that
  // gives its caches' answers kMostSame times in a row is not asked so for kCachesBelieved ms.
  static constexpr std::uint32_t kMostSame = 10;
  static constexpr Millis kCachesBelieved = 86400000;
  bool worth_past_caches(const std::string& host, Millis monotonic) const;
  // `same`: the answer past the caches had the same bytes as theirs.
  void answered_past_caches(const std::string& host, bool same, Millis monotonic);

  // Records that a certificate has waited for the host for too long, without a failure since `waits_since`. false: it
  // has failed, or is known for it.
  bool falls_behind(const std::string& host, UnixSeconds waits_since);

  // No certificate asks the host any more. Does nothing while an exchange runs with it.
  void forget(const std::string& host);

  // The host has answered this process and does not fail.
  bool answers(const std::string& host) const;
  // The host fails, or the proxy.
  bool failing(const std::string& host) const;
  UnixSeconds next_probe(const std::string& host) const;
  const std::map<std::string, Host>& all() const { return hosts_; }
  const Host& proxy() const { return proxy_; }

 private:
  void ended(Host& host);
  void proxy_works();

  std::size_t concurrency_;
  std::size_t failing_in_flight_ = 0;
  Host proxy_;  // never failing if there is no proxy
  std::map<std::string, Host> hosts_;
};

}  // namespace ocsp_plus::engine
