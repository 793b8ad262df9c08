#include "sim/ca.h"

#include <algorithm>

#include "sim/machine.h"

namespace ocsp_plus::sim {
namespace {

using testing::Status;

constexpr Seconds kDay = 86400;

testing::Identity make_signer(const testing::Identity& ca, const std::string& name, const std::string& usage,
                              UnixSeconds from, UnixSeconds to) {
  testing::CertificateSpec spec;
  spec.subject = name;
  spec.serial = {0x03};
  spec.not_before = from;
  spec.not_after = to;
  spec.key_usage = "critical,digitalSignature";
  spec.ext_key_usage = usage;
  spec.ocsp_nocheck = true;
  return testing::make_certificate(spec, testing::key(testing::KeyType::kP256, name), &ca);
}

}  // namespace

const char* name_of(Lie lie) {
  static constexpr const char* kNames[] = {
      "garbage",        "html",           "empty",        "torn der",        "malformed request",
      "internal error", "try later",      "unauthorized", "wrong serial",    "bad signature",
      "foreign key",    "foreign signer", "idle signer",  "foreign revoked", "unknown",
      "expired",        "future"};
  return kNames[static_cast<std::size_t>(lie)];
}

// --- Pki ---

Pki::Pki() : ca(testing::make_ca("Sim CA")), foreign_ca(testing::make_ca("Other CA")) {
  for (std::size_t i = 0; i < kSigners; ++i) {
    const UnixSeconds from = kEpoch + static_cast<Seconds>(i) * kTerm - kDay;
    signers.push_back(
        make_signer(ca, "Signer " + std::to_string(i), "OCSPSigning", from - 20 * kDay, from + 40 * kDay));
    signer_ends.push_back(from + 40 * kDay);
  }
  const UnixSeconds from = kEpoch - 90 * kDay;
  idle_signer = make_signer(ca, "Idle", "serverAuth", from, from + 3000 * kDay);
  foreign_signer = make_signer(foreign_ca, "Foreign", "OCSPSigning", from, from + 3000 * kDay);
  for (LeafNumber i = 0; i < kLeaves; ++i) {
    id(i);
  }
}

const Pki& Pki::get() {
  static const Pki pki;
  return pki;
}

const testing::Identity& Pki::leaf(LeafNumber number) const {
  const auto found = leaves.find(number);
  if (found != leaves.end()) {
    return found->second;
  }
  testing::CertificateSpec spec;
  spec.subject = "leaf" + std::to_string(number);
  spec.dns_names = {spec.subject + ".example"};
  spec.serial = {0x10, static_cast<std::uint8_t>(number >> 8 & 0xff), static_cast<std::uint8_t>(number & 0xff)};
  spec.not_before = kEpoch - 10 * kDay;
  spec.not_after = leaf_end(number);
  spec.must_staple = number % 3 == 0;
  return leaves.emplace(number, testing::make_certificate(spec, testing::key(testing::KeyType::kP256, "leaf"), &ca))
      .first->second;
}

UnixSeconds Pki::leaf_end(LeafNumber number) {
  constexpr Seconds kTerms[] = {20 * kDay, 90 * kDay, 2 * 3600, 5 * kDay, 40 * 60, 150 * kDay};
  return kEpoch + (number % 4 == 3 && number < kLeaves ? kTerms[number / 4 % 6] : 1000 * kDay);
}

const CertificateId& Pki::id(LeafNumber number) const {
  const auto found = ids.find(number);
  return found != ids.end() ? found->second : ids.emplace(number, leaf(number).described().id).first->second;
}

// --- honest answers ---

std::optional<UnixSeconds> Ca::revoked_at(LeafNumber leaf) const {
  const auto found = revoked_.find(leaf);
  return found == revoked_.end() ? std::nullopt : std::optional<UnixSeconds>(found->second);
}

UnixSeconds Ca::made_at(UnixSeconds now) const {
  return practice_.resign == 0 ? now : now - now % practice_.resign;
}

std::size_t Ca::term_of(UnixSeconds time) {
  const Seconds term = std::max<Seconds>(time - kEpoch, 0) / Pki::kTerm;
  return std::min<std::size_t>(static_cast<std::size_t>(term), Pki::kSigners - 1);
}

const testing::Identity& Ca::signer_at(UnixSeconds time) const {
  const Pki& pki = Pki::get();
  return practice_.delegated ? pki.signers[term_of(time)] : pki.ca;
}

UnixSeconds Ca::end_of(UnixSeconds this_update) const {
  const UnixSeconds end = this_update + practice_.validity;
  return practice_.delegated ? std::min(end, Pki::get().signer_ends[term_of(this_update)]) : end;
}

UnixSeconds Ca::end_of_answer(LeafNumber, UnixSeconds now) const {
  return end_of(made_at(now));
}

// A revocation is signed at once, also where responses are made in advance; then with the times of its round, as if
// the good response of that round had never been: the two differ in nothing but the status.
const Bytes& Ca::answer(LeafNumber leaf, UnixSeconds now) {
  const UnixSeconds made = made_at(now);
  const auto revoked = revoked_at(leaf);
  const bool is_revoked = revoked.has_value() && *revoked <= now;
  const Bytes*& kept = by_time_[{leaf, made, is_revoked}];
  if (kept == nullptr) {
    kept = &vouch(leaf, is_revoked, made);
  }
  return *kept;
}

const Bytes& Ca::vouch(LeafNumber leaf, bool revoked, UnixSeconds made) {
  Bytes der = sign(leaf, revoked ? Status::kRevoked : Status::kGood, made, &signer_at(made));
  return honest_.emplace(std::move(der), Signed{leaf, revoked, made, end_of(made)}).first->first;
}

Bytes Ca::old_answer(LeafNumber leaf, UnixSeconds now) const {
  const auto oldest = by_time_.lower_bound({leaf, now - practice_.validity + 2, false});
  return oldest == by_time_.end() || std::get<0>(oldest->first) != leaf ? Bytes() : *oldest->second;
}

const Signed* Ca::find(const Bytes& response) const {
  const auto found = honest_.find(response);
  return found == honest_.end() ? nullptr : &found->second;
}

Bytes Ca::sign(LeafNumber leaf, Status status, UnixSeconds this_update, const testing::Identity* signer,
               bool broken) const {
  const Pki& pki = Pki::get();
  testing::ResponseSpec spec;
  spec.by_key = practice_.by_key;
  spec.produced_at = testing::generalized_time(this_update);
  spec.singles.front().status = status;
  spec.singles.front().revoked_at = testing::generalized_time(this_update);
  spec.singles.front().this_update = testing::generalized_time(this_update);
  spec.singles.front().next_update = testing::generalized_time(this_update + practice_.validity);
  if (signer != &pki.ca && signer != &pki.foreign_ca) {
    spec.certificates = {signer->der()};
  }
  spec.break_signature = broken;
  return testing::make_response(spec, pki.leaf(leaf), pki.ca, *signer);
}

// --- lies ---

Bytes Ca::lie(Lie lie, LeafNumber leaf, UnixSeconds now) {
  const Pki& pki = Pki::get();
  const testing::Identity* signer = &signer_at(now);
  const auto text = [](const char* words) { return ByteView(std::string_view(words)).copy(); };
  switch (lie) {
    case Lie::kGarbage:
      return text("\x30\x82\x01\x00 this is no response");
    case Lie::kHtml:
      return text("<html><body>Welcome to our hotel</body></html>");
    case Lie::kEmpty:
      return {};
    case Lie::kTornDer: {
      const Bytes& whole = answer(leaf, now);
      return Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2));
    }
    case Lie::kMalformedRequest:
      return testing::error_response(1);
    case Lie::kInternalError:
      return testing::error_response(2);
    case Lie::kTryLater:
      return testing::error_response(3);
    case Lie::kUnauthorized:
      return testing::error_response(6);
    case Lie::kWrongSerial:
      return answer((leaf + 1) % Pki::kLeaves, now);
    case Lie::kBadSignature:
      return sign(leaf, Status::kGood, now, signer, true);
    case Lie::kForeignKey:
      return sign(leaf, Status::kGood, now, &pki.foreign_ca);
    case Lie::kForeignSigner:
      return sign(leaf, Status::kGood, now, &pki.foreign_signer);
    case Lie::kIdleSigner:
      return sign(leaf, Status::kGood, now, &pki.idle_signer);
    case Lie::kForeignRevoked:
      return sign(leaf, Status::kRevoked, now, &pki.foreign_ca);
    case Lie::kUnknown:
      return sign(leaf, Status::kUnknown, now, signer);
    // Not in time by the right clock; a node whose own is wrong may find that they are.
    case Lie::kExpired:
      return vouch(leaf, false, now - practice_.validity - 1);
    case Lie::kFuture:
      return vouch(leaf, false, now + kDay);
  }
  return {};
}

}  // namespace ocsp_plus::sim
