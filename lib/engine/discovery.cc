#include "engine/discovery.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/log.h"
#include "crypto/issuer_document.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/lease.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {
namespace {

constexpr std::size_t kOffersPerTurn = 4;  // each costs the parsing of a chain; a large one counts as several
constexpr Millis kPause = 10;              // between two such turns: a flood gets only a part of this worker's time
constexpr std::size_t kStepsOfOne = 8;     // searches with so many steps may be given up for others
constexpr std::size_t kLooksPerTurn = 16384;  // in units of a glance at an entry
constexpr std::size_t kLoadCosts = 1024;      // glances; parsing a certificate of common size
constexpr std::size_t kVerifyingCosts = 4;    // times kLoadCosts
constexpr std::size_t kLooksPerTick = 4096;   // after the first round
constexpr std::size_t kBusyOffers = 64;
constexpr std::size_t kShareOfBatch = 32;  // to make room, one certificate in so many goes at once
constexpr std::size_t kMostEvicted = 4;    // a new certificate may evict others of so many times its size
constexpr std::size_t kSpare = 16;         // one part in so many of the arena is kept free by eviction
// A certificate seen once starts with a last use that lies so far back, so that a flood of one-time certificates
// evicts itself first.
constexpr Seconds kProbation = 60;
constexpr std::uint32_t kLookupPatience = 3;  // failures after which another certificate's issuer is fetched first
constexpr Seconds kGraceOfEnded = 3600;       // clients whose clocks differ may still accept an expired certificate

// Returns a certificate's cost in certificates of common size: reading one of 256 kB, with its ten thousand names,
// takes some 10 ms.
std::size_t weight(std::size_t der_size) {
  return 1 + der_size / store::kOfferBytes;
}

// Returns the health keys of all hosts that may be asked for the target.
std::vector<std::string> hosts_of(const Target& target) {
  std::vector<std::string> hosts;
  for (std::size_t i = 0; i < target.responders.size(); ++i) {
    hosts.push_back(target.host(i));
  }
  if (target.issuer_lookup != nullptr) {
    for (const net::Url* url : target.issuer_lookup->urls) {
      hosts.push_back(target.host(*url));
    }
  }
  return hosts;
}

// Returns the server that log lines name for a profile.
std::string server_of(const Profile* profile) {
  return profile == nullptr || profile->servers.empty() ? "" : profile->servers.front();
}

// A configured certificate's share of the arena, as store::required_size() has it.
constexpr std::size_t kConfiguredShare = (sizeof(store::BlobHeader) + 3072) * 5 / 4;

}  // namespace

Discovery::Discovery(const Context& context, Report& report, store::ZoneWriter& writer, Gate& gate,
                     DiskCache& disk_cache, Roster& roster, Refresher& refresher, MissingIssuers& issuers)
    : context_(context),
      report_(report),
      writer_(writer),
      gate_(gate),
      disk_cache_(disk_cache),
      roster_(roster),
      refresher_(refresher),
      issuers_(issuers),
      offers_(context.zone, context.clock),
      timer_(context.loop.timer([this] { work(); })),
      dropped_(store::counted(context.zone, store::Counter::kDropped)) {}

Discovery::~Discovery() = default;

void Discovery::tick() {
  const std::uint64_t dropped = store::counted(context_.zone, store::Counter::kDropped);
  if (dropped != dropped_) {
    report_.loaded_dropped(dropped - dropped_);
    dropped_ = dropped;
  }
  offers_.free_abandoned(&store::process_alive);
  if (round_over_) {
    scan(kLooksPerTick);
  }
  if (over_limit(0)) {
    make_room();
  }
  take_issuers();
  work();
}

void Discovery::work() {
  // The queue first: clients are waiting for these staples.
  const bool offered = take_offers(kOffersPerTurn);
  if (!round_over_ && scan(kLooksPerTurn)) {
    timer_->arm(0);
  } else if (offered) {
    timer_->arm(kPause);
  }
}

// Returns the record of a certificate loaded per connection; nullptr: the entry has none.
const Record* Discovery::known(store::EntryIndex entry) const {
  const Record* const record = roster_.find(entry);
  return record != nullptr && record->per_connection != nullptr ? record : nullptr;
}

