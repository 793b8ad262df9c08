// The engine's log lines: one line an event, a sentence and then key=value pairs. docs/operations.md explains each.
//
// The end of an error is logged at the error's level, so that whoever has read the one reads the other.
//
// The log is never flooded, whatever clients and responders do. Failures are logged by group
// (engine/failure_groups.h). Lines that may come once for each certificate are limited by the minute, and the rest is
// logged as a count; exempt are crit lines, a host's first line, a changed status and the end of a group of failures.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/ports.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/failure_groups.h"
#include "engine/rate_limit.h"
#include "net/fetch.h"
#include "net/shared_store.h"
#include "store/discovery_queue.h"

namespace ocsp_plus::engine {

class Report {
 public:
  Report(LogSink& sink, const Clock& clock) : sink_(sink), clock_(clock) {}
  // Logs the counts of lines held back.
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // Logs what is due by now. Call it about twice a second.
  void tick();

  // A response from `responder` was verified: published (crit if it says revoked), or no newer than the held one.
  // `took`: ms.
  void verified(const Target& target, std::size_t responder, const Admission& admission, UnixSeconds next_attempt,
                Millis took);
  // An attempt failed, the `failures`-th in a row. warn while a valid response is held, else error; crit, at most
  // once a minute, if clients or a server refuse the certificate without a staple. This holds for the first of a
  // group; the others are info.
  void failed(const Target& target, std::size_t responder, const Error& error, UnixSeconds expires,
              UnixSeconds next_attempt, std::uint32_t failures);
  // An issuer that the configuration lacks was fetched; logged once for all of its certificates.
  void issuer_fetched(const Target& target, const net::Url& url);
  // A response made elsewhere was published, or was no newer than the held one; or the file is of no use.
  // `alone`: nothing is stapled for `target`, and nobody else is asked for a response.
  void file_admitted(const Target& target, const std::string& path, const Admission& admission);
  void file_ignored(const Target& target, const std::string& path, const Error& error, bool alone);
  // The certificate's file in the cache directory is of no use; info if the response has merely ended.
  void cached_ignored(const Target& target, const Error& error);
  void cache_fails(const Error& error, Seconds retry);
  void cache_works();  // after cache_fails()
  // The cache directory holds a status that is no longer true, and the file can be neither replaced nor removed.
  void cache_untrue(const Target& target, const std::string& directory);
  // A response that another instance kept in the cache directory makes a request needless; crit if it was `published`
  // now and says revoked, or if it ends a revocation (`status_changed`).
  void kept_used(const Target& target, const store::BlobHeader& held, bool published, bool status_changed,
                 UnixSeconds confirmed_at, UnixSeconds next_attempt);
  // The shared store cannot even be tried. `starting`: at info, as the first worker says it again.
  void share_failed(const Error& error, bool starting);
  // The shared store came up, refuses writes, or went down: each reason once an hour. That it is up again is logged
  // after such a line, as loudly. `starting`: likewise.
  void share_state(const net::SharedStore::Status& status, bool starting);
  // A response from the shared store was published; or the gate refused it, which is somebody's fault or an attack:
  // at most once an hour, with a count.
  void share_published(const Target& target, const Admission& admission);
  // A certificate waits for another node, which asks; it is looked for again within `wait` ms.
  void share_waits(const Target& target, Millis wait);
  void share_refused(const Target& target, const Admission& admission);
  // Certificates have ended by our clock, and are not asked for any more. One line for all of them.
  void certificates_ended(const Target& first, std::size_t count, UnixSeconds now);
  // A zone was replaced: the numbers of responses that the gate has taken from the old one, and refused; `loaded` of
  // the taken ones belong to certificates loaded per connection.
  void zone_replaced(std::size_t taken, std::size_t refused, std::size_t loaded);
  // The configuration's certificates as the workers begin with them, CA certificates of chains aside.
  struct Started {
    std::size_t certificates = 0;
    std::size_t stapled = 0, revoked = 0;  // with a response that says good, revoked
    std::array<std::size_t, 5> from = {};  // the stapled by store::Source
    std::size_t missing = 0, unsupported = 0, ended = 0;
    const Target* first_missing = nullptr;  // one that clients refuse without a staple before others
    std::string_view cache;                 // the directory; empty: off
  };
  void started(const Started& what);
  // The start helper waits for responses of so many certificates, `at_most` ms.
  void startup_waits(std::size_t certificates, Millis at_most);
  // The start helper has waited for `took` ms. Logs a warning if certificates are `missing` a response.
  void startup_ends(std::size_t stapled, std::size_t missing, Millis took);
  // Worker `slot`, this one, has become the designated worker, with so many configured certificates.
  void lease_taken(std::uint32_t slot, std::uint32_t generation, std::size_t certificates);
  void lease_lost();  // another process has become the designated worker
  // The wall clock jumped `by` so much. The first few in a minute are logged, the others counted.
  void clock_jumped(Seconds by);
  // Compares a responder's Date with our clock: one line an hour if they are more than five minutes apart.
  void compare_clocks(const Target& target, std::size_t responder, UnixSeconds theirs, UnixSeconds ours);
  // A responder has more to answer than ocsp_plus_refresh and ocsp_plus_concurrency allow: the certificate has waited
  // for its turn for longer than its bound.
  void falls_behind(const Target& target, std::size_t responder, Seconds waited);
  // Another process has written into the zone: `words` were restored, and `lost` responses have to come again. One
  // line a minute.
  void zone_repaired(std::size_t words, std::size_t lost);
  void resolver_failed(const Error& error);
  void resolver_works();  // after resolver_failed()
  // Forgets the failures of a certificate.
  void forget(const CertificateId& id) { failures_.forget(id); }

