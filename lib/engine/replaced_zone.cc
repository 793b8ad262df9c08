#include "engine/replaced_zone.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "crypto/certificate.h"
#include "engine/issuer_search.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/shared_stats.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {
namespace {

// Takes any value, since any process may have written it.
store::Source source_of(const store::BlobHeader& header) {
  switch (header.source) {
    case store::Source::kNetwork:
    case store::Source::kFile:
    case store::Source::kShared:
      return header.source;
    case store::Source::kNone:
    case store::Source::kCache:
      break;
  }
  return store::Source::kCache;  // such responses are asked for again soon
}

// The one certificate in `der`; nullptr: there is none, or more.
crypto::X509Ptr parse_one(const std::optional<Bytes>& der) {
  auto all = der.has_value() ? crypto::parse_der_certificates(*der) : std::vector<crypto::X509Ptr>();
  return all.size() == 1 ? std::move(all[0]) : nullptr;
}

}  // namespace

void ReplacedZone::carry_numbers() {
  store::copy_stats(from_, to_, clock_.monotonic());
}

void ReplacedZone::admit(const Target& target, store::EntryIndex source, Gate& gate) {
  store::BlobHeader header = {};
  const auto der = from_.read(source, target.certificate.id, &header);
  if (!der.has_value()) {
    return;
  }
  const UnixSeconds now = clock_.now();
  Admission admission;
  if (der->size() <= settings_.max_response) {
    admission =
        gate.admit(target, *der, {source_of(header), store::read_confirmed_at(from_, source, header, now)}, {now});
  }
  const bool taken = admission.action == Action::kPublish && admission.stored == Reason::kOk;
  ++(taken ? taken_ : refused_);
}

void ReplacedZone::carry(const Target& target, Gate& gate) {
  if (const store::EntryIndex source = from_.find(target.certificate.id); source != store::kNoEntry) {
    admit(target, source, gate);
  }
}

void ReplacedZone::carry_loaded(Catalog& catalog, store::ZoneWriter& writer, const std::function<void()>& progress) {
  std::vector<std::pair<UnixSeconds, store::EntryIndex>> all;
  for (store::EntryIndex entry = 0; entry < from_.entries_used(); ++entry) {
    const auto state = store::per_connection_state(from_, entry);
    if (state.has_value() && state->has_issuer && catalog.by_id().count(from_.id(entry)) == 0) {
      all.emplace_back(state->used, entry);
    }
  }
  std::sort(all.rbegin(), all.rend());
  const Millis until = saturating_add(clock_.monotonic(), kLoadedTime);
  for (const auto& [used, entry] : all) {
    if (clock_.monotonic() >= until || writer.bytes_free() < to_.arena_bytes() / 2) {
      return;
    }
    carry_one_loaded(entry, catalog.issuers(), writer);
    progress();
  }
}

// The signature decides which issuer is right: any worker may have written the old zone.
void ReplacedZone::carry_one_loaded(store::EntryIndex entry, IssuerPool& issuers, store::ZoneWriter& writer) {
  const CertificateId id = from_.id(entry);
  const auto state = store::per_connection_state(from_, entry);
  const crypto::X509Ptr leaf = parse_one(store::read_leaf(from_, entry, id));
  const crypto::X509Ptr issuer = parse_one(store::read_issuer(from_, entry));
  if (!state.has_value() || leaf == nullptr || issuer == nullptr || to_.find(id) != store::kNoEntry) {
    return;
  }
  auto certificate = crypto::describe(leaf.get());
  IssuerSearch search(issuers, id, leaf.get(), {issuer.get()}, 1);
  if (!certificate || certificate->id != id || search.finish() != IssuerSearch::Step::kFound) {
    return;
  }
  const Bytes leaf_der = crypto::der_of(leaf.get());
  const IssuerPtr& found = search.found();
  const Bytes issuer_der = crypto::der_of(found->certificate());
  const auto added = writer.add_per_connection({id, leaf_der, found->key_sha256(), found->id(), issuer_der,
                                                state->profile, std::min(state->used, clock_.now())});
  if (!added) {
    return;
  }
  ++loaded_;
  store::record_attempt(to_, *added, store::read_attempt(from_, entry));
  store::record_stapled(to_, *added, store::stapled(from_, entry));
  Target target;
  target.certificate = std::move(*certificate);
  target.issuer = found;
  target.entry = *added;
  target.per_connection = true;
  // The gate has no disk cache, which would remember a target that goes; the first worker keeps the held response.
  Gate gate(to_, writer, settings_.policy);
  admit(target, entry, gate);
}

}  // namespace ocsp_plus::engine