// --- certificates in the zone ---

// Looks at entries until `budget` is spent. true: the round is not over.
bool Discovery::scan(std::size_t budget) {
  const store::EntryIndex used = context_.zone.entries_used();
  for (std::size_t spent = 0; spent < budget; ++spent) {
    if (next_ >= used) {
      next_ = 0;
      round_over_ = true;
      return false;
    }
    spent += look_at(next_++);
  }
  return true;
}

// Brings the record of an entry in line with the zone. Returns the cost besides the glance.
std::size_t Discovery::look_at(store::EntryIndex entry) {
  const auto state = store::per_connection_state(context_.zone, entry);
  const Record* record = roster_.find(entry);
  const bool configured = record != nullptr && record->per_connection == nullptr;
  const CertificateId id = context_.zone.id(entry);
  if (record != nullptr && !configured && (!state.has_value() || record->target.certificate.id != id)) {
    remove_entry(entry, RemovalReason::kGone);
    record = nullptr;
  }
  if (!state.has_value()) {
    return 0;
  }
  if (context_.catalog.by_id().count(id) != 0) {
    remove_entry(entry, RemovalReason::kConfigured);
    return 0;
  }
  if (configured) {
    return 0;  // another process has written over the entry; ZoneRepair restores it
  }
  if (record != nullptr && record->per_connection->profile == state->profile) {
    if (has_ended(record->target, *state)) {
      remove_entry(entry, RemovalReason::kEnded);
    }
    return 0;
  }
  if (record != nullptr) {
    drop_record(entry, false);  // another server loads it now
  }
  return load(entry, *state);
}

bool Discovery::has_ended(const Target& target, const store::PerConnectionState& state) const {
  const UnixSeconds now = context_.clock.now();
  return saturating_add(target.certificate.not_after, kGraceOfEnded) < now ||
         saturating_sub(now, state.used) > kUnused;
}

// Adds the record of an entry that is in the zone. Its issuer is the one in the entry, if it has signed the
// certificate. Returns the cost.
std::size_t Discovery::load(store::EntryIndex entry, const store::PerConnectionState& state) {
  const CertificateId id = context_.zone.id(entry);
  const auto leaf_der = store::read_leaf(context_.zone, entry, id);
  auto leaves = leaf_der.has_value() ? crypto::parse_der_certificates(*leaf_der) : std::vector<crypto::X509Ptr>();
  auto certificate = leaves.size() == 1 ? crypto::describe(leaves[0].get()) : fail(Reason::kUnreadable);
  const std::size_t cost = kLoadCosts * weight(leaf_der.has_value() ? leaf_der->size() : 0);
  if (!certificate || certificate->id != id || context_.zone.find(id) != entry) {
    // Another process has written over the entry, or was killed while it registered it. A handshake may offer the
    // certificate again.
    remove_entry(entry, RemovalReason::kGone);
    return cost;
  }
  ParsedCertificate parsed = {std::move(leaves[0]), std::move(*certificate), nullptr};
  if (const auto issuer_der = store::read_issuer(context_.zone, entry)) {
    auto issuers = crypto::parse_der_certificates(*issuer_der);
    auto issuer = issuers.size() == 1 ? issuers_.pool().intern(issuers[0].get()) : fail(Reason::kUnreadable);
    // Any worker may have written the issuer there.
    if (!issuer || (*issuer)->key_sha256() != context_.zone.issuer_key(entry) ||
        !crypto::signed_by(parsed.leaf.get(), (*issuer)->certificate())) {
      remove_entry(entry, RemovalReason::kGone);
      return kVerifyingCosts * cost;
    }
    parsed.issuer = std::move(*issuer);
  }
  keep(entry, state.profile, std::move(parsed));
  return kVerifyingCosts * cost;
}

// --- offers of the workers ---

