#include "engine/stapler.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/log.h"
#include "crypto/certificate.h"
#include "crypto/certificate_message.h"
#include "engine/admit.h"
#include "store/entry_state.h"

namespace ocsp_plus::engine {
namespace {

using store::StapleZone;

// Decision::memory needs no allocation: its two low bits hold the kind, the next four how many staples went with the
// leaf's, the bits above them the end of the leaf's response.
enum Kind : std::uintptr_t { kWithout = 1, kGood = 2, kRevoked = 3 };
constexpr std::uintptr_t kKindBits = 2, kChainBits = 4;
constexpr std::uintptr_t kKindMask = (1 << kKindBits) - 1, kChainMask = (1 << kChainBits) - 1;
static_assert(kMaxLinks <= kChainMask);
constexpr std::uintptr_t kForeign = 1 << kKindBits | kWithout;
constexpr std::uintptr_t kRefused = 2 << kKindBits | kWithout;

constexpr std::size_t kMaxChain = 64;  // certificates beside the leaf that are looked at

std::uintptr_t memory_of(Outcome outcome) {
  return outcome == Outcome::kRefused ? kRefused : outcome == Outcome::kForeign ? kForeign : kWithout;
}

store::Handshake::Kind counted_as(Outcome outcome) {
  return outcome == Outcome::kStapled   ? store::Handshake::kStapled
         : outcome == Outcome::kForeign ? store::Handshake::kForeign
         : outcome == Outcome::kRefused ? store::Handshake::kRefused
                                        : store::Handshake::kMissing;
}

// REQUIRES: is_staplable(), so the response is good or revoked.
bool is_good(const store::BlobHeader& header) {
  return static_cast<crypto::CertStatus>(header.cert_status) == crypto::CertStatus::kGood;
}

// REQUIRES: Certificate::staples is kChain.
const Server::LinkedChain& chain_of(const Server& server, const x509_st* leaf) {
  return *std::find_if(server.chains.begin(), server.chains.end(),
                       [leaf](const Server::LinkedChain& chain) { return chain.leaf == leaf; });
}

// Returns nothing if the certificate cannot be hashed, most likely for lack of memory.
std::optional<CertificateId> hash_of(x509_st* leaf) noexcept {
  try {
    if (const auto id = crypto::certificate_id(leaf)) {
      return *id;
    }
  } catch (const std::exception&) {
  }
  return std::nullopt;
}

// The certificates that are sent beside the leaf.
class Chain {
 public:
  explicit Chain(Connection* connection) : count_(connection->chain(all_.data(), all_.size())) {}
  x509_st* const* begin() const { return all_.data(); }
  x509_st* const* end() const { return all_.data() + count_; }

