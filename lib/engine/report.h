// The engine's log lines: one event, one line, a sentence and then key=value pairs. docs/operations.md explains each.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "net/fetch.h"

namespace ocsp_plus::engine {

class Report {
 public:
  explicit Report(LogSink& sink) : sink_(sink) {}

  // A response from `responder` was verified: published (crit where it says revoked), or no newer than the one held.
  void verified(const Target& target, std::size_t responder, const Admission& admission, UnixSeconds next_look,
                Millis took);
  // A try failed, the `failures`-th in a row; warn while something valid is held, error otherwise; crit, but once a
  // minute at most, where clients or a server refuse the certificate without a staple. What fails again for the same
  // reason is said at info, and once an hour as loudly as the first time.
  void failed(const Target& target, std::size_t responder, const Error& error, UnixSeconds valid_until,
              UnixSeconds next_attempt, std::uint32_t failures, UnixSeconds now);
  // The issuer that the configuration lacks was fetched; once for all of its certificates.
  void issuer_fetched(const Target& target, const net::Url& url);
  // A response made elsewhere was taken, or was no newer; or is of no use.
  void file_admitted(const Target& target, const std::string& path, const Admission& admission);
  void file_ignored(const Target& target, const std::string& path, const Error& error);
  // What the cache folder holds for a certificate is of no use; info where it has merely ended.
  void cached_ignored(const Target& target, const Error& error);
  void cache_fails(const Error& error, Seconds retry);
  void cache_works();
  // The cache directory holds a status that is not true any more, and it can be neither replaced nor removed.
  void cache_untrue(const Target& target, const std::string& directory);
  // What another instance has kept in the cache directory makes a request needless; crit where it is `published` now
  // and says revoked.
  void kept_used(const Target& target, const store::BlobHeader& held, bool published, UnixSeconds confirmed_at,
                 UnixSeconds next_attempt);
  // Certificates that have ended by our clock: nobody is asked for them. One line for all of them.
  void certificates_ended(const Target& first, std::size_t count, UnixSeconds now);
  void startup_waits(std::size_t certificates, Millis at_most);
  void startup_ends(std::size_t stapled, std::size_t missing, Millis took);
  void lease_taken(std::uint32_t slot, std::uint32_t generation, std::size_t certificates);
  void lease_lost();
  void clock_jumped(Seconds by);
  // A responder's Date against our clock: one line an hour where they are more than five minutes apart.
  void compare_clocks(const Target& target, std::size_t responder, UnixSeconds theirs, UnixSeconds ours);
  void resolver_failed(const Error& error);
  // What is known of a certificate's failures is of no use any more.
  void forget(const CertificateId& id) { failing_.erase(id); }

  // Certificates that are loaded per connection. Others decide how many there are, so all but the first line is said
  // at most once an hour each, with a count.
  void loaded_taken(const Target& target, const std::string& server);
  void loaded_without_issuer(const Target& target, crypto::IssuerFault fault, UnixSeconds now);
  void loaded_refused(const Error& error, UnixSeconds now);
  void loaded_dropped(std::uint64_t dropped, UnixSeconds now);
  void loaded_evicted(std::size_t evicted, UnixSeconds now);

 private:
  // Of lines that may come in thousands: the number of those that were not said since the last one.
  struct Seldom {
    UnixSeconds said = 0;
    std::uint64_t count = 0;
    bool due(UnixSeconds now, std::uint64_t more = 1);
  };
  bool loud(UnixSeconds now);
  struct Failing {
    Reason reason = Reason::kNotChecked;
    bool held = false;
    UnixSeconds said = 0;
  };

  LogSink& sink_;
  std::map<CertificateId, Failing> failing_;  // since their last success
  UnixSeconds urgent_said_ = 0;
  UnixSeconds clocks_said_ = 0;
  Seldom without_issuer_, refused_, dropped_, evicted_, loud_;
};

}  // namespace ocsp_plus::engine