// Takes offers until `budget` is spent. true: more may follow soon.
bool Discovery::take_offers(std::size_t budget) {
  while (!again_.empty()) {
    auto [parsed, profile] = std::move(again_.front());
    again_.pop_front();
    if (!settle(std::move(parsed), profile)) {
      return false;  // at the next tick
    }
  }
  for (bool some = false; budget > 0; some = true) {
    const bool full = searching_.size() >= kMaxSearching || searching_bytes_ >= kMaxLookupBytes;
    if (full && !give_one_up()) {
      return true;
    }
    const std::optional<store::Offer> offer = offers_.take();
    if (!offer.has_value()) {
      return some;
    }
    budget -= std::min(budget, weight(offer->leaf.size() + offer->chain.size()));
    const Reason reason = offer->too_large > 0 ? report_too_large(*offer) : take(*offer);
    if (reason != Reason::kOk) {
      refuse(reason, offer->profile);
    }
  }
  return true;
}

// Nothing is stapled for a leaf, which is an error; without a staple of a CA certificate the list ends earlier.
LogLevel Discovery::loudness(std::uint64_t profile) const {
  const Profile* const found = context_.catalog.profile(profile);
  return found != nullptr && found->ca ? LogLevel::kWarn : LogLevel::kError;
}

void Discovery::refuse(Reason reason, std::uint64_t profile) {
  store::count(context_.zone, store::Counter::kRefused);
  if (reason != Reason::kCertificateTooLarge) {  // its own line names the certificate
    report_.loaded_refused(loudness(profile), {reason, reason == Reason::kZoneFull ? "enlarge ocsp_plus_zone" : ""});
  }
}

Reason Discovery::report_too_large(const store::Offer& offer) {
  report_.loaded_too_large(loudness(offer.profile), offer, server_of(context_.catalog.profile(offer.profile)),
                           store::max_offer_bytes(context_.zone), offer.too_large <= store::kLargeOfferBytes);
  return Reason::kCertificateTooLarge;
}

// Begins the search for the issuer, if the certificate is worth one.
Reason Discovery::take(const store::Offer& offer) {
  auto leaves = crypto::parse_der_certificates(offer.leaf);
  auto certificate = leaves.size() == 1 ? crypto::describe(leaves[0].get()) : fail(Reason::kUnreadable);
  if (!certificate || certificate->id != offer.id) {
    return Reason::kUnreadable;
  }
  if (context_.catalog.by_id().count(offer.id) != 0 ||
      saturating_add(certificate->not_after, kGraceOfEnded) < context_.clock.now()) {
    return Reason::kOk;  // a newer configuration than that worker's has it, or it has ended
  }
  const auto state = store::per_connection_state(context_.zone, context_.zone.find(offer.id));
  const bool searched = std::any_of(searching_.begin(), searching_.end(), [&](const Searching& searching) {
    return searching.parsed.certificate.id == offer.id;
  });
  if (searched || (state.has_value() && state->has_issuer)) {
    return Reason::kOk;  // two workers have offered it
  }
  std::vector<x509_st*> offered;
  if (const Profile* profile = context_.catalog.profile(offer.profile)) {
    for (const crypto::X509Ptr& trusted : profile->trusted) {
      offered.push_back(trusted.get());
    }
  }
  const auto chain = crypto::parse_der_certificates(offer.chain);
  for (const crypto::X509Ptr& certificate_of_chain : chain) {
    offered.push_back(certificate_of_chain.get());
  }
  x509_st* const leaf = leaves[0].get();
  // The signature always decides: a name and a key identifier are easily forged.
  IssuerSearch search(issuers_.pool(), offer.id, leaf, offered);
  searching_.push_back(
      {{std::move(leaves[0]), std::move(*certificate), nullptr, crypto::why_no_issuer(leaf, offered)},
       offer.profile,
       offer.leaf.size(),
       nullptr});
  searching_bytes_ += offer.leaf.size();
  const auto at = std::prev(searching_.end());
  try {
    at->ticket = issuers_.searches().begin(std::move(search),
                                           [this, at](const IssuerSearch& ended) { search_over(at, ended.found()); });
  } catch (...) {
    searching_bytes_ -= at->size;
    searching_.erase(at);
    throw;
  }
  return Reason::kOk;
}

