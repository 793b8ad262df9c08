// One certificate that "ocsp-plus fetch" fetches a response for: what is read of it, and what comes of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cli/share_options.h"
#include "crypto/certificate.h"
#include "crypto/verify.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/exchange.h"

namespace ocsp_plus::cli {

struct FetchOptions {
  std::vector<std::string> certificates;
  std::string issuer;
  std::vector<std::string> responders;
  std::vector<std::string> resolvers;
  std::string proxy;
  std::string out;
  std::string cache;
  ShareArguments share;
  Seconds timeout = 0;
  Seconds wait = 0;  // 0: one attempt
  bool ipv4_only = false;
  bool ipv6_only = false;
  bool verbose = false;
  bool quiet = false;
  bool json = false;
};

// The outcome for one certificate.
struct FetchOutcome {
  crypto::Verdict verdict;  // on the response held in the end, or why there is none
  std::string responder;    // URL of the last request; empty: none was sent
  std::string file;         // path of the response; empty: none
  bool written = false;     // this command has written it
  std::optional<engine::Verified> accepted;
  std::optional<engine::Exchange::Failure> failure;  // the last attempt's; nothing: it got a response
  // Set with --share:
  std::string store;       // the store's place
  bool published = false;  // it has what was accepted
  std::string warning;     // one sentence; empty: all went well

  UnixSeconds confirmed_at() const {  // when the responder last confirmed what was accepted
    return accepted->origin.confirmed_at != 0 ? accepted->origin.confirmed_at : accepted->verdict.this_update;
  }
};

struct FetchJob {
  std::string file;               // path that --cert names
  crypto::Certificate described;  // the certificate in it; without an id if it cannot be read
  std::optional<engine::Catalog> catalog;
  std::vector<crypto::X509Ptr> owned;  // certificates that the catalog borrows
  Bytes kept_issuer;                   // a document of the cache directory; empty: none
  std::string issuer_url;              // the issuer was fetched from there; empty: it was given
  std::uint32_t attempts = 0;
  FetchOutcome outcome;
  std::optional<Error> error;  // wrong use, unreadable input, or a file that cannot be written

  engine::Target& target() { return *catalog->targets().front(); }
  const engine::Target& target() const { return *catalog->targets().front(); }
  // Whether a responder can be asked. If not, `error` or `outcome` says why.
  bool can_be_asked() const { return !error.has_value() && outcome.verdict.reason != Reason::kNoResponder; }
};

// Reads the certificate in `file` and its issuer. Everything that is wrong is in the job.
std::unique_ptr<FetchJob> read_job(const std::string& file, const FetchOptions& options);

}  // namespace ocsp_plus::cli
