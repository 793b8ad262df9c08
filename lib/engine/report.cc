#include "engine/report.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/freshness.h"
#include "ocsp_plus/version.h"

namespace ocsp_plus::engine {
namespace {

// The host without the suffix that tells tenants apart.
std::string host_of(const FailureGroups::Key& key) {
  return quoted(key.host.substr(0, key.host.find(kHealthSuffix)));
}

// Level of the line about a published response. A revocation is crit, and so is its end.
LogLevel level_of(const Admission& admission) {
  const bool revoked = admission.verdict.reason == Reason::kRevoked;
  return revoked || admission.status_changed ? LogLevel::kCrit : LogLevel::kNotice;
}

std::string name_of(const Target& target) {
  return fmt::format("certificate={} serial={}{}", quoted(target.certificate.label()),
                     to_hex(target.certificate.serial), target.ca ? " role=ca" : "");
}

std::string responder_of(const Target& target, std::size_t responder) {
  return responder < target.responders.size() ? quoted(target.responders[responder]->to_string()) : quoted("");
}

}  // namespace

Report::~Report() {
  try {
    tell_held_back(loud_.take_held_back(), quiet_.take_held_back());
    tell_jumps(jumps_.take_held_back());
    tell_repairs();
  } catch (const std::exception&) {
    // Out of memory: the counts are lost.
  }
}

void Report::tick() {
  const Millis now = clock_.monotonic();
  for (const auto& [key, group] : failures_.take_due(now)) {
    tell_group(key, group);
  }
  tell_held_back(loud_.take_held_back(now), quiet_.take_held_back(now));
  tell_jumps(jumps_.take_held_back(now));
  if (repairs_.take_held_back(now) > 0) {
    tell_repairs();
  }
}

// Whether the minute has room for one more line of the kind that may be many.
bool Report::fits(LogLevel level) {
  if (!sink_.enabled(level)) {
    return false;
  }
  if (level == LogLevel::kCrit || (level == LogLevel::kInfo ? quiet_ : loud_).permits(clock_.monotonic())) {
    return true;
  }
  worst_held_back_ = std::min(worst_held_back_, level);
  return false;
}

void Report::tell_held_back(std::uint64_t loud, std::uint64_t quiet) {
  if (loud + quiet == 0) {
    return;
  }
  log(sink_, std::exchange(worst_held_back_, LogLevel::kInfo),
      "ocsp_plus: log lines were suppressed by the rate limit, see the status document: "
      "notice_and_louder={} info={}",
      loud, quiet);
}

void Report::verified(const Target& target, std::size_t responder, const Admission& admission,
                      UnixSeconds next_attempt, Millis took) {
  const crypto::Verdict& verdict = admission.verdict;
  const bool revoked = verdict.reason == Reason::kRevoked;
  const bool published = admission.action == Action::kPublish;
  if (const auto over = failures_.succeeded(target.certificate.id)) {
    tell_recovery(target, over->first, over->second);
  }
  const LogLevel level = published ? level_of(admission) : LogLevel::kInfo;
  if (!admission.status_changed && !fits(level)) {
    return;
  }
  const char* event =
      !published                             ? "response is not newer than the current one"
      : !revoked && admission.status_changed ? "CERTIFICATE IS NO LONGER REVOKED; response published"
      : !revoked                             ? "response published"
      : verdict.sendable
          ? "CERTIFICATE IS REVOKED, replace it; response published"
          : "CERTIFICATE IS REVOKED, replace it; nothing is stapled, this OpenSSL does not send the response";
  log(sink_, level,
      "ocsp_plus: {}: {} responder={} status={} this_update={} expires={} "
      "next_attempt={} took={}ms",
      event, name_of(target), responder_of(target, responder), crypto::token(verdict.cert_status),
      to_rfc3339(verdict.this_update), to_rfc3339(verdict.expires), to_rfc3339(next_attempt), took);
}

// Whether a failure that is not urgent is logged as loudly as its group.
bool Report::says_failure(const Target& target, const FailureGroups::Key& key, FailureGroups::Group& group) {
  const Millis now = clock_.monotonic();
  if (!FailureGroups::is_due(group, now)) {
    return false;
  }
  const LogLevel level = FailureGroups::level_of(key);
  const bool says = target.per_connection ? loaded_.permits(now) : group.first_of_host || fits(level);
  if (says) {
    failures_.said(key, group, now, level);
  }
  return says;
}

void Report::failed(const Target& target, std::size_t responder, const Error& error, UnixSeconds expires,
                    UnixSeconds next_attempt, std::uint32_t failures) {
  const UnixSeconds now = clock_.now();
  const Millis monotonic = clock_.monotonic();
  const bool held = expires > now;
  const FailureGroups::Key key = {responder < target.responders.size() ? target.host(responder) : "", error.reason,
                                  held};
  FailureGroups::Group& group = failures_.failed(target.certificate.id, key, monotonic);
  LogLevel level = FailureGroups::level_of(key);
  const bool urgent = !held && target.staple_required() && urgent_.permits(monotonic);
  if (urgent) {
    level = LogLevel::kCrit;
    failures_.said(key, group, monotonic, level);
  } else if (!says_failure(target, key, group)) {
    level = LogLevel::kInfo;
    if (!fits(level)) {
      return;
    }
  }
  log(sink_, level, "ocsp_plus: {}: {} responder={} reason={} detail={} {}next_attempt={} in={} failures={}",
      held     ? "no new response, keeping the current one"
      : urgent ? "NO STAPLE FOR A CERTIFICATE THAT NEEDS ONE, clients are refused; see reason and fix it"
               : "no response, nothing is stapled",
      name_of(target), responder_of(target, responder), token(error.reason), quoted(error.detail),
      held ? fmt::format("expires={} ", to_rfc3339(expires)) : "", to_rfc3339(next_attempt),
      to_span(saturating_sub(next_attempt, now)), failures);
}

void Report::tell_group(const FailureGroups::Key& key, const FailureGroups::Group& group) {
  const LogLevel level = FailureGroups::level_of(key);
  if (group.first_of_host || fits(level)) {
    log(sink_, level, "ocsp_plus: {}: host={} reason={} certificates={} failures={}",
        key.held ? "no new responses for several certificates, keeping the current ones"
                 : "no responses for several certificates, nothing is stapled for them",
        host_of(key), token(key.reason), group.certificates, group.failures);
  }
}

void Report::tell_recovery(const Target& last, const FailureGroups::Key& key, const FailureGroups::Group& group) {
  log(sink_, *group.loudest, "ocsp_plus: responses arrive again: {} host={} reason={} certificates={}", name_of(last),
      host_of(key), token(key.reason), group.most);
}

// Ends a logged failure by a response from elsewhere; returns the level of its line. Nothing: none ended.
std::optional<LogLevel> Report::end_of_missing(const Target& target) {
  const auto over = failures_.supplied(target.certificate.id);
  return over.has_value() ? over->second.loudest : std::nullopt;
}

void Report::compare_clocks(const Target& target, std::size_t responder, UnixSeconds theirs, UnixSeconds ours) {
  const Seconds apart = saturating_sub(theirs, ours);
  if ((apart <= kClocksDiffer && apart >= -kClocksDiffer) || !clocks_.permits(clock_.monotonic())) {
    return;
  }
  log(sink_, LogLevel::kWarn,
      "ocsp_plus: the local clock and a responder's differ: responder={} ours={} theirs={} apart={}",
      responder_of(target, responder), to_rfc3339(ours), to_rfc3339(theirs), to_span(apart));
}

void Report::falls_behind(const Target& target, std::size_t responder, Seconds waited) {
  log(sink_, LogLevel::kWarn,
      "ocsp_plus: a responder cannot keep up with ocsp_plus_refresh, raise it or ocsp_plus_concurrency: {} "
      "responder={} refresh={} waited={}",
      name_of(target), responder_of(target, responder), to_span(target.refresh), to_span(waited));
}

void Report::issuer_fetched(const Target& target, const net::Url& url) {
  if (!fits(LogLevel::kNotice)) {
    return;
  }
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: issuer fetched, the chain sent to clients is incomplete, append the issuer to ssl_certificate: {} "
      "issuer={} url={}",
      name_of(target), quoted(target.certificate.issuer), quoted(url.to_string()));
}