void Discovery::search_over(std::list<Searching>::iterator at, const IssuerPtr& issuer) {
  ParsedCertificate parsed = std::move(at->parsed);
  const std::uint64_t profile = at->profile;
  searching_bytes_ -= at->size;
  searching_.erase(at);
  parsed.issuer = issuer;
  if (parsed.issuer == nullptr) {
    const store::EntryIndex entry = context_.zone.find(parsed.certificate.id);
    const Record* const record = known(entry);
    const bool may_begin_lookup =
        may_look_up(parsed.certificate) && record != nullptr && record->target.issuer_lookup == nullptr;
    if (store::per_connection_state(context_.zone, entry).has_value() && !may_begin_lookup) {
      return;  // the entry stays as it is
    }
  }
  settle(std::move(parsed), profile);
}

// Ends the search that has taken the most steps, because others wait. It continues from there when the certificate is
// offered again, since mismatches are remembered. false: no search has had its share yet.
bool Discovery::give_one_up() {
  const auto longest = std::max_element(searching_.begin(), searching_.end(), [](const auto& a, const auto& b) {
    return a.ticket->search().steps() < b.ticket->search().steps();
  });
  if (longest == searching_.end() || longest->ticket->search().steps() < kStepsOfOne) {
    return false;
  }
  search_over(longest, nullptr);
  return true;
}

// Adds a certificate whose search is over. false: the zone is busy (the certificate is tried again) or the lease is
// lost.
bool Discovery::settle(ParsedCertificate parsed, std::uint64_t profile) {
  const Reason reason = add(parsed, profile);
  if (reason == Reason::kZoneBusy) {
    if (again_.size() < kBusyOffers) {
      again_.emplace_back(std::move(parsed), profile);
    }
    return false;
  }
  if (reason == Reason::kLeaseLost) {
    return false;  // the next tick finds out
  }
  if (reason != Reason::kOk) {
    refuse(reason, profile);
  }
  return true;
}

Reason Discovery::add(ParsedCertificate& parsed, std::uint64_t key) {
  store::PerConnectionCertificate certificate;
  certificate.id = parsed.certificate.id;
  const Bytes leaf_der = crypto::der_of(parsed.leaf.get());
  certificate.leaf = leaf_der;
  certificate.profile = key;
  const auto state = store::per_connection_state(context_.zone, context_.zone.find(certificate.id));
  certificate.used = state.has_value() ? state->used : context_.clock.now() - kProbation;
  Bytes issuer_der;
  if (parsed.issuer != nullptr) {
    issuer_der = crypto::der_of(parsed.issuer->certificate());
    certificate.issuer_key = parsed.issuer->key_sha256();
    certificate.issuer_id = parsed.issuer->id();
    certificate.issuer = issuer_der;
  }
  if (leaf_der.empty() || (parsed.issuer != nullptr && issuer_der.empty())) {
    return Reason::kOutOfMemory;
  }
  // Its response needs room as well.
  const std::size_t wanted = leaf_der.size() + issuer_der.size() + kConfiguredShare;
  if (over_limit(wanted) && !make_room()) {
    return Reason::kZoneFull;
  }
  // Free space may be in pieces too small for a large certificate. Making room evicts at most a few times its size.
  auto added = writer_.add_per_connection(certificate);
  const std::size_t before = writer_.per_connection_bytes();
  while (!added && added.error().reason == Reason::kZoneFull &&
         before - std::min(before, writer_.per_connection_bytes()) < kMostEvicted * wanted && make_room()) {
    added = writer_.add_per_connection(certificate);
  }
  if (!added) {
    return added.error().reason;
  }
  store::count(context_.zone, store::Counter::kTaken);
  if (const Record* const record = roster_.find(*added)) {
    if (record->per_connection == nullptr) {  // another process has written over the entry, so it looked free
      (void)writer_.remove_per_connection(*added, certificate.id);
      return Reason::kInternal;
    }
    drop_record(*added, false);  // its record without an issuer
  }
  const crypto::IssuerFault fault = parsed.fault;
  const bool may_be_fetched = context_.settings.issuer_fetch && names_issuer_url(parsed.certificate);
  keep(*added, key, std::move(parsed));
  const Target& target = roster_.at(*added).target;
  report_.loaded_taken(target, server_of(context_.catalog.profile(key)));
  if (!target.verifiable() && !target.responders.empty()) {
    report_.loaded_without_issuer(may_be_fetched ? LogLevel::kWarn : loudness(key), target, fault);
  }
  return Reason::kOk;
}

