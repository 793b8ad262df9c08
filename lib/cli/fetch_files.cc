#include "cli/fetch_files.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "cli/command.h"
#include "crypto/certificate.h"
#include "crypto/response.h"
#include "crypto/verify.h"
#include "engine/admit.h"

namespace ocsp_plus::cli {
namespace {

using crypto::Verdict;

Result<void> create_missing(const std::string& path) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) == 0 || errno != ENOENT) {
    return {};
  }
  if (geteuid() == 0) {
    return fail(Reason::kUnreadable, fmt::format("{0} does not exist; create it for nginx's worker user, like: "
                                                 "install -d -m 0700 -o www-data {0}",
                                                 path));
  }
  if (mkdir(path.c_str(), 0700) != 0) {
    return fail(Reason::kUnreadable,
                fmt::format("{} cannot be created: {}; name another with --cache", path, std::strerror(errno)));
  }
  return {};
}

// A directory of root's with a file in it is left alone by a root master, and is another user's for workers
// (store/cache_directory.h). All else that nginx refuses, opening it refuses here too.
std::string objection_to(const std::string& path) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) || found.st_uid != 0) {
    return {};
  }
  return fmt::format(
      "{0} belongs to root, so nginx will not use it unless its workers run as root; give it to their "
      "user, like: chown www-data {0}",
      path);
}

// The response in the cache directory and its verdict; nothing if it is unusable.
struct CachedResponse {
  Verdict verdict;
  store::BlobHeader header = {};
};

std::optional<CachedResponse> load(const store::CacheFiles& disk, const engine::Target& target, UnixSeconds now) {
  const auto kept = disk.load(target.certificate.id);
  if (!kept || kept->bytes.empty()) {
    return std::nullopt;
  }
  CachedResponse held;
  held.verdict = crypto::verify(crypto::cut_trailing(kept->bytes), target.certificate, *target.issuer, now, {});
  if (held.verdict.reason != Reason::kOk && held.verdict.reason != Reason::kRevoked) {
    return std::nullopt;
  }
  held.header.this_update = held.verdict.this_update;
  held.header.expires = held.verdict.expires;
  held.header.cert_status = static_cast<std::uint8_t>(held.verdict.cert_status);
  return held;
}

}  // namespace

Result<FetchFiles> FetchFiles::open(const FetchOptions& options, std::size_t max_response) {
  FetchFiles files;
  files.out_ = options.out;
  if (options.cache.empty()) {
    return files;
  }
  RETURN_IF_ERROR(create_missing(options.cache));
  files.warning_ = objection_to(options.cache);
  RETURN_IF_ERROR(become_owner(options.cache));
  auto disk = store::CacheFiles::open(options.cache, max_response);
  RETURN_IF_ERROR(disk);
  files.disk_.emplace(std::move(*disk));
  return files;
}

Bytes FetchFiles::kept_issuer(const engine::Target& target) const {
  if (!disk_.has_value() || target.issuer_lookup == nullptr) {
    return {};
  }
  auto kept = disk_->load(target.issuer_lookup->reference, store::FileKind::kIssuer);
  return kept ? std::move(kept->bytes) : Bytes();
}

Result<void> FetchFiles::write(FetchJob* job, UnixSeconds now) {
  FetchOutcome& outcome = job->outcome;
  if (!outcome.accepted.has_value()) {
    return {};
  }
  if (disk_.has_value()) {
    return keep(job, now);
  }
  if (out_.empty()) {
    return {};
  }
  outcome.file = out_;
  outcome.written = true;
  return write_file(out_, outcome.accepted->response);
}

Result<void> FetchFiles::keep(FetchJob* job, UnixSeconds now) {
  const engine::Target& target = job->target();
  FetchOutcome& outcome = job->outcome;
  const auto held = load(*disk_, target, now);
  outcome.file = disk_->path() + "/" + store::CacheFiles::file_name(target.certificate.id);
  if (!job->issuer_url.empty()) {
    const Bytes der = crypto::der_of(target.issuer->certificate());
    auto saved = der.empty() ? Result<void>(fail(Reason::kOutOfMemory, "no memory to write a certificate"))
                             : disk_->save(target.issuer_lookup->reference, {der, now}, store::FileKind::kIssuer);
    if (!saved) {
      return saved;
    }
  }
  const auto action = engine::decide(held ? std::optional(held->header) : std::nullopt, outcome.verdict,
                                     crypto::VerifyPolicy().clock_skew, {now});
  if (action != engine::Action::kPublish) {
    if (outcome.verdict.this_update == held->verdict.this_update &&
        outcome.verdict.cert_status == held->verdict.cert_status) {
      disk_->confirm(target.certificate.id, outcome.confirmed_at());
    }
    outcome.verdict = held->verdict;
    return {};
  }
  outcome.written = true;
  auto saved = disk_->save(target.certificate.id, {outcome.accepted->response, outcome.confirmed_at()});
  // A file with an outdated status must not survive.
  if (!saved && held.has_value() && held->verdict.cert_status != outcome.verdict.cert_status &&
      !disk_->remove(target.certificate.id)) {
    saved.error().detail += "; what it says of the certificate is not true any more";
  }
  return saved;
}

}  // namespace ocsp_plus::cli
