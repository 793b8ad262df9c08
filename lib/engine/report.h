// The engine's log lines: one event, one line, a sentence and then key=value pairs. docs/operations.md explains each.
//
// Whatever others do, the log is not flooded. Failures are told by group (engine/failure_groups.h). Lines that may
// come once for each certificate are bounded by the minute, and what was held back is told as a count; exempt are
// crit lines, the first one of a host, a status that changes and the end of a group of failures.
#pragma once

#include <string>

#include "base/log.h"
#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/failure_groups.h"
#include "engine/rate_limit.h"
#include "net/fetch.h"
#include "store/discovery_queue.h"

namespace ocsp_plus::engine {

class Report {
 public:
  Report(LogSink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}
  // Tells what was held back and not told yet.
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // Tells what is due by the time. To be called about twice a second.
  void tick();

  // A response from `responder` was verified: published (crit where it says revoked), or no newer than the one held.
  void verified(const Target& target, std::size_t responder, const Admission& admission, UnixSeconds next_attempt,
                Millis took);
  // A try failed, the `failures`-th in a row; warn while something valid is held, error otherwise; crit, but once a
  // minute at most, where clients or a server refuse the certificate without a staple. So is the first of a group
  // said, the others at info.
  void failed(const Target& target, std::size_t responder, const Error& error, UnixSeconds expires,
              UnixSeconds next_attempt, std::uint32_t failures);
  // The issuer that the configuration lacks was fetched; once for all of its certificates.
  void issuer_fetched(const Target& target, const net::Url& url);
  // A response made elsewhere was taken, or was no newer; or is of no use.
  void file_admitted(const Target& target, const std::string& path, const Admission& admission);
  void file_ignored(const Target& target, const std::string& path, const Error& error);
  // What the cache directory holds for a certificate is of no use; info where it has merely ended.
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
  // Of a zone that replaces another: responses that the gate has taken from that, and those that it has not; of the
  // first, those of certificates that are loaded per connection.
  void zone_replaced(std::size_t taken, std::size_t refused, std::size_t loaded);
  void startup_waits(std::size_t certificates, Millis at_most);
  void startup_ends(std::size_t stapled, std::size_t missing, Millis took);
  void lease_taken(std::uint32_t slot, std::uint32_t generation, std::size_t certificates);
  void lease_lost();
  // The first few of a minute are said, the others counted.
  void clock_jumped(Seconds by);
  // A responder's Date against our clock: one line an hour where they are more than five minutes apart.
  void compare_clocks(const Target& target, std::size_t responder, UnixSeconds theirs, UnixSeconds ours);
  // Another process has written into the zone: `words` that were put right, and responses that have to come again.
  // One line a minute.
  void zone_repaired(std::size_t words, std::size_t lost);
  void resolver_failed(const Error& error);
  // What is known of a certificate's failures is of no use any more.
  void forget(const CertificateId& id) { failures_.forget(id); }

  // Certificates that are loaded per connection. Others decide how many there are, so all but the first line is said
  // at most once an hour each, with a count.
  void loaded_taken(const Target& target, const std::string& server);
  void loaded_without_issuer(const Target& target, crypto::IssuerFault fault);
  void loaded_refused(const Error& error);
  // `offer` is longer than `limit` bytes. `in_larger_zone`: it would not be in a larger zone.
  void loaded_too_large(const store::Offer& offer, const std::string& server, std::size_t limit, bool in_larger_zone);
  void loaded_dropped(std::uint64_t dropped);
  void loaded_evicted(std::size_t evicted);

 private:
  static constexpr std::uint64_t kMostLoud = 100;  // a minute, of notice and louder
  static constexpr std::uint64_t kMostQuiet = 1000;
  static constexpr std::uint64_t kMostJumps = 10;
  static constexpr std::uint64_t kMostLoaded = 10;  // of certificates that are loaded per connection

  bool fits(LogLevel level);
  std::uint64_t hourly(RateLimit* limit, std::uint64_t more = 1);
  bool says_failure(const Target& target, const FailureGroups::Key& key, FailureGroups::Group& group);
  void tell_group(const FailureGroups::Key& key, const FailureGroups::Group& group);
  void tell_recovery(const Target& last, const FailureGroups::Key& key, const FailureGroups::Group& group);
  void tell_held_back(std::uint64_t loud, std::uint64_t quiet);
  void tell_repairs();
  void tell_jumps(std::uint64_t jumps);

  LogSink& sink_;
  const Clock& clock_;
  FailureGroups failures_;
  RateLimit loud_{kMostLoud}, quiet_{kMostQuiet}, loaded_{kMostLoaded}, jumps_{kMostJumps};
  LogLevel worst_held_back_ = LogLevel::kInfo;
  RateLimit repairs_{1};
  std::size_t repaired_words_ = 0, repaired_lost_ = 0;  // not told yet
  RateLimit urgent_{1}, clocks_{1, RateLimit::kHour};
  // Of lines that may come in thousands, hourly().
  RateLimit without_issuer_{1, RateLimit::kHour}, refused_{1, RateLimit::kHour}, dropped_{1, RateLimit::kHour},
      evicted_{1, RateLimit::kHour}, too_large_{1, RateLimit::kHour};
};

}  // namespace ocsp_plus::engine
