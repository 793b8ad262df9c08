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
#include "sim/dice.h"
#include "tests/pki.h"

namespace ocsp_plus::sim {

using LeafNumber = std::size_t;

// Everything that takes long to make and is the same in all runs. Made before the first of them.
struct Pki {
  static const Pki& get();
  static constexpr std::size_t kLeaves = 24;
  static constexpr std::size_t kSigners = 16;
  static constexpr Seconds kTerm = 30 * 86400;  // each delegated signer signs for so long, and lives 40 days

  const testing::Identity& leaf(LeafNumber number) const;
  const CertificateId& id(LeafNumber number) const;
  static UnixSeconds leaf_end(LeafNumber number);  // notAfter; some end within a run

  testing::Identity ca, foreign_ca;
  std::vector<testing::Identity> signers;  // delegated, one after the other
  testing::Identity idle_signer;           // issued by the CA, but without OCSPSigning
  testing::Identity foreign_signer;        // OCSPSigning, of the foreign CA
  std::vector<UnixSeconds> signer_ends;
  mutable std::map<LeafNumber, testing::Identity> leaves;
  mutable std::map<LeafNumber, CertificateId> ids;

 private:
  Pki();
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
