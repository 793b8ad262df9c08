// The simulated CAs: their honest responses, and the lies that responders send in their names. The table of honest
// responses is the independent checker: every staple must be in it, octet for octet.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "sim/prng.h"
#include "tests/pki.h"

namespace ocsp_plus::sim {

using LeafNumber = std::size_t;  // of any certificate that has responses

// Whose certificate it is. Each kind has an issuer of its own, with responders and a practice of its own.
enum class Tier : std::size_t { kLeaf, kLower, kUpper };
constexpr std::size_t kTiers = 3;

// The chain that a server sends with a leaf that it loads for a connection. kComplete: the CA certificates that it
// sends with configured ones, where it sends any (sim/chains.h).
enum class Chain { kComplete, kBehindLookalike, kEmpty, kLookalike, kLast = kLookalike };
const char* name_of(Chain chain);

// How a forged leaf got the CA's name.
enum class Forgery {
  kOtherKey,      // another key's signature and key identifier, with the CA as chain
  kNoIdentifier,  // another key's signature, no key identifier, with the CA as chain
  kIdentifier,    // another key's signature, the CA's key identifier, with the CA as chain
  kLookalike,     // likewise, with a CA of the same name that did sign it as chain
  kNamedIssuer,   // likewise, without a chain, but with a caIssuers URL
  kLast = kNamedIssuer,
};

// Keys and certificates that take long to make and are the same in all runs. Created before the first run.
struct Pki {
  static const Pki& get();
  static constexpr std::size_t kLeaves = 24;
  static constexpr std::size_t kSigners = 16;
  // How long each delegated signer signs; its certificate is valid for 40 days.
  static constexpr Seconds kTerm = 30 * 86400;

  const testing::Identity& leaf(LeafNumber number) const;
  const CertificateId& id(LeafNumber number) const;
  static bool must_staple(LeafNumber number) { return number % 3 == 0; }
  static UnixSeconds leaf_end(LeafNumber number);  // notAfter; some expire within a run

  // The first number of the CA's leaves that servers load per connection. They contain their responder URLs.
  static constexpr LeafNumber kLoaded = 100000;
  static constexpr std::size_t kLoadedLeaves = 12;  // of each kind
  static LeafNumber loaded(std::size_t which, bool two_responders, bool names_issuer) {
    return kLoaded + 4 * which + (two_responders ? 2 : 0) + (names_issuer ? 1 : 0);
  }
  // Returns whether the leaf is a tenant's: of each three of a kind one is, of a CA of its own that no configuration
  // names. A node has that CA's certificate from a handshake, or fetches it.
  static bool of_tenant(LeafNumber number) {
    return number >= kLoaded && number < kCas && (number - kLoaded) / 4 % 3 == 2;
  }
  // Returns whether the leaf has a caIssuers URL. REQUIRES: number >= kLoaded.
  static bool names_issuer(LeafNumber number);

  // The first number of forged leaves, with the CA's name but not signed by it. Created on demand.
  static constexpr LeafNumber kForged = 1000000;
  // Creates a forged leaf with the serial of `twin`, for which a responder would answer.
  void forge(LeafNumber number, Forgery how, LeafNumber twin, bool two_responders, UnixSeconds end) const;
  // Returns the leaf that a responder's answer for `number` is about: a forged leaf's twin, else itself.
  LeafNumber meant(LeafNumber number) const;

  // The first number of the CA certificates that servers send after a leaf (sim/chains.h).
  static constexpr LeafNumber kCas = 200000;
  static bool is_ca(LeafNumber number) { return number >= kCas && number < kForged; }
  static Tier tier_of(LeafNumber number);
  // Returns who signs the certificate and its responses. REQUIRES: no forged leaf, and not the root.
  const testing::Identity& issuer(LeafNumber number) const;

  // Returns the certificates sent with a leaf.
  std::vector<x509_st*> chain(LeafNumber number, Chain chain) const;

  testing::Identity ca, foreign_ca;
  std::vector<testing::Identity> tenant_cas;  // each of one kind of the leaves that are of_tenant()
  static constexpr std::size_t kLookalikes = 16;
  std::vector<testing::Identity> lookalikes;  // with the CA's name and other keys; every other one copies its key id
  std::vector<testing::Identity> signers;     // delegated, one per term
  testing::Identity idle_signer;              // issued by the CA, but without OCSPSigning
  testing::Identity foreign_signer;           // OCSPSigning, of the foreign CA
  std::vector<UnixSeconds> signer_ends;
  mutable std::map<LeafNumber, testing::Identity> leaves;
  mutable std::map<LeafNumber, CertificateId> ids;

