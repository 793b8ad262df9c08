// A server's directives for the certificates that it loads per connection; the catalog has the profiles of all
// servers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "crypto/certificate.h"
#include "crypto/trust_anchors.h"
#include "net/url.h"

namespace ocsp_plus::engine {

struct Target;

// Handshakes without a staple that a server refuses.
enum class Require { kOff, kMustStaple, kOn };

// Returns whether a handshake without a staple is refused. `must_staple`: the certificate has the TLS feature
// extension (RFC 7633).
constexpr bool requires_staple(Require require, bool must_staple) {
  return require == Require::kOn || (require == Require::kMustStaple && must_staple);
}

// A server's directives for the certificates that it loads per connection, or for the CA certificates sent after
// them.
struct Profile {
  std::uint64_t key = 0;        // profile_key(); stays the same over reloads while the server has the same names
  std::uint64_t chain_key = 0;  // of the profile of CA certificates sent after these; 0: they are not stapled
  bool ca = false;              // it is such a profile
  std::vector<const net::Url*> responders;  // ocsp_plus_responder; empty: the certificates' own
  const crypto::TrustAnchors* responder_anchors = nullptr;
  std::vector<crypto::X509Ptr> trusted;  // issuers that the operator has named
  std::vector<CertificateId> trusted_ids;
  std::vector<std::string> servers;
  Require require = Require::kOff;
  Seconds refresh = 0;  // ocsp_plus_refresh; 0: auto

  // Returns whether the operator vouches for some of these certificates.
  bool vouches() const { return !responders.empty() || !trusted.empty(); }
  // Returns whether a certificate that servers of both profiles load has this one.
  bool precedes(const Profile& other) const { return ca == other.ca ? vouches() && !other.vouches() : other.ca; }
  bool vouches_for(const CertificateId& issuer) const;
};

// Returns the key of a server with these names. `ordinal` tells servers of the same names apart, on other ports most
// likely: their order in the configuration.
std::uint64_t profile_key(const std::vector<std::string_view>& servers, std::uint64_t ordinal);

// Returns the profile of the CA certificates sent after those of `of`. They have responders of their own, and no
// handshake is refused for want of their staples.
Profile chain_profile(const Profile& of);

// Sets the responders of a certificate loaded per connection, and which addresses may be asked: those of the server's
// profile (nullptr: no server has it any more), else the certificate's own first few, which `urls` owns then.
void set_responders(const Profile* profile, Target* target, std::vector<std::unique_ptr<net::Url>>* urls);

}  // namespace ocsp_plus::engine
