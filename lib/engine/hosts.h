// The health of responders, counted by host and port: how many exchanges may run with each, and which of them are
// left alone because they fail.
//
// A host that has never answered gets one exchange at a time; one that has, half of all slots. A host that fails is
// probed by one exchange when its time comes; everybody else who needs it waits without holding a slot. So ten
// thousand certificates on a dead host cost one time-out after the other, not ten thousand, and a dead host cannot
// starve a live one.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/time.h"

namespace ocsp_plus::engine {

class Hosts {
 public:
  explicit Hosts(std::size_t concurrency) : concurrency_(concurrency) {}

  enum class State { kUnproven, kUp, kFailing };
  struct Host {
    State state = State::kUnproven;
    std::uint32_t failures = 0;  // in a row
    std::uint32_t in_flight = 0;
    UnixSeconds next_probe = 0;  // kFailing: not before
  };
  // kBusy: a slot will come free without anybody's doing. kFailing: not before next_probe.
  enum class Permit { kGo, kBusy, kFailing };

  Permit may_start(const std::string& host, UnixSeconds now) const;
  void started(const std::string& host);
  // The exchange ended without a word on the host's health: it was cancelled.
  void cancelled(const std::string& host);
  void answered(const std::string& host);
  // `next_probe`: when to ask it again, should it count as failing from now on; `leave_alone`: it does, however well
  // it did before, because it asked for that itself (Retry-After).
  void failed(const std::string& host, UnixSeconds next_probe, bool leave_alone);
  // Somebody's response ends soon: probe no later than `when`.
  void bring_probe_forward(const std::string& host, UnixSeconds when);
  // The wall clock jumped: what was planned by it means nothing any more.
  void forget_probe_times();

  std::uint32_t failures(const std::string& host) const;  // in a row
  UnixSeconds next_probe(const std::string& host) const;
  const std::map<std::string, Host>& all() const { return hosts_; }

 private:
  std::uint32_t cap(const Host& host) const;
  void ended(Host& host);

  std::size_t concurrency_;
  std::size_t failing_in_flight_ = 0;
  std::map<std::string, Host> hosts_;
};

}  // namespace ocsp_plus::engine