void Report::file_admitted(const Target& target, const std::string& path, const Admission& admission) {
  const bool published = admission.action == Action::kPublish && admission.stored == Reason::kOk;
  const bool revoked = admission.verdict.reason == Reason::kRevoked;
  const auto over = published ? end_of_missing(target) : std::nullopt;
  const auto ignored = files_ignored_.extract(path);
  const LogLevel level = std::min({published ? level_of(admission) : LogLevel::kInfo, over.value_or(LogLevel::kInfo),
                                   ignored.empty() ? LogLevel::kInfo : ignored.mapped()});
  if (!admission.status_changed && !over.has_value() && ignored.empty() && !fits(level)) {
    return;
  }
  log(sink_, level, "ocsp_plus: {}: {} file={} status={} expires={}",
      !published                 ? "response from a file is not newer than the current one"
      : revoked                  ? "CERTIFICATE IS REVOKED, replace it; response from a file published"
      : admission.status_changed ? "CERTIFICATE IS NO LONGER REVOKED; response from a file published"
                                 : "response from a file published",
      name_of(target), quoted(path), crypto::token(admission.verdict.cert_status),
      to_rfc3339(admission.verdict.expires));
}

void Report::file_ignored(const Target& target, const std::string& path, const Error& error, bool alone) {
  const LogLevel level = alone ? LogLevel::kError : LogLevel::kWarn;
  if (fits(level)) {
    LogLevel& loudest = files_ignored_.try_emplace(path, level).first->second;
    loudest = std::min(loudest, level);
    log(sink_, level, "ocsp_plus: response from a file ignored: {} file={} reason={} detail={}", name_of(target),
        quoted(path), token(error.reason), quoted(error.detail));
  }
}

