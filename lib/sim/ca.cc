#include "sim/ca.h"

#include <algorithm>

#include "sim/chains.h"
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

const char* name_of(WrongIssuer wrong) {
  static constexpr const char* kNames[] = {"garbage", "html", "empty", "torn der", "look-alike", "foreign CA"};
  return kNames[static_cast<std::size_t>(wrong)];
}

const char* name_of(Chain chain) {
  static constexpr const char* kNames[] = {"its issuer", "a look-alike and its issuer", "nothing", "a look-alike"};
  return kNames[static_cast<std::size_t>(chain)];
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
  for (std::size_t i = 0; i < kLoadedLeaves / 3; ++i) {
    tenant_cas.push_back(testing::make_ca("Tenant CA " + std::to_string(i)));
  }
  for (LeafNumber i = 0; i < kLeaves; ++i) {
    id(i);
  }
  for (std::size_t i = 0; i < kLookalikes; ++i) {
    lookalikes.push_back(make_lookalike(i));
  }
  for (LeafNumber i = kLoaded; i < kLoaded + 4 * kLoadedLeaves; ++i) {
    id(i);
  }
  for (const LeafNumber number : chains::all()) {
    id(number);
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
  if (is_ca(number)) {
    const testing::CertificateSpec spec = chains::spec_of(number);
    evp_pkey_st* const key =
        tier_of(number) == Tier::kLower ? ca.key : testing::key(testing::KeyType::kP256, spec.subject);
    const testing::Identity* const by = number == chains::kRoot ? nullptr : &issuer(number);
    return leaves.emplace(number, testing::make_certificate(spec, key, by)).first->second;
  }
  const auto forged = forged_.find(number);
  const testing::Identity& by = forged == forged_.end() ? issuer(number) : lookalikes[number % kLookalikes];
  return leaves
      .emplace(number, testing::make_certificate(spec_of(number), testing::key(testing::KeyType::kP256, "leaf"), &by))
      .first->second;
}

Tier Pki::tier_of(LeafNumber number) {
  return !is_ca(number) ? Tier::kLeaf : number < chains::kFirstUpper ? Tier::kLower : Tier::kUpper;
}

const testing::Identity& Pki::issuer(LeafNumber number) const {
  return is_ca(number)       ? leaf(chains::issuer_of(number))
         : of_tenant(number) ? tenant_cas[(number - kLoaded) / 4 / 3]
                             : ca;
}

testing::CertificateSpec Pki::spec_of(LeafNumber number) const {
  const LeafNumber serial = meant(number);
  testing::CertificateSpec spec;
  spec.subject = "leaf" + std::to_string(number);
  spec.dns_names = {spec.subject + ".example"};
  spec.serial = {static_cast<std::uint8_t>(serial < kLoaded ? 0x10 : 0x11),
                 static_cast<std::uint8_t>(serial >> 8 & 0xff), static_cast<std::uint8_t>(serial & 0xff)};
  spec.not_before = kEpoch - 10 * kDay;
  spec.not_after = leaf_end(number);
  spec.must_staple = must_staple(number);
  if (number < kLoaded) {
    return spec;  // the configuration has its responders and issuer
  }
  for (int i = 0; i < (two_responders(number) ? 2 : 1); ++i) {
    spec.ocsp_urls.push_back("http://r" + std::to_string(i) + ".example/" + std::to_string(number));
  }
  if (names_issuer(number)) {
    spec.ca_issuers_urls = {"http://i.example/" + std::to_string(number)};
  }
  const auto forged = forged_.find(number);
  if (forged != forged_.end() && forged->second.how != Forgery::kOtherKey) {
    spec.key_identifiers = false;
    if (forged->second.how != Forgery::kNoIdentifier) {
      spec.extensions.push_back({"authorityKeyIdentifier", false,
                                 testing::der::sequence({testing::der::tlv(0x80, testing::key_sha1(ca.key))})});
    }
  }
  return spec;
}

UnixSeconds Pki::leaf_end(LeafNumber number) {
  constexpr Seconds kTerms[] = {20 * kDay, 90 * kDay, 2 * 3600, 5 * kDay, 40 * 60, 150 * kDay};
  if (number >= kForged) {
    return get().forged_.at(number).end;
  }
  if (is_ca(number)) {
    return chains::end_of(number);
  }
  const std::size_t which = number < kLoaded ? number : (number - kLoaded) / 4;
  const bool short_lived = which % 4 == 3 && which < kLeaves;
  return kEpoch + (short_lived ? kTerms[which / 4 % 6] : 1000 * kDay);
}

// --- certificates that are loaded per connection ---

bool Pki::two_responders(LeafNumber number) {
  return number >= kForged ? get().forged_.at(number).two_responders : (number - kLoaded) % 4 >= 2;
}

bool Pki::names_issuer(LeafNumber number) {
  return number >= kForged ? get().forged_.at(number).how == Forgery::kNamedIssuer : (number - kLoaded) % 2 == 1;
}

// Copies the CA's name, for every other one its key identifier, and for half of them its serial.
testing::Identity Pki::make_lookalike(std::size_t which) const {
  testing::CertificateSpec spec;
  spec.subject = "Sim CA";
  spec.serial = {static_cast<std::uint8_t>(which % 4 < 2 ? 0x01 : 0x40 + which)};
  spec.ca = true;
  if (which % 2 == 1) {
    spec.key_identifiers = false;
    spec.extensions = {{"subjectKeyIdentifier", false, testing::der::octet_string(testing::key_sha1(ca.key))}};
  }
  return testing::make_certificate(spec, testing::key(testing::KeyType::kP256, "Look-alike " + std::to_string(which)),
                                   nullptr);
}

void Pki::forge(LeafNumber number, Forgery how, LeafNumber twin, bool two_responders, UnixSeconds end) const {
  forged_[number] = {how, twin, two_responders, end};
}

LeafNumber Pki::meant(LeafNumber number) const {
  const auto forged = forged_.find(number);
  return forged == forged_.end() ? number : forged->second.twin;
}

std::vector<x509_st*> Pki::chain(LeafNumber number, Chain chain) const {
  x509_st* const lookalike = lookalikes[number % kLookalikes].get();
  const auto forged = forged_.find(number);
  if (forged != forged_.end()) {
    return forged->second.how == Forgery::kNamedIssuer ? std::vector<x509_st*>()
           : forged->second.how == Forgery::kLookalike ? std::vector<x509_st*>{lookalike, ca.get()}
                                                       : std::vector<x509_st*>{ca.get()};
  }
  x509_st* const by = issuer(number).get();
  switch (chain) {
    case Chain::kComplete:
      return {by};
    case Chain::kBehindLookalike:
      return {lookalike, by};
    case Chain::kEmpty:
      return {};
    case Chain::kLookalike:
      return {lookalike};
  }
  return {};
}

Bytes document_of(WrongIssuer wrong, LeafNumber leaf) {
  const Pki& pki = Pki::get();
  const auto text = [](const char* words) { return ByteView(std::string_view(words)).copy(); };
  switch (wrong) {
    case WrongIssuer::kGarbage:
      return text("\x30\x82\x01\x00 this is no certificate");
    case WrongIssuer::kHtml:
      return text("<html><body>Welcome to our hotel</body></html>");
    case WrongIssuer::kEmpty:
      return {};
    case WrongIssuer::kTornDer: {
      const Bytes whole = pki.ca.der();
      return Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2));
    }
    case WrongIssuer::kLookalike:
      return pki.lookalikes[leaf % Pki::kLookalikes].der();
    case WrongIssuer::kForeignCa:
      return pki.foreign_ca.der();
  }
  return {};
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