 private:
  struct Forged {
    Forgery how = Forgery::kOtherKey;
    LeafNumber twin = 0;
    bool two_responders = false;
    UnixSeconds end = 0;
  };

  Pki();
  static bool two_responders(LeafNumber number);
  testing::Identity make_lookalike(std::size_t which) const;
  testing::CertificateSpec spec_of(LeafNumber number) const;

  mutable std::map<LeafNumber, Forged> forged_;
};

// How a CA signs.
struct Practice {
  Seconds validity = 7 * 86400;
  Seconds resign = 0;  // 0: signs each answer on request; else interval at which answers are made in advance
  bool delegated = false;
  bool by_key = false;
};

enum class Lie {
  kGarbage,
  kHtml,
  kEmpty,
  kTornDer,
  kMalformedRequest,
  kInternalError,
  kTryLater,
  kUnauthorized,
  kWrongSerial,
  kBadSignature,
  kForeignKey,
  kForeignSigner,
  kIdleSigner,
  kForeignRevoked,
  kUnknown,
  kExpired,
  kFuture,
  kLast = kFuture,
};
const char* name_of(Lie lie);

// What a server sends in place of an issuer.
enum class WrongIssuer { kGarbage, kHtml, kEmpty, kTornDer, kLookalike, kForeignCa, kLast = kForeignCa };
const char* name_of(WrongIssuer wrong);
Bytes document_of(WrongIssuer wrong, LeafNumber leaf);

struct Signed {
  LeafNumber leaf = 0;
  bool revoked = false;
  UnixSeconds this_update = 0;
  UnixSeconds end = 0;  // the earliest of nextUpdate and the signer's end
};

// By Tier, of its issuer. Only the leaves' issuer delegates.
using Practices = std::array<Practice, kTiers>;

class Ca {
 public:
  explicit Ca(const Practices& practices) : practices_(practices) {}

  const Practice& practice(LeafNumber leaf) const { return practices_[static_cast<std::size_t>(Pki::tier_of(leaf))]; }
  void revoke(LeafNumber leaf, UnixSeconds now) { revoked_.emplace(leaf, now); }
  std::optional<UnixSeconds> revoked_at(LeafNumber leaf) const;

  // Returns an honest responder's answer at `now`.
  const Bytes& answer(LeafNumber leaf, UnixSeconds now);
  // Returns when that answer expires, without creating it.
  UnixSeconds end_of_answer(LeafNumber leaf, UnixSeconds now) const;
  Bytes lie(Lie lie, LeafNumber leaf, UnixSeconds now);
  // Returns the oldest honest response that is still valid; empty if there is none.
  Bytes old_answer(LeafNumber leaf, UnixSeconds now) const;

  // Looks a response up in the table; nullptr if the CA never signed it.
  const Signed* find(const Bytes& response) const;

 private:
  UnixSeconds made_at(LeafNumber leaf, UnixSeconds now) const;
  UnixSeconds end_of(LeafNumber leaf, UnixSeconds this_update) const;
  // Signs an honest response and adds it to the table.
  const Bytes& vouch(LeafNumber leaf, bool revoked, UnixSeconds made);
  Bytes sign(LeafNumber leaf, testing::Status status, UnixSeconds this_update, const testing::Identity* signer,
             bool broken = false) const;
  static std::size_t term_of(UnixSeconds time);
  // Whether delegated signers sign for the certificate. Tenants' CAs have none.
  bool delegates(LeafNumber leaf) const { return practice(leaf).delegated && !Pki::of_tenant(leaf); }
  const testing::Identity& signer_at(LeafNumber leaf, UnixSeconds time) const;

  Practices practices_;
  std::map<LeafNumber, UnixSeconds> revoked_;
  std::map<Bytes, Signed> honest_;
  std::map<std::tuple<LeafNumber, UnixSeconds, bool>, const Bytes*> by_time_;  // bool: revoked
};

}  // namespace ocsp_plus::sim