void Report::cached_ignored(const Target& target, const Error& error) {
  const LogLevel level = error.reason == Reason::kExpired ? LogLevel::kInfo : LogLevel::kWarn;
  if (fits(level)) {
    log(sink_, level, "ocsp_plus: response from the cache directory ignored: {} reason={} detail={}", name_of(target),
        token(error.reason), quoted(error.detail));
  }
}

void Report::cache_fails(const Error& error, Seconds retry) {
  log(sink_, LogLevel::kError,
      "ocsp_plus: the cache directory cannot be used, responses will not survive a restart: reason={} detail={} "
      "retry_every={}",
      token(error.reason), quoted(error.detail), to_span(retry));
}

void Report::cache_works() {
  log(sink_, LogLevel::kError, "ocsp_plus: the cache directory can be used again");
}

void Report::cache_untrue(const Target& target, const std::string& directory) {
  if (!fits(LogLevel::kError)) {
    return;
  }
  log(sink_, LogLevel::kError,
      "ocsp_plus: the cache directory holds an outdated status: it cannot be replaced, and a restart "
      "would staple it for some minutes; make the directory writable or remove the file: {} directory={}",
      name_of(target), quoted(directory));
}

void Report::kept_used(const Target& target, const store::BlobHeader& held, bool published, bool status_changed,
                       UnixSeconds confirmed_at, UnixSeconds next_attempt) {
  const auto status = static_cast<crypto::CertStatus>(held.cert_status);
  const bool revoked = published && status == crypto::CertStatus::kRevoked;
  const auto over = end_of_missing(target);
  const LogLevel level = revoked || status_changed ? LogLevel::kCrit : over.value_or(LogLevel::kInfo);
  if (!over.has_value() && !fits(level)) {
    return;
  }
  log(sink_, level, "ocsp_plus: {}: {} status={} expires={} confirmed={} next_attempt={}",
      revoked          ? "CERTIFICATE IS REVOKED, replace it; response taken from the cache directory"
      : status_changed ? "CERTIFICATE IS NO LONGER REVOKED; response taken from the cache directory"
                       : "response taken from the cache directory, another instance fetched it",
      name_of(target), crypto::token(status), to_rfc3339(held.expires), to_rfc3339(confirmed_at),
      to_rfc3339(next_attempt));
}

void Report::share_failed(const Error& error, bool starting) {
  log(sink_, starting ? LogLevel::kInfo : LogLevel::kError,
      "ocsp_plus: the shared store cannot be set up, this node asks responders on its own: reason={} detail={}",
      token(error.reason), quoted(error.detail));
}

void Report::share_state(const net::SharedStore::Status& status, bool starting) {
  using State = net::SharedStore::State;
  if (status.state == State::kConnecting) {
    return;
  }
  if (status.state == State::kUp) {
    if (const auto level = std::exchange(share_news_, std::nullopt)) {
      log(sink_, starting ? LogLevel::kInfo : *level, "ocsp_plus: {}: place={}",
          std::exchange(share_was_up_, true) ? "the shared store can be used again" : "shared store connected",
          quoted(status.place));
    }
    return;
  }
  const Error error = status.last_error.value_or(Error());
  const auto limit = share_trouble_.try_emplace({status.state, error.reason}, 1, RateLimit::kHour).first;
  if (const std::uint64_t count = hourly(&limit->second); count > 0) {
    share_news_ = LogLevel::kWarn;
    log(sink_, starting ? LogLevel::kInfo : LogLevel::kWarn,
        "ocsp_plus: {}: place={} reason={} detail={} failures={}",
        status.state == State::kDown ? "the shared store cannot be used, this node asks responders on its own"
                                     : "the shared store refuses writes, responses are only read",
        quoted(status.place), token(error.reason), quoted(error.detail), count);
  }
}

