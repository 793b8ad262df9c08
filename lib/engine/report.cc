#include "engine/report.h"

#include <utility>

#include "engine/freshness.h"

namespace ocsp_plus::engine {
namespace {

constexpr Seconds kUrgentInterval = 60;
constexpr Seconds kFailingInterval = 3600;
constexpr Seconds kClocksInterval = 3600;
constexpr Seconds kSeldom = 3600;
constexpr Seconds kLoudFor = 60;         // of certificates that are loaded per connection
constexpr std::uint64_t kLoudMost = 10;  // first failures are said loudly within that time

// Said less than `interval` ago; a clock that went back has forgotten when.
bool recently(UnixSeconds said, Seconds interval, UnixSeconds now) {
  return said != 0 && now >= said && now - said < interval;
}

std::string name_of(const Target& target) {
  return fmt::format("certificate={} serial={}", quoted(target.certificate.label()),
                     to_hex(target.certificate.serial));
}

std::string responder_of(const Target& target, std::size_t responder) {
  return responder < target.responders.size() ? quoted(target.responders[responder]->to_string()) : quoted("");
}

}  // namespace

void Report::verified(const Target& target, std::size_t responder, const Admission& admission, UnixSeconds next_look,
                      Millis took) {
  const crypto::Verdict& verdict = admission.verdict;
  const bool revoked = verdict.reason == Reason::kRevoked;
  const bool published = admission.action == Action::kPublish;
  failing_.erase(target.certificate.id);
  const LogLevel level = !published ? LogLevel::kInfo : revoked ? LogLevel::kCrit : LogLevel::kNotice;
  const char* event = !published ? "response is no newer than the one held"
                      : revoked  ? "CERTIFICATE IS REVOKED, replace it; response published"
                                 : "response published";
  log(sink_, level,
      "ocsp_plus: {}: {} responder={} status={} this_update={} valid_until={} "
      "next_look={} took={}ms",
      event, name_of(target), responder_of(target, responder), crypto::token(verdict.cert_status),
      to_rfc3339(verdict.this_update), to_rfc3339(verdict.expires), to_rfc3339(next_look), took);
}

// Whether one more first failure of a certificate that others have made may be said loudly.
bool Report::loud(UnixSeconds now) {
  if (!recently(loud_.said, kLoudFor, now)) {
    loud_ = {now, 0};
  }
  return ++loud_.count <= kLoudMost;
}

void Report::failed(const Target& target, std::size_t responder, const Error& error, UnixSeconds valid_until,
                    UnixSeconds next_attempt, std::uint32_t failures, UnixSeconds now) {
  const bool held = valid_until > now;
  Failing& last = failing_[target.certificate.id];
  bool again = last.reason == error.reason && last.held == held && recently(last.said, kFailingInterval, now);
  if (!again) {
    last = {error.reason, held, now};
    again = target.loaded && !loud(now);
  }
  const bool urgent = !held && target.urgent() && !recently(urgent_said_, kUrgentInterval, now);
  if (urgent) {
    urgent_said_ = now;
  }
  log(sink_,
      urgent  ? LogLevel::kCrit
      : again ? LogLevel::kInfo
      : held  ? LogLevel::kWarn
              : LogLevel::kError,
      "ocsp_plus: {}: {} responder={} reason={} detail={} {}next_attempt={} in={} failures={}",
      held     ? "no new response, the one held goes on"
      : urgent ? "NO STAPLE FOR A CERTIFICATE THAT NEEDS ONE, clients are refused; mend what the reason names"
               : "no response, nothing is stapled",
      name_of(target), responder_of(target, responder), token(error.reason), quoted(error.detail),
      held ? fmt::format("valid_until={} ", to_rfc3339(valid_until)) : "", to_rfc3339(next_attempt),
      to_span(saturating_sub(next_attempt, now)), failures);
}

void Report::compare_clocks(const Target& target, std::size_t responder, UnixSeconds theirs, UnixSeconds ours) {
  const Seconds apart = saturating_sub(theirs, ours);
  if ((apart <= kClocksDiffer && apart >= -kClocksDiffer) || recently(clocks_said_, kClocksInterval, ours)) {
    return;
  }
  clocks_said_ = ours;
  log(sink_, LogLevel::kWarn,
      "ocsp_plus: our clock and a responder's disagree: responder={} ours={} theirs={} apart={}",
      responder_of(target, responder), to_rfc3339(ours), to_rfc3339(theirs), to_span(apart));
}

void Report::issuer_fetched(const Target& target, const net::Url& url) {
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: issuer fetched, the chain that clients get is incomplete, append it to ssl_certificate: {} "
      "issuer={} "
      "url={}",
      name_of(target), quoted(target.certificate.issuer), quoted(url.to_string()));
}

void Report::file_admitted(const Target& target, const std::string& path, const Admission& admission) {
  const bool published = admission.action == Action::kPublish && admission.stored == Reason::kOk;
  const bool revoked = admission.verdict.reason == Reason::kRevoked;
  log(sink_,
      !published ? LogLevel::kInfo
      : revoked  ? LogLevel::kCrit
                 : LogLevel::kNotice,
      "ocsp_plus: {}: {} file={} status={} valid_until={}",
      !published ? "response of a file is no newer than the one held"
      : revoked  ? "CERTIFICATE IS REVOKED, replace it; response of a file published"
                 : "response of a file published",
      name_of(target), quoted(path), crypto::token(admission.verdict.cert_status),
      to_rfc3339(admission.verdict.expires));
}

void Report::file_ignored(const Target& target, const std::string& path, const Error& error) {
  log(sink_, LogLevel::kWarn, "ocsp_plus: response of a file ignored: {} file={} reason={} detail={}",
      name_of(target), quoted(path), token(error.reason), quoted(error.detail));
}

