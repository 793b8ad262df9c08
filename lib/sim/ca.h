// The simulated CA: what it honestly signs, and what liars hand out in its name. Its table of honest responses is the
// independent checker: whatever a handshake gets has to stand in it, octet for octet.
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

using LeafNumber = std::size_t;

// What a server shows beside a leaf that it loads for a connection.
enum class Chain { kComplete, kBehindLookalike, kEmpty, kLookalike, kLast = kLookalike };
const char* name_of(Chain chain);

// How a leaf came to bear the CA's name.
enum class Forgery {
  kOtherKey,      // another key's signature and key identifier, the CA beside it
  kNoIdentifier,  // another key's signature, no key identifier, the CA beside it
  kIdentifier,    // another key's signature, the CA's key identifier, the CA beside it
  kLookalike,     // likewise, beside it a CA of the same name that did sign it
  kNamedIssuer,   // likewise, nothing beside it, but a URL where its issuer is
  kLast = kNamedIssuer,
};

// Everything that takes long to make and is the same in all runs. Made before the first of them.
struct Pki {
  static const Pki& get();
  static constexpr std::size_t kLeaves = 24;
  static constexpr std::size_t kSigners = 16;
  static constexpr Seconds kTerm = 30 * 86400;  // each delegated signer signs for so long, and lives 40 days

  const testing::Identity& leaf(LeafNumber number) const;
  const CertificateId& id(LeafNumber number) const;
  static UnixSeconds leaf_end(LeafNumber number);  // notAfter; some end within a run

  // From here on: leaves of the CA that servers load per connection. They name their responders themselves.
  static constexpr LeafNumber kLoaded = 100000;
  static constexpr std::size_t kLoadedLeaves = 12;  // of each kind
  static LeafNumber loaded(std::size_t which, bool two_responders, bool names_issuer) {
    return kLoaded + 4 * which + (two_responders ? 2 : 0) + (names_issuer ? 1 : 0);
  }
  // Whether the leaf says by a caIssuers URL where its issuer is. REQUIRES: number >= kLoaded.
  static bool names_issuer(LeafNumber number);

  // From here on: leaves that bear the CA's name and that it has not signed. Made when they are needed.
  static constexpr LeafNumber kForged = 1000000;
  // Bears the serial of `twin`, for which a responder would vouch.
  void forge(LeafNumber number, Forgery how, LeafNumber twin, bool two_responders, UnixSeconds end) const;
  // Whom a responder means when it answers for `number`: of a forged leaf its twin.
  LeafNumber meant(LeafNumber number) const;

  // The certificates that are shown beside a leaf.
  std::vector<x509_st*> chain(LeafNumber number, Chain chain) const;

  testing::Identity ca, foreign_ca;
  static constexpr std::size_t kLookalikes = 16;
  std::vector<testing::Identity> lookalikes;  // of the CA's name, with other keys; every other one claims its key id
  std::vector<testing::Identity> signers;     // delegated, one after the other
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
  Seconds resign = 0;  // 0: each answer is signed for itself; else made in advance, so often
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

// What a server sends that should have sent an issuer.
enum class WrongIssuer { kGarbage, kHtml, kEmpty, kTornDer, kLookalike, kForeignCa, kLast = kForeignCa };
const char* name_of(WrongIssuer wrong);
Bytes document_of(WrongIssuer wrong, LeafNumber leaf);

struct Signed {
  LeafNumber leaf = 0;
  bool revoked = false;
  UnixSeconds this_update = 0;
  UnixSeconds end = 0;  // the earliest of nextUpdate and the signer's end
};

class Ca {
 public:
  explicit Ca(const Practice& practice) : practice_(practice) {}

  const Practice& practice() const { return practice_; }
  void revoke(LeafNumber leaf, UnixSeconds now) { revoked_.emplace(leaf, now); }
  std::optional<UnixSeconds> revoked_at(LeafNumber leaf) const;

  // What an honest responder answers at `now`.
  const Bytes& answer(LeafNumber leaf, UnixSeconds now);
  // When that ends, without making it.
  UnixSeconds end_of_answer(LeafNumber leaf, UnixSeconds now) const;
  Bytes lie(Lie lie, LeafNumber leaf, UnixSeconds now);
  // An honest response from earlier: as old as can be while it is still valid. Empty: there is none.
  Bytes old_answer(LeafNumber leaf, UnixSeconds now) const;

  // The table. nullptr: the CA never signed that for anybody.
  const Signed* find(const Bytes& response) const;

 private:
  UnixSeconds made_at(UnixSeconds now) const;
  UnixSeconds end_of(UnixSeconds this_update) const;
  // Signs what enters the table.
  const Bytes& vouch(LeafNumber leaf, bool revoked, UnixSeconds made);
  Bytes sign(LeafNumber leaf, testing::Status status, UnixSeconds this_update, const testing::Identity* signer,
             bool broken = false) const;
  static std::size_t term_of(UnixSeconds time);
  const testing::Identity& signer_at(UnixSeconds time) const;

  Practice practice_;
  std::map<LeafNumber, UnixSeconds> revoked_;
  std::map<Bytes, Signed> honest_;
  std::map<std::tuple<LeafNumber, UnixSeconds, bool>, const Bytes*> by_time_;  // revoked ones apart
};

}  // namespace ocsp_plus::sim