void Report::share_published(const Target& target, const Admission& admission) {
  const bool revoked = admission.verdict.reason == Reason::kRevoked;
  const auto over = end_of_missing(target);
  const LogLevel level = std::min(level_of(admission), over.value_or(LogLevel::kInfo));
  if (admission.status_changed || over.has_value() || fits(level)) {
    log(sink_, level, "ocsp_plus: {}: {} status={} expires={}",
        revoked                    ? "CERTIFICATE IS REVOKED, replace it; response from the shared store published"
        : admission.status_changed ? "CERTIFICATE IS NO LONGER REVOKED; response from the shared store published"
                                   : "response from the shared store published",
        name_of(target), crypto::token(admission.verdict.cert_status), to_rfc3339(admission.verdict.expires));
  }
}

void Report::share_waits(const Target& target, Millis wait) {
  if (fits(LogLevel::kInfo)) {
    log(sink_, LogLevel::kInfo, "ocsp_plus: another node asks the responder: {} reason={} wait={}ms", name_of(target),
        token(Reason::kAskedElsewhere), wait);
  }
}

void Report::share_refused(const Target& target, const Admission& admission) {
  if (const std::uint64_t count = hourly(&share_refused_); count > 0) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: response from the shared store ignored: {} reason={} detail={} responses={}", name_of(target),
        token(admission.verdict.reason), quoted(admission.verdict.detail), count);
  }
}

void Report::certificates_ended(const Target& first, std::size_t count, UnixSeconds now) {
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: certificates have expired, no responder is asked for them; replace them or remove their servers: "
      "{} not_after={} since={} certificates={}",
      name_of(first), to_rfc3339(first.certificate.not_after),
      to_span(saturating_sub(now, first.certificate.not_after)), count);
}

void Report::zone_replaced(std::size_t taken, std::size_t refused, std::size_t loaded) {
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: the zone's size was changed, responses of the old zone were verified again: taken_over={} "
      "refused={} loaded_per_connection={}",
      taken, refused, loaded);
}

void Report::started(const Started& what) {
  const auto from = [&what](store::Source source) { return what.from[static_cast<std::size_t>(source)]; };
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: version " OCSP_PLUS_VERSION
      ": certificates={} stapled={} network={} cache={} file={} shared={} revoked={} missing={}{} unsupported={} "
      "ended={} cache_directory={}",
      what.certificates, what.stapled, from(store::Source::kNetwork), from(store::Source::kCache),
      from(store::Source::kFile), from(store::Source::kShared), what.revoked, what.missing,
      what.first_missing == nullptr
          ? ""
          : fmt::format(" first_missing={}", quoted(what.first_missing->certificate.label())),
      what.unsupported, what.ended, what.cache.empty() ? "off" : quoted(what.cache));
}

void Report::startup_waits(std::size_t certificates, Millis at_most) {
  log(sink_, LogLevel::kNotice,
      "ocsp_plus: waiting for responses before starting the workers: "
      "certificates={} at_most={}ms",
      certificates, at_most);
}

void Report::startup_ends(std::size_t stapled, std::size_t missing, Millis took) {
  log(sink_, missing == 0 ? LogLevel::kNotice : LogLevel::kWarn,
      "ocsp_plus: starting the workers: stapled={} missing={} waited={}ms", stapled, missing, took);
}

void Report::lease_taken(std::uint32_t slot, std::uint32_t generation, std::size_t certificates) {
  log(sink_, LogLevel::kInfo,
      "ocsp_plus: this is the designated worker now: slot={} generation={} "
      "certificates={}",
      slot, generation, certificates);
}

void Report::lease_lost() {
  log(sink_, LogLevel::kInfo, "ocsp_plus: another worker is now the designated worker");
}

void Report::clock_jumped(Seconds by) {
  if (jumps_.permits(clock_.monotonic())) {
    log(sink_, LogLevel::kWarn, "ocsp_plus: the wall clock jumped, all certificates are rescheduled: by={}",
        to_span(by));
  }
}

void Report::tell_jumps(std::uint64_t jumps) {
  if (jumps > 0) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: the wall clock keeps jumping; check whether two services set it: jumps={}", kMostJumps + jumps);
  }
}