// --- records ---

void Discovery::keep(store::EntryIndex entry, std::uint64_t key, ParsedCertificate parsed) {
  auto certificate = std::make_unique<PerConnection>();
  const Profile* profile = context_.catalog.profile(key);
  certificate->profile = key;
  Target& target = certificate->target;
  target.certificate = std::move(parsed.certificate);
  // There may be a hundred thousand of them: fields without readers are dropped.
  target.certificate.issuer = {};
  if (!context_.settings.policy.must_be_sendable) {
    target.certificate.issuer_name = {};
  }
  if (target.certificate.names.size() > 1) {
    target.certificate.names = {target.certificate.names.front()};
  }
  target.entry = entry;
  target.per_connection = true;
  target.issuer = std::move(parsed.issuer);
  if (target.issuer != nullptr) {
    target.health_suffix = kHealthSuffix + to_hex(ByteView(target.issuer->key_sha256().data(), 8));
  }
  set_responders(profile, &target, &certificate->urls);
  target.certificate.ocsp_urls = {};
  const bool issuer_may_come =
      target.issuer != nullptr || (context_.settings.issuer_fetch && names_issuer_url(target.certificate));
  store::record_unsupported(context_.zone, entry, target.responders.empty() || !issuer_may_come);
  if (target.issuer == nullptr && !target.responders.empty()) {
    begin_lookup(*certificate, std::move(parsed.leaf));
  }
  target.certificate.ca_issuers_urls = {};
  roster_.add(std::move(certificate));
  if (!target.stapleable()) {
    return;
  }
  for (const std::string& host : hosts_of(target)) {
    ++hosts_[host];
  }
  if (target.issuer == nullptr) {
    // Held and kept responses can only be verified once the issuer is there.
  } else if (gate_.held(target).has_value()) {
    disk_cache_.changed(target);
  } else {
    (void)gate_.admit_kept(target, context_.clock.now(), &report_);
  }
  refresher_.begin(entry);
}

bool Discovery::may_look_up(const crypto::Certificate& certificate) const {
  return context_.settings.issuer_fetch && names_issuer_url(certificate) && has_lookup_room();
}

bool Discovery::has_lookup_room() const {
  return lookups_.size() < kMaxLookups && lookup_bytes_ < kMaxLookupBytes;
}

// Prepares the fetch of an issuer that is missing from the chain: the certificate names its URLs.
void Discovery::begin_lookup(PerConnection& certificate, crypto::X509Ptr leaf) {
  if (!has_lookup_room()) {
    const auto failing = std::find_if(lookups_.begin(), lookups_.end(), [this](store::EntryIndex other) {
      return store::read_attempt(context_.zone, other).failures >= kLookupPatience;
    });
    if (failing != lookups_.end()) {
      drop_record(store::EntryIndex(*failing), false);  // a later offer or round brings it back
    }
  }
  Target& target = certificate.target;
  if (!may_look_up(target.certificate)) {
    return;
  }
  auto lookup = std::make_unique<IssuerLookup>();
  for (const std::string& text : target.certificate.ca_issuers_urls) {
    auto url = net::Url::parse(text);
    if (url && lookup->urls.size() < kMaxIssuerUrls) {
      certificate.urls.push_back(std::make_unique<net::Url>(std::move(*url)));
      lookup->urls.push_back(certificate.urls.back().get());
    }
  }
  const auto reference = crypto::issuer_reference(leaf.get());
  if (!reference || lookup->urls.empty()) {
    return;
  }
  lookup->reference = *reference;
  lookup->leaf = std::move(leaf);
  target.issuer_lookup = std::move(lookup);
  target.health_suffix = kHealthSuffix + to_hex(ByteView(reference->data(), 8));
  lookups_.insert(target.entry);
  lookup_bytes_ += crypto::der_size(target.issuer_lookup->leaf.get());
}