UnixSeconds Ca::made_at(LeafNumber leaf, UnixSeconds now) const {
  const Seconds resign = practice(leaf).resign;
  return resign == 0 ? now : now - now % resign;
}

std::size_t Ca::term_of(UnixSeconds time) {
  const Seconds term = std::max<Seconds>(time - kEpoch, 0) / Pki::kTerm;
  return std::min<std::size_t>(static_cast<std::size_t>(term), Pki::kSigners - 1);
}

const testing::Identity& Ca::signer_at(LeafNumber leaf, UnixSeconds time) const {
  const Pki& pki = Pki::get();
  return delegates(leaf) ? pki.signers[term_of(time)] : pki.issuer(leaf);
}

UnixSeconds Ca::end_of(LeafNumber leaf, UnixSeconds this_update) const {
  const UnixSeconds end = this_update + practice(leaf).validity;
  return delegates(leaf) ? std::min(end, Pki::get().signer_ends[term_of(this_update)]) : end;
}

UnixSeconds Ca::end_of_answer(LeafNumber leaf, UnixSeconds now) const {
  return end_of(leaf, made_at(leaf, now));
}

// A revocation is signed at once, even if responses are made in advance. It then has the times of its round, so that
// it differs from the round's good response only in the status.
const Bytes& Ca::answer(LeafNumber leaf, UnixSeconds now) {
  const UnixSeconds made = made_at(leaf, now);
  const auto revoked = revoked_at(leaf);
  const bool is_revoked = revoked.has_value() && *revoked <= now;
  const Bytes*& kept = by_time_[{leaf, made, is_revoked}];
  if (kept == nullptr) {
    kept = &vouch(leaf, is_revoked, made);
  }
  return *kept;
}

const Bytes& Ca::vouch(LeafNumber leaf, bool revoked, UnixSeconds made) {
  Bytes der = sign(leaf, revoked ? Status::kRevoked : Status::kGood, made, &signer_at(leaf, made));
  return honest_.emplace(std::move(der), Signed{leaf, revoked, made, end_of(leaf, made)}).first->first;
}

Bytes Ca::old_answer(LeafNumber leaf, UnixSeconds now) const {
  const auto oldest = by_time_.lower_bound({leaf, now - practice(leaf).validity + 2, false});
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
  const testing::Identity& issuer = pki.issuer(leaf);
  spec.by_key = practice(leaf).by_key;
  spec.produced_at = testing::generalized_time(this_update);
  spec.singles.front().status = status;
  spec.singles.front().revoked_at = testing::generalized_time(this_update);
  spec.singles.front().this_update = testing::generalized_time(this_update);
  spec.singles.front().next_update = testing::generalized_time(this_update + practice(leaf).validity);
  if (signer != &issuer && signer != &pki.foreign_ca) {
    spec.certificates = {signer->der()};
  }
  spec.break_signature = broken;
  return testing::make_response(spec, pki.leaf(leaf), issuer, *signer);
}

// --- lies ---

Bytes Ca::lie(Lie lie, LeafNumber leaf, UnixSeconds now) {
  const Pki& pki = Pki::get();
  const testing::Identity* signer = &signer_at(leaf, now);
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
      return answer(Pki::is_ca(leaf) ? chains::neighbour_of(leaf) : (leaf + 1) % Pki::kLeaves, now);
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
    // Not current by the true time, but possibly by a node's wrong clock, so they are in the table.
    case Lie::kExpired:
      return vouch(leaf, false, now - practice(leaf).validity - 1);
    case Lie::kFuture:
      return vouch(leaf, false, now + kDay);
  }
  return {};
}

}  // namespace ocsp_plus::sim