  // Certificates loaded per connection. Tenants decide how many there are, so each line but the first is logged at
  // most once an hour, with a count.
  // `level`: kError where nothing is stapled for a leaf, else kWarn; each has a limit of its own. Logs at the same
  // level that the issuer of a named certificate was found.
  void loaded_taken(const Target& target, const std::string& server);
  void loaded_without_issuer(LogLevel level, const Target& target, crypto::IssuerFault fault);
  void loaded_refused(LogLevel level, const Error& error);
  // `offer` is longer than `limit` bytes. `in_larger_zone`: a larger zone would take it.
  void loaded_too_large(LogLevel level, const store::Offer& offer, const std::string& server, std::size_t limit,
                        bool in_larger_zone);
  void loaded_dropped(std::uint64_t dropped);
  void loaded_evicted(std::size_t evicted);

 private:
  static constexpr std::uint64_t kMostLoud = 100;  // a minute, of level notice and above
  static constexpr std::uint64_t kMostQuiet = 1000;
  static constexpr std::uint64_t kMostJumps = 10;
  static constexpr std::uint64_t kMostLoaded = 10;  // lines on certificates loaded per connection

  bool fits(LogLevel level);
  // One line an hour of a kind, at each of the two levels.
  struct HourlyByLevel {
    RateLimit error{1, RateLimit::kHour}, warn{1, RateLimit::kHour};
    RateLimit* of(LogLevel level) { return level == LogLevel::kError ? &error : &warn; }
  };

  std::uint64_t hourly(RateLimit* limit, std::uint64_t more = 1);
  bool says_failure(const Target& target, const FailureGroups::Key& key, FailureGroups::Group& group);
  void tell_group(const FailureGroups::Key& key, const FailureGroups::Group& group);
  void tell_recovery(const Target& last, const FailureGroups::Key& key, const FailureGroups::Group& group);
  std::optional<LogLevel> end_of_missing(const Target& target);
  void tell_held_back(std::uint64_t loud, std::uint64_t quiet);
  void tell_repairs();
  void tell_jumps(std::uint64_t jumps);

  LogSink& sink_;
  const Clock& clock_;
  FailureGroups failures_;
  RateLimit loud_{kMostLoud}, quiet_{kMostQuiet}, loaded_{kMostLoaded}, jumps_{kMostJumps};
  LogLevel worst_held_back_ = LogLevel::kInfo;
  RateLimit repairs_{1};
  std::size_t repaired_words_ = 0, repaired_lost_ = 0;  // not logged yet
  RateLimit urgent_{1}, clocks_{1, RateLimit::kHour};
  // Limits of lines that may come in thousands: hourly().
  RateLimit dropped_{1, RateLimit::kHour}, evicted_{1, RateLimit::kHour}, share_refused_{1, RateLimit::kHour};
  HourlyByLevel without_issuer_, refused_, too_large_;
  std::map<CertificateId, LogLevel> named_without_issuer_;  // at most two an hour
  std::map<std::pair<net::SharedStore::State, Reason>, RateLimit> share_trouble_;
  // The level at which to log that it is up: for the first time, or after a line that said otherwise; nothing: not.
  std::optional<LogLevel> share_news_ = LogLevel::kNotice;
  bool share_was_up_ = false;
  std::map<std::string, LogLevel> files_ignored_;  // those of which a line says so, and the loudest of these
};

}  // namespace ocsp_plus::engine