// Adds certificates whose issuer was fetched anew, as if the chain had been complete.
void Discovery::take_issuers() {
  for (const store::EntryIndex entry : std::vector<store::EntryIndex>(lookups_.begin(), lookups_.end())) {
    const Record* record = known(entry);  // adding others may have evicted it
    if (record == nullptr || record->target.issuer == nullptr || refresher_.refreshing(entry)) {
      continue;
    }
    ParsedCertificate parsed = {crypto::up_ref(record->target.issuer_lookup->leaf.get()), {}, record->target.issuer};
    auto certificate = crypto::describe(parsed.leaf.get());
    if (!certificate) {
      continue;
    }
    parsed.certificate = std::move(*certificate);
    const Reason reason = add(parsed, record->per_connection->profile);
    if (reason == Reason::kZoneBusy || reason == Reason::kLeaseLost) {
      return;  // at the next tick
    }
  }
}

void Discovery::drop_record(store::EntryIndex entry, bool with_file) {
  refresher_.end(entry);
  const std::unique_ptr<PerConnection> gone = roster_.remove(entry);
  const Target& target = gone->target;
  if (target.stapleable()) {
    for (const std::string& name : hosts_of(target)) {
      const auto host = hosts_.find(name);
      if (host != hosts_.end() && --host->second == 0) {
        refresher_.forget_host(host->first);
        hosts_.erase(host);
      }
    }
  }
  disk_cache_.forget(target, with_file);
  if (target.issuer_lookup != nullptr) {
    lookups_.erase(entry);
    lookup_bytes_ -= std::min(lookup_bytes_, crypto::der_size(target.issuer_lookup->leaf.get()));
  }
}

// Removes an entry and its record. false: the zone is busy or the lease is lost, and nothing was done.
bool Discovery::remove_entry(store::EntryIndex entry, RemovalReason why) {
  const Record* const record = known(entry);
  const CertificateId id = record != nullptr ? record->target.certificate.id : context_.zone.id(entry);
  const auto removed = why == RemovalReason::kConfigured ? writer_.adopt_per_connection(entry, id)
                                                         : writer_.remove_per_connection(entry, id);
  // kInvalidArgument: the entry is no longer its own, so there is nothing to remove.
  if (!removed && removed.error().reason != Reason::kInvalidArgument) {
    return false;
  }
  if (why == RemovalReason::kEvicted) {
    store::count(context_.zone, store::Counter::kEvicted);
  } else if (why == RemovalReason::kEnded) {
    store::count(context_.zone, store::Counter::kEnded);
  }
  if (record != nullptr) {
    drop_record(entry, why == RemovalReason::kEvicted || why == RemovalReason::kEnded);
  }
  return true;
}

// --- bounds ---

// Returns whether certificates loaded per connection, and `more` bytes, use more of the arena than configured ones
// can spare.
bool Discovery::over_limit(std::size_t more) const {
  const std::size_t arena = context_.zone.arena_bytes();
  const std::size_t configured = context_.catalog.targets().size() * kConfiguredShare;
  return writer_.per_connection_bytes() + more > arena - std::min(configured, arena) ||
         writer_.bytes_free() + writer_.bytes_in_grace() < arena / kSpare + more;
}

// Evicts a batch of certificates at once, because finding them takes a look at all. false: none is left, or none
// could be removed.
bool Discovery::make_room() {
  const std::vector<store::EntryIndex> batch =
      store::least_recently_used(context_.zone, roster_.per_connection() / kShareOfBatch + 1,
                                 [this](store::EntryIndex entry) { return known(entry) != nullptr; });
  std::size_t gone = 0;
  for (; gone < batch.size() && remove_entry(batch[gone], RemovalReason::kEvicted); ++gone) {
  }
  if (gone > 0) {
    report_.loaded_evicted(gone);
  }
  return gone > 0;
}

}  // namespace ocsp_plus::engine