 private:
  std::array<x509_st*, kMaxChain> all_;
  std::size_t count_;
};

// Returns whether one of `sent` has the name and the key of the certificate's issuer.
bool issuer_is_among(const CertificateRange& sent, x509_st* certificate, const store::IssuerKey& key) {
  return std::any_of(sent.begin(), sent.end(), [&](x509_st* candidate) {
    return crypto::has_issuer_name(certificate, candidate) && crypto::key_sha256(candidate) == key;
  });
}

// The line on handshakes without a staple, by Stapler::Cause.
struct Line {
  const char* what;
  const char* counted;  // the name of their number
};
constexpr std::array<Line, 3> kLines = {{
    {"ocsp_plus: handshake refused, there is no valid response and \"ocsp_plus_require\" demands one", "refused"},
    {"ocsp_plus: connection closed: another module's status callback ran in its handshake and \"ocsp_plus_require\" "
     "demands our response",
     "refused"},
    {"ocsp_plus: response not stapled, with it the Certificate message would be longer than the 32768 bytes that "
     "Java accepts",
     "reason=message_too_large handshakes"},
}};

}  // namespace

void Server::add(x509_st* leaf, const Target* target, const std::vector<x509_st*>& chain,
                 const std::vector<Target*>& links) {
  Certificate& added = first.leaf == nullptr ? first : others.emplace_back();
  added.leaf = leaf;
  added.target = target;
  added.must_staple = crypto::demands_staple(leaf);
  added.room = static_cast<std::uint16_t>(
      std::min<std::size_t>(crypto::staple_room(crypto::message_size(leaf, chain)), kAnyStaple));
  if (target != nullptr) {
    added.id = target->certificate.id;
  } else {
    added.staples = Staples::kNone;
  }
  if (links.empty()) {
    return;
  }
  added.staples = Staples::kChain;
  LinkedChain& linked = chains.emplace_back();
  linked.leaf = leaf;
  linked.certificates = chain;
  linked.message = crypto::message_size(leaf, chain);
  for (const Target* link : links) {
    linked.links.push_back({link, link->certificate.id, store::kNoEntry});
  }
}

void Server::take_entries() {
  const auto take = [](Certificate& certificate) {
    certificate.entry = certificate.target != nullptr ? certificate.target->entry : store::kNoEntry;
    if (certificate.target != nullptr && !certificate.target->supported()) {
      certificate.staples = Staples::kNone;
    }
  };
  take(first);
  std::for_each(others.begin(), others.end(), take);
  for (LinkedChain& chain : chains) {
    for (Link& link : chain.links) {
      link.entry = link.target->entry;
    }
  }
}

const Server::Certificate* Server::find(const x509_st* leaf) const noexcept {
  if (first.leaf == leaf) {
    return &first;
  }
  const auto found = std::find_if(others.begin(), others.end(),
                                  [leaf](const Certificate& certificate) { return certificate.leaf == leaf; });
  return found == others.end() ? nullptr : &*found;
}

Result<CertificateId> Server::id_of(x509_st* leaf) const {
  const Certificate* certificate = find(leaf);
  return certificate != nullptr && certificate->target != nullptr ? certificate->id : crypto::certificate_id(leaf);
}

Remembered recall(std::uintptr_t memory) noexcept {
  const std::uintptr_t kind = memory & kKindMask;
  if (kind == kGood || kind == kRevoked) {
    return {Outcome::kStapled, kind == kRevoked, static_cast<UnixSeconds>(memory >> (kKindBits + kChainBits)),
            memory >> kKindBits & kChainMask};
  }
  return {memory == kForeign ? Outcome::kForeign : memory == kRefused ? Outcome::kRefused : Outcome::kNone};
}

Decision Stapler::decide(const Server& server, const Hello& hello, Connection* connection) noexcept {
  const Subject subject = identify(server, hello);
  StapleZone::Copy held;
  const bool valid = copy(subject, hello, &held);
  if (subject.unknown && offers_.is_due(*zone_, server.profile, subject.id, hello.monotonic)) {
    const Chain sent(connection);
    offers_.offer(*zone_, server.profile, subject.id, hello.leaf, {sent.begin(), sent.end()}, hello.monotonic);
  }
  if (!valid) {
    // A response of ours for the first hello of the connection looks foreign at the second.
    const bool ours = hello.memory != 0 && recall(hello.memory).outcome == Outcome::kStapled;
    return without(server, hello, subject, hello.foreign && !ours, kNothingHeld);
  }
  const bool fits = subject.configured != nullptr && held.header.length <= subject.configured->room;
  if (hello.tls13 && !fits && leaves_out(server, hello, subject, held.header.length, connection)) {
    hello.release(held.data);
    return without(server, hello, subject, false, kMessageTooLarge);
  }
  const bool has_chain = subject.configured != nullptr ? subject.configured->staples == Server::Staples::kChain
                                                       : server.chain_profile != 0;
  if (has_chain && hello.tls13 && settings_.sends_chain && is_good(held.header)) {
    return staple_with_chain(server, hello, subject, held, connection);
  }
  const Staple staple = {static_cast<unsigned char*>(held.data), held.header.length};
  const bool omitted = !is_good(held.header) && server.omit_revoked;
  // Another module's response is not sent in place of an omitted one: it says what is no longer true.
  if (omitted || connection->staple(&staple, 1) == 0) {
    hello.release(held.data);
    return without(server, hello, subject, false, kNothingHeld);
  }
  return stapled(hello, subject, held, 0);
}

Decision Stapler::settle(const Server& server, const Hello& hello) noexcept {
  if (hello.memory != 0) {
    return {recall(hello.memory).outcome, hello.memory, nullptr};
  }
  Subject subject;
  subject.configured = server.find(hello.leaf);
  return without(server, hello, subject, hello.foreign, kCallbackTaken);
}

// Finds a configured certificate by its address, another by its hash.
Stapler::Subject Stapler::identify(const Server& server, const Hello& hello) const noexcept {
  Subject subject;
  subject.configured = server.find(hello.leaf);
  if (subject.configured != nullptr) {
    subject.entry = subject.configured->entry;
    subject.id = subject.configured->id;
    return subject;
  }
  const auto id = zone_.has_value() ? hash_of(hello.leaf) : std::nullopt;
  if (id) {
    look_up(server.profile, *id, hello.now, &subject);
  }
  return subject;
}

// Finds a certificate loaded for the connection, and notes that it is in use. REQUIRES: the zone is open.
void Stapler::look_up(std::uint64_t profile, const CertificateId& id, UnixSeconds now,
                      Subject* subject) const noexcept {
  subject->id = id;
  subject->entry = zone_->find(id);
  note_use(profile, subject, now);
}

// Notes that the certificate is in use. Its profile is that of the first server that loads it, or of a later one in
// which the operator vouches for it; and rather one of leaves than one of CA certificates.
void Stapler::note_use(std::uint64_t profile, Subject* subject, UnixSeconds now) const {
  const auto state = store::per_connection_state(*zone_, subject->entry);
  if (!state.has_value()) {
    const auto preloaded = catalog_.by_id().find(subject->id);
    subject->unknown = preloaded == catalog_.by_id().end();
    subject->unsupported = !subject->unknown && !preloaded->second->supported();
    return;
  }
  subject->unknown = !state->has_issuer;  // this server may load more of its chain
  subject->unsupported = state->unsupported;
  store::record_use(*zone_, subject->entry, now);
  if (state->profile == profile) {
    return;
  }
  const Profile* theirs = catalog_.profile(state->profile);
  const Profile* ours = catalog_.profile(profile);
  if (ours != nullptr && (theirs == nullptr || ours->precedes(*theirs))) {
    store::record_profile(*zone_, subject->entry, profile);
  }
}

// Copies the held response. false: none can be stapled now.
bool Stapler::copy(const Subject& subject, const Hello& hello, StapleZone::Copy* held) noexcept {
  if (!zone_.has_value() || subject.entry == store::kNoEntry) {
    return false;
  }
  std::uint32_t& place = places_[subject.entry % places_.size()];
  zone_->expect(subject.entry, place);
  if (zone_->copy(subject.entry, subject.id, hello.allocate, hello.release, held) != StapleZone::Read::kCopied) {
    return false;
  }
  place = held->place;
  if (!is_staplable(held->header, hello.now, settings_.policy.clock_skew)) {
    hello.release(held->data);
    return false;
  }
  return true;
}

// Staples what is held of the leaf's chain too. REQUIRES: the leaf's response is good.
Decision Stapler::staple_with_chain(const Server& server, const Hello& hello, const Subject& subject,
                                    const StapleZone::Copy& held, Connection* connection) noexcept {
  Links links;
  find_links(server, hello, subject, connection, &links);
  std::array<Staple, 1 + kMaxLinks> staples;
  staples[0] = {static_cast<unsigned char*>(held.data), held.header.length};
  std::size_t count = 1;
  std::size_t size = links.message + crypto::kStapleOverhead + held.header.length;
  for (bool good = true; good && count <= links.count; ++count) {
    Subject link;
    link.entry = links.first[count - 1].entry;
    link.id = links.first[count - 1].id;
    StapleZone::Copy response;
    if (!copy(link, hello, &response)) {
      break;
    }
    good = is_good(response.header);
    size += crypto::kStapleOverhead + response.header.length;
    if (size > kMostWithChain || (!good && server.omit_revoked)) {
      hello.release(response.data);
      break;
    }
    staples[count] = {static_cast<unsigned char*>(response.data), response.header.length};
  }
  const std::size_t sent = connection->staple(staples.data(), count);
  if (sent == 0) {
    std::for_each_n(staples.begin(), count, [&hello](const Staple& staple) { hello.release(staple.der); });
    return without(server, hello, subject, false, kNothingHeld);
  }
  if (sent > 1 && hello.memory == 0) {
    this->count(hello, store::Handshake::kChainStapled, store::kNoEntry);
    std::for_each_n(links.first, sent - 1,
                    [&](const Server::Link& link) { store::count_staple(*zone_, hello.worker, link.entry); });
  }
  return stapled(hello, subject, held, sent - 1);
}

// Finds the certificates after the leaf that may be stapled with it. Of a chain loaded for the connection it offers
// the first that the zone does not have.
void Stapler::find_links(const Server& server, const Hello& hello, const Subject& subject, Connection* connection,
                         Links* links) noexcept {
  const Chain sent(connection);
  if (subject.configured != nullptr) {
    const Server::LinkedChain& linked = chain_of(server, hello.leaf);
    if (std::equal(sent.begin(), sent.end(), linked.certificates.begin(), linked.certificates.end())) {
      links->first = linked.links.data();
      links->count = linked.links.size();
      links->message = linked.message;
    }
    return;
  }
  links->first = links->storage.data();
  links->message = crypto::message_size(hello.leaf, sent);
  for (auto at = sent.begin(); at != sent.end() && links->count < links->storage.size(); ++at) {
    const CertificateRange after = {at + 1, sent.end()};
    const auto has_name = [at](x509_st* candidate) { return crypto::has_issuer_name(*at, candidate); };
    const bool may_be_linked = !crypto::is_root(*at) && std::any_of(after.begin(), after.end(), has_name);
    const auto id = may_be_linked ? hash_of(*at) : std::nullopt;
    if (!id) {
      return;
    }
    Subject link;
    look_up(server.chain_profile, *id, hello.now, &link);
    if (link.unknown && offers_.is_due(*zone_, server.chain_profile, *id, hello.monotonic)) {
      offers_.offer(*zone_, server.chain_profile, *id, *at, after, hello.monotonic);
    }
    const auto held = link.unknown ? std::nullopt : zone_->peek(link.entry, *id);
    if (!held.has_value() || !issuer_is_among(after, *at, held->issuer_key)) {
      return;
    }
    links->storage[links->count++] = {nullptr, link.id, link.entry};
  }
}

// `chain`: the staples after the leaf's.
Decision Stapler::stapled(const Hello& hello, const Subject& subject, const StapleZone::Copy& held,
                          std::size_t chain) const noexcept {
  count(hello, store::Handshake::kStapled, subject.entry);
  const std::uintptr_t kind = is_good(held.header) ? kGood : kRevoked;
  const auto expires = static_cast<std::uintptr_t>(held.header.expires);
  return {Outcome::kStapled, (expires << kChainBits | chain) << kKindBits | kind, nullptr};
}

Decision Stapler::without(const Server& server, const Hello& hello, const Subject& subject, bool foreign,
                          Cause cause) noexcept {
  Decision decision;
  const bool required =
      server.require != Require::kOff && requires_staple(server.require, must_staple(subject, hello.leaf));
  decision.outcome = required ? Outcome::kRefused : foreign ? Outcome::kForeign : Outcome::kNone;
  decision.memory = memory_of(decision.outcome);
  const bool unsupported =
      subject.configured != nullptr ? subject.configured->staples == Server::Staples::kNone : subject.unsupported;
  count(hello,
        unsupported && decision.outcome == Outcome::kNone ? store::Handshake::kUnsupported
                                                          : counted_as(decision.outcome),
        store::kNoEntry);
  if (cause == kMessageTooLarge) {
    count(hello, store::Handshake::kTooLarge, store::kNoEntry);
  }
  if (required || cause == kMessageTooLarge) {
    decision.line = line(hello, cause);
  }
  return decision;
}

bool Stapler::must_staple(const Subject& subject, x509_st* leaf) noexcept {
  return subject.configured != nullptr ? subject.configured->must_staple : crypto::demands_staple(leaf);
}

// Whether a response of that size has to be left out, so that clients in Java can connect. A certificate loaded for
// the connection is measured with its chain each time. REQUIRES: a configured one has no `room` for it.
bool Stapler::leaves_out(const Server& server, const Hello& hello, const Subject& subject, std::size_t staple,
                         Connection* connection) const noexcept {
  const Server::Certificate* configured = subject.configured;
  if (server.require == Require::kOn || must_staple(subject, hello.leaf)) {
    return false;
  }
  return configured != nullptr ? configured->room != Server::kAnyStaple
                               : staple > crypto::staple_room(crypto::message_size(hello.leaf, Chain(connection)));
}

void Stapler::count(const Hello& hello, store::Handshake::Kind what, store::EntryIndex entry) const noexcept {
  if (!zone_.has_value() || hello.memory != 0) {
    return;
  }
  store::count_handshake(*zone_, hello.worker, what, entry);
}

void Stapler::count_replaced(std::uint32_t worker) const noexcept {
  if (zone_.has_value()) {
    store::count_handshake(*zone_, worker, store::Handshake::kReplaced);
  }
}

// Returns the line on a handshake without a staple, which nginx itself logs at info only, if at all; nullptr if the
// last line of that cause is less than kBetweenLines ago, or memory is out.
const std::string* Stapler::line(const Hello& hello, Cause cause) noexcept {
  Unlogged& unlogged = unlogged_[cause];
  ++unlogged.count;
  if (hello.now >= unlogged.logged && hello.now - unlogged.logged < kBetweenLines) {
    return nullptr;
  }
  try {
    line_ = fmt::format("{}: certificate={} {}={}", kLines[cause].what, quoted(crypto::label_of(hello.leaf)),
                        kLines[cause].counted, unlogged.count);
    unlogged = {hello.now, 0};
    return &line_;
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace ocsp_plus::engine
