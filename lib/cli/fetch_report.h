// The report of "ocsp-plus fetch" on its certificates: exit status, one JSON document or text, and errors.
#pragma once

#include <memory>
#include <vector>

#include "cli/fetch_job.h"

namespace ocsp_plus::cli {

// The gravest of all jobs: kUsage, kUnfit, kNoResponder, kFit.
int status_of(const std::vector<std::unique_ptr<FetchJob>>& jobs, const FetchOptions& options);

// Prints results on standard output unless options.quiet, and what went wrong on standard error. Of one certificate
// whose job has an error only that is said.
void report(const std::vector<std::unique_ptr<FetchJob>>& jobs, const FetchOptions& options);

}  // namespace ocsp_plus::cli