// The count for a line that is logged once an hour, including those held back since the last one; 0: do not log now.
std::uint64_t Report::hourly(RateLimit* limit, std::uint64_t more) {
  return limit->permits(clock_.monotonic(), more) ? more + limit->take_held_back() : 0;
}

void Report::loaded_taken(const Target& target, const std::string& server) {
  if (target.issuer != nullptr) {
    if (const auto named = named_without_issuer_.extract(target.certificate.id); !named.empty()) {
      log(sink_, named.mapped(), "ocsp_plus: the issuer of a certificate loaded per connection was found: {}",
          name_of(target));
    }
  }
  if (fits(LogLevel::kInfo)) {
    log(sink_, LogLevel::kInfo, "ocsp_plus: certificate loaded per connection: {} server={} responders={}{}",
        name_of(target), quoted(server), target.responders.size(), target.public_only ? "" : " any_address=1");
  }
}

void Report::loaded_without_issuer(LogLevel level, const Target& target, crypto::IssuerFault fault) {
  const std::uint64_t count = hourly(without_issuer_.of(level));
  if (count == 0) {
    return;
  }
  named_without_issuer_.insert_or_assign(target.certificate.id, level);
  if (fault == crypto::IssuerFault::kAbsent) {
    log(sink_, level,
        "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; append the issuer's "
        "certificate to what the server loads, or name it in ocsp_plus_trusted_certificate: {} certificates={}",
        name_of(target), count);
  } else {
    log(sink_, level,
        "ocsp_plus: no issuer found for a certificate loaded per connection: it gets no staple; a certificate with "
        "its issuer's name was found, but {}; load the right one in its place, or name it in "
        "ocsp_plus_trusted_certificate: {} certificates={}",
        crypto::describe(fault), name_of(target), count);
  }
}

void Report::loaded_refused(LogLevel level, const Error& error) {
  if (const std::uint64_t count = hourly(refused_.of(level)); count > 0) {
    log(sink_, level,
        "ocsp_plus: certificates loaded per connection were refused: certificates={} reason={} detail={}", count,
        token(error.reason), quoted(error.detail));
  }
}

void Report::loaded_too_large(LogLevel level, const store::Offer& offer, const std::string& server, std::size_t limit,
                              bool in_larger_zone) {
  if (const std::uint64_t count = hourly(too_large_.of(level)); count > 0) {
    log(sink_, level,
        "ocsp_plus: a certificate loaded per connection is too large, it gets no staple: {}name its file in "
        "ssl_certificate without variables, or spread its names over several: certificate={} id={} server={} "
        "bytes={} limit={} certificates={} reason={}",
        in_larger_zone ? "enlarge ocsp_plus_zone, " : "", quoted(offer.label), to_hex(offer.id), quoted(server),
        offer.too_large, limit, count, token(Reason::kCertificateTooLarge));
  }
}

void Report::loaded_dropped(std::uint64_t dropped) {
  if (const std::uint64_t count = hourly(&dropped_, dropped); count > 0) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: unknown certificates are loaded faster than they can be processed, their staples will be late: "
        "dropped={}",
        count);
  }
}

void Report::loaded_evicted(std::size_t evicted) {
  if (const std::uint64_t count = hourly(&evicted_, evicted); count > 0) {
    log(sink_, LogLevel::kWarn,
        "ocsp_plus: certificates loaded per connection were evicted: the least recently used first; enlarge "
        "ocsp_plus_zone: evicted={}",
        count);
  }
}

void Report::zone_repaired(std::size_t words, std::size_t lost) {
  repaired_words_ += words;
  repaired_lost_ += lost;
  if (repairs_.permits(clock_.monotonic())) {
    tell_repairs();
  }
}

void Report::tell_repairs() {
  const std::size_t words = std::exchange(repaired_words_, 0), lost = std::exchange(repaired_lost_, 0);
  if (words + lost > 0) {
    log(sink_, LogLevel::kError,
        "ocsp_plus: another process has corrupted the zone, it was repaired: words={} responses_lost={}", words,
        lost);
  }
}

void Report::resolver_failed(const Error& error) {
  log(sink_, LogLevel::kError,
      "ocsp_plus: the resolver cannot be set up, nothing is fetched: reason={} "
      "detail={}",
      token(error.reason), quoted(error.detail));
}

void Report::resolver_works() {
  log(sink_, LogLevel::kError, "ocsp_plus: the resolver is set up again, responders are asked");
}

}  // namespace ocsp_plus::engine
