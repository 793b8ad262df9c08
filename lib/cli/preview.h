// Finds out what nginx would staple with a configuration, as its start helper would: with the same engine
// over a zone of its own, from the cache directory, the files and the responders. Nothing in the directory is
// changed.
//
// Run it as the worker user.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admin/inventory.h"
#include "base/ports.h"
#include "base/result.h"
#include "base/time.h"
#include "cli/reach.h"

namespace ocsp_plus::cli {

// The staple that handshakes of a server get with one of its certificates.
struct Expected {
  enum class Outcome {
    kGood,         // a good staple
    kRevoked,      // a staple that says revoked
    kOmitted,      // none, since it would say revoked (ocsp_plus_revoked omit)
    kNone,         // none, though one could be had
    kUnsupported,  // none, nor can there be one
    kEnded,        // none, the certificate itself has expired
    kRefused,      // the handshake is refused (ocsp_plus_require)
  };

  const admin::InventoryServer* server = nullptr;
  std::string certificate;  // its label
  std::string id;           // empty: it cannot be read
  std::string file;
  bool ca = false;  // sent after a certificate of the server (ocsp_plus_chain)
  bool must_staple = false;
  Outcome outcome = Outcome::kNone;
  std::string source;       // the staple's: network, cache, file
  UnixSeconds expires = 0;  // the staple's
  std::string reason;       // token: why there is none
  std::string detail;       // why there is none, for people
  std::string responder;    // URL of the one that was asked last; empty: none was

  bool stapled() const { return outcome == Outcome::kGood || outcome == Outcome::kRevoked; }
  // Whether an operator must act: a client is refused, or gets no staple that it could have.
  bool wanting() const;
};

// "good", "revoked", "omitted", "none", "unsupported", "ended", "refused".
std::string_view token(Expected::Outcome outcome);

struct Preview {
  std::vector<Expected> handshakes;   // in the order of the configuration
  std::vector<Reach> responders;      // or the proxy
  std::optional<Seconds> clock_skew;  // a responder's clock minus ours
};

// Waits for responders for `timeout` ms at the most. kInternal, kOutOfMemory: no preview can be made.
Result<Preview> make_preview(const admin::Inventory& inventory, Millis timeout, LogSink& log);

}  // namespace ocsp_plus::cli