void Report::cached_ignored(const Target& target, const Error& error) {
  log(sink_, error.reason == Reason::kExpired ? LogLevel::kInfo : LogLevel::kWarn,
      "ocsp_plus: response of the cache folder ignored: {} reason={} detail={}", name_of(target), token(error.reason),
      quoted(error.detail));
}

void Report::cache_fails(const Error& error, Seconds retry) {
  log(sink_, LogLevel::kError,
      "ocsp_plus: the cache folder cannot be used, nothing outlives nginx: reason={} detail={} retry_every={}",
      token(error.reason), quoted(error.detail), to_span(retry));
}

void Report::cache_works() {
  log(sink_, LogLevel::kNotice, "ocsp_plus: the cache folder can be used again");
}

void Report::cache_untrue(const Target& target, const std::string& directory) {
  log(sink_, LogLevel::kError,
      "ocsp_plus: the cache directory holds a status that is not true any more: it cannot be changed, and a restart "
      "believes it for some minutes; make the directory writable or remove the file: {} directory={}",
      name_of(target), quoted(directory));
}

void Report::kept_used(const Target& target, const store::BlobHeader& held, bool published, UnixSeconds confirmed_at,
                       UnixSeconds next_attempt) {
  const auto status = static_cast<crypto::CertStatus>(held.cert_status);
  const bool revoked = published && status == crypto::CertStatus::kRevoked;
  log(sink_, revoked ? LogLevel::kCrit : LogLevel::kInfo,
      "ocsp_plus: {}: {} status={} expires={} confirmed={} next_attempt={}",
      revoked ? "CERTIFICATE IS REVOKED, replace it; response taken from the cache directory"
              : "response taken from the cache directory, another instance has asked",
      name_of(target), crypto::token(status), to_rfc3339(held.expires), to_rfc3339(confirmed_at),
      to_rfc3339(next_attempt));
}

void Report::certificates_ended(const Target& first, std::size_t count, UnixSeconds now) {
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: certificates have expired, no responder is asked for them; replace them or remove their servers: "
      "{} not_after={} since={} certificates={}",
      name_of(first), to_rfc3339(first.certificate.not_after),
      to_span(saturating_sub(now, first.certificate.not_after)), count);
}

void Report::startup_waits(std::size_t certificates, Millis at_most) {
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: waiting for responses before the workers begin: "
      "certificates={} at_most={}ms",
      certificates, at_most);
}

void Report::startup_ends(std::size_t stapled, std::size_t missing, Millis took) {
  log(sink_, missing == 0 ? LogLevel::kNotice : LogLevel::kWarn,
      "ocsp_plus: the workers begin: stapled={} missing={} waited={}ms", stapled, missing, took);
}

void Report::lease_taken(std::uint32_t slot, std::uint32_t generation, std::size_t certificates) {
  log(sink_, LogLevel::kInfo,
      "ocsp_plus: this is the designated worker now: slot={} generation={} "
      "certificates={}",
      slot, generation, certificates);
}

void Report::lease_lost() {
  log(sink_, LogLevel::kInfo, "ocsp_plus: another worker is the designated one now");
}

void Report::clock_jumped(Seconds by) {
  log(sink_, LogLevel::kWarn, "ocsp_plus: the wall clock jumped, everything is planned anew: by={}", to_span(by));
}

bool Report::Seldom::due(UnixSeconds now, std::uint64_t more) {
  count += more;
  if (recently(said, kSeldom, now)) {
    return false;
  }
  said = now;
  return true;
}

void Report::loaded_taken(const Target& target, const std::string& server) {
  log(sink_, LogLevel::kInfo, "ocsp_plus: certificate loaded per connection: {} server={} responders={}{}",
      name_of(target), quoted(server), target.responders.size(), target.public_only ? "" : " any_address=1");
}

void Report::loaded_without_issuer(const Target& target, crypto::IssuerFault fault, UnixSeconds now) {
  if (!without_issuer_.due(now)) {
    return;
  }
  const std::uint64_t count = std::exchange(without_issuer_.count, 0);
  if (fault == crypto::IssuerFault::kAbsent) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; append the issuer's "
        "certificate to what the server loads, or name it in ocsp_plus_trusted_certificate: {} certificates={}",
        name_of(target), count);
  } else {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; a certificate of its "
        "issuer's name is there, but {}; load the right one in its place, or name it in "
        "ocsp_plus_trusted_certificate: {} certificates={}",
        crypto::describe(fault), name_of(target), count);
  }
}

void Report::loaded_refused(const Error& error, UnixSeconds now) {
  if (refused_.due(now)) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: certificates loaded per connection are left out: certificates={} reason={} detail={}",
        std::exchange(refused_.count, 0), token(error.reason), quoted(error.detail));
  }
}

void Report::loaded_dropped(std::uint64_t dropped, UnixSeconds now) {
  if (dropped_.due(now, dropped)) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: unknown certificates are loaded faster than they can be looked at, their staples come later: "
        "dropped={}",
        std::exchange(dropped_.count, 0));
  }
}

void Report::loaded_evicted(std::size_t evicted, UnixSeconds now) {
  if (evicted_.due(now, evicted)) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: certificates loaded per connection give way to others: those not used for longest first; enlarge "
        "ocsp_plus_zone: evicted={}",
        std::exchange(evicted_.count, 0));
  }
}

void Report::resolver_failed(const Error& error) {
  log(sink_, LogLevel::kError,
      "ocsp_plus: the resolver cannot be set up, nothing is fetched: reason={} "
      "detail={}",
      token(error.reason), quoted(error.detail));
}

}  // namespace ocsp_plus::engine
