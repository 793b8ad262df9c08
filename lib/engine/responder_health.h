// The health of responders, counted by host and port: how many exchanges may run with each, and which of them are
// left alone because they fail.
//
// A host that has never answered gets one exchange, and three more where that one hangs: it may hang for the sake of
// its certificate. A host that has answered gets half of all slots. A host that fails is probed by one exchange when
// its time comes; everybody else who needs it waits without holding a slot. So ten thousand certificates on a dead
// host cost one time-out after the other, not ten thousand, and a dead host cannot starve a live one.
//
// All of them may be behind one proxy, which can fail as well. That counts against none of them: while it fails it is
// probed by one exchange, whichever host that is for.
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
    std::uint32_t consecutive_errors = 0;  // in a row, up to as many as patience bears
    std::uint32_t failures = 0;            // since it counts as failing: the first and each probe's
    std::uint32_t in_flight = 0;
    Millis began = 0;            // the oldest of those in flight, or one that has ended since; monotonic
    UnixSeconds next_probe = 0;  // kFailing: not before
    TryTimes probes;             // as planned; next_probe may have been brought forward since
    UnixSeconds failed_at = 0;   // the last failure, and why
    Reason reason = Reason::kNotChecked;
    std::uint32_t refusals = 0;                           // in a row
    crypto::CertIdHash hash = crypto::CertIdHash::kSha1;  // by which it has answered
  };
  // kBusy: a slot will come free without anybody's doing. kFailing: not before next_probe.
  enum class Permit { kAllowed, kBusy, kFailing };

  // An exchange with a host that has never answered is taken to hang after so long; then as many may run.
  static constexpr Millis kHangs = 300;
  static constexpr std::uint32_t kMostBesideHanging = 4;
  // How many exchanges a host of that state is given at once. `oldest`: the age of the oldest of those that run, in
  // milliseconds; `concurrency`: of all hosts together.
  static std::uint32_t most_at_once(State state, Millis oldest, std::size_t concurrency);

  // `now` is the wall clock's, `monotonic` the monotonic clock's.
  Permit may_start(const std::string& host, UnixSeconds now, Millis monotonic) const;
  // Returns a token, which failed() takes.
  std::uint32_t started(const std::string& host, Millis monotonic);
  // The exchange ended without a word on the host's health: it was cancelled.
  void cancelled(const std::string& host);
  void answered(const std::string& host);
  // `leave_alone`: it counts as failing from now on, however well it did before, because it asked for that itself
  // (Retry-After). Returns its failures, by which the caller plans the next probe. 0: there is nothing to plan; the
  // host is forgiven, or the exchange had begun before it counted as failing: eight that time out together are no
  // reason to back off eight times.
  std::uint32_t failed(const std::string& host, std::uint32_t started, bool leave_alone);
  // It was the proxy that failed, and of the host it says nothing. Returns the proxy's failures, as failed().
  std::uint32_t proxy_failed(const std::string& host, UnixSeconds now);
  void plan_proxy_probe(const TryTimes& when);
  void plan_probe(const std::string& host, const TryTimes& when);
  // Why the host failed last, or the proxy before it: for certificates that wait for it without having been asked
  // for.
  void remember_failure(const std::string& host, bool of_proxy, Reason reason, UnixSeconds now);
  // Somebody's response ends soon: probe no later than `when`.
  void bring_probe_forward(const std::string& host, UnixSeconds when);
  // Somebody waits for it who needs it: probe as it was planned for that need.
  void bring_probe_forward(const std::string& host, Need need);
  // The wall clock jumped: what was planned by it means nothing any more.
  void forget_probe_times();
  // The wall clock jumped by so much: all probes stay as far away as they were.
  void shift_probe_times(Seconds by);

  // What the host answered was of no use for the certificate; or was accepted.
  void refused(const std::string& host);
  void accepted(const std::string& host) { hosts_[host].refusals = 0; }
  // How many it has refused in a row, if they are so many that it refuses everybody; else 0.
  std::uint32_t refuses_everybody(const std::string& host) const;

  // Which hash the host is asked by, and that it has answered to one.
  crypto::CertIdHash hash(const std::string& host) const;
  void remember_hash(const std::string& host, crypto::CertIdHash hash) { hosts_[host].hash = hash; }

  // Nobody will ask it any more. Does nothing while an exchange runs with it.
  void forget(const std::string& host);

  // It has answered this process, and does not fail.
  bool answers(const std::string& host) const;
  // The host, or the proxy before it.
  bool failing(const std::string& host) const;
  UnixSeconds next_probe(const std::string& host) const;
  const std::map<std::string, Host>& all() const { return hosts_; }
  const Host& proxy() const { return proxy_; }
  std::size_t failing_in_flight() const { return failing_in_flight_; }

 private:
  void ended(Host& host);
  void proxy_works();

  std::size_t concurrency_;
  std::size_t failing_in_flight_ = 0;
  Host proxy_;  // never failing where there is none
  std::map<std::string, Host> hosts_;
};

}  // namespace ocsp_plus::engine
