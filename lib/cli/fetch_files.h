// The places where "ocsp-plus fetch" leaves responses: the cache directory of the module, or one file.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "cli/fetch_job.h"
#include "store/cache_files.h"

namespace ocsp_plus::cli {

class FetchFiles {
 public:
  // Opens the cache directory, if one is given; root becomes its owner. Creates a missing one, as the module does,
  // unless we are root, who cannot know the right owner.
  static Result<FetchFiles> open(const FetchOptions& options, std::size_t max_response);

  // Why nginx will not use the directory, in one sentence; empty: it will.
  const std::string& warning() const { return warning_; }

  // The kept document with the certificate's issuer; empty: there is none.
  Bytes kept_issuer(const engine::Target& target) const;

  // Writes what the job's outcome has. In the directory by the gate's rules: what is held there stays unless the new
  // one is better, and then is the outcome.
  Result<void> write(FetchJob* job, UnixSeconds now);

 private:
  Result<void> keep(FetchJob* job, UnixSeconds now);

  std::string out_;
  std::optional<store::CacheFiles> disk_;
  std::string warning_;
};

}  // namespace ocsp_plus::cli
