// The C ABI's part that handshakes use.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "capi/config.h"
#include "crypto/certificate.h"
#include "engine/admit.h"
#include "store/discovery_queue.h"

using namespace ocsp_plus;  // NOLINT: this file is nothing but the seam
using capi::guarded;
using store::StapleZone;

namespace {

CertificateId id_of(const op_certificate_t& certificate) {
  CertificateId id;
  std::memcpy(id.data(), certificate.id, id.size());
  return id;
}

op_staple_status_t staple_of(const op_config_t& config, store::EntryIndex entry, const CertificateId& id,
                             int64_t now_s, void* (*allocate)(size_t), void (*release)(void*), op_staple_t* staple) {
  StapleZone::Copy copy;
  if (config.zone->copy(entry, id, allocate, release, &copy) != StapleZone::Read::kCopied) {
    return OP_STAPLE_NONE;
  }
  const auto status = static_cast<crypto::CertStatus>(copy.header.cert_status);
  if (!engine::is_staplable(copy.header, now_s, config.settings.policy.clock_skew)) {
    release(copy.data);
    return OP_STAPLE_NONE;
  }
  staple->der = static_cast<unsigned char*>(copy.data);
  staple->len = copy.header.length;
  staple->expires_s = copy.header.expires;
  return status == crypto::CertStatus::kGood ? OP_STAPLE_GOOD : OP_STAPLE_REVOKED;
}

store::EntryIndex entry_of(const op_config_t& config, const op_certificate_t& certificate) {
  return certificate.loaded != 0 ? certificate.index : config.catalog.target(certificate.index).entry;
}

// A handshake of the server has used it. Of several servers that load the same certificate the first counts, unless
// the operator vouches for it in another.
void note_use(const op_config_t& config, store::EntryIndex entry, std::uint64_t key,
              const StapleZone::LoadedState& state, int64_t now_s) {
  config.zone->note_use(entry, now_s);
  if (state.profile == key) {
    return;
  }
  const engine::Profile* theirs = config.catalog.profile(state.profile);
  const engine::Profile* ours = config.catalog.profile(key);
  if (ours != nullptr && (theirs == nullptr || (ours->vouches() && !theirs->vouches()))) {
    config.zone->set_profile(entry, key);
  }
}

// Others of the chain are of no use to whoever looks for the issuer.
std::vector<x509_st*> issuers_among(x509_st* leaf, x509_st* const* chain, std::size_t nchain) {
  constexpr std::size_t kMost = 8;  // of one name
  std::vector<x509_st*> issuers;
  for (std::size_t i = 0; i < nchain && issuers.size() < kMost; ++i) {
    if (crypto::has_issuer_name(leaf, chain[i])) {
      issuers.push_back(chain[i]);
    }
  }
  return issuers;
}

// false: the queue is full.
bool hand_over(const StapleZone& zone, std::uint64_t profile, const CertificateId& id, x509_st* leaf,
               const std::vector<x509_st*>& issuers) {
  if (store::is_offered(zone, profile, id)) {
    return true;
  }
  const std::size_t most = store::max_offer_bytes(zone);
  const std::size_t leaf_size = crypto::der_size(leaf);
  std::size_t least = leaf_size, all = leaf_size;
  for (x509_st* issuer : issuers) {
    const std::size_t size = crypto::der_size(issuer);
    least = issuer == issuers.front() ? leaf_size + size : std::min(least, leaf_size + size);
    all += size;
  }
  // Nothing is copied before there is room for it.
  if (!store::offers_have_room(zone, least > most ? least : std::min(all, most))) {
    zone.stats().loaded.dropped.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  if (least > most) {
    return store::offer_too_large(zone, getpid(), profile, id, least, crypto::label_of(leaf));
  }
  std::vector<Bytes> der;
  der.reserve(issuers.size());
  for (x509_st* issuer : issuers) {
    der.push_back(crypto::der_of(issuer));
  }
  return store::offer(zone, getpid(), profile, id, crypto::der_of(leaf), {der.begin(), der.end()});
}

}  // namespace

void op_configured(const op_config_t* config, uint32_t index, op_certificate_t* certificate) {
  certificate->loaded = 0;
  certificate->index = index;
  const CertificateId& id = config->catalog.target(index).certificate.id;
  std::memcpy(certificate->id, id.data(), id.size());
}

int op_loaded(struct x509_st* leaf, op_certificate_t* certificate) {
  return guarded(nullptr, 0, [&] {
    const auto id = crypto::certificate_id(leaf);
    if (!id) {
      return 0;
    }
    certificate->loaded = 1;
    certificate->index = store::kNoEntry;
    std::memcpy(certificate->id, id->data(), id->size());
    return 1;
  });
}

op_staple_status_t op_staple(const op_config_t* config, const op_certificate_t* certificate, int64_t now_s,
                             void* (*allocate)(size_t), void (*release)(void*), op_staple_t* staple) {
  return staple_of(*config, entry_of(*config, *certificate), id_of(*certificate), now_s, allocate, release, staple);
}

op_staple_status_t op_staple_loaded(const op_config_t* config, uint64_t profile, op_certificate_t* certificate,
                                    int64_t now_s, void* (*allocate)(size_t), void (*release)(void*),
                                    op_staple_t* staple, int* unknown) {
  *unknown = 0;
  if (!config->zone.has_value()) {
    return OP_STAPLE_NONE;
  }
  const CertificateId id = id_of(*certificate);
  certificate->index = config->zone->find(id);
  const auto state = config->zone->loaded(certificate->index);
  if (state.has_value()) {
    note_use(*config, certificate->index, profile, *state, now_s);
    *unknown = state->has_issuer ? 0 : 1;  // this server may load more of its chain
  } else {
    *unknown = config->catalog.by_id().count(id) == 0 ? 1 : 0;
  }
  return staple_of(*config, certificate->index, id, now_s, allocate, release, staple);
}

void op_offer(op_config_t* config, uint64_t profile, const op_certificate_t* certificate, struct x509_st* leaf,
              struct x509_st* const* chain, size_t nchain, int64_t monotonic_ms) {
  guarded(nullptr, 0, [&] {
    if (!config->zone.has_value()) {
      return 0;
    }
    if (config->recent_offers == nullptr) {
      config->recent_offers = std::make_unique<engine::RecentOffers>();
    }
    const CertificateId id = id_of(*certificate);
    if (!config->recent_offers->is_due(id, monotonic_ms)) {
      return 0;
    }
    if (hand_over(*config->zone, profile, id, leaf, issuers_among(leaf, chain, nchain))) {
      config->recent_offers->note(id, monotonic_ms);
    }
    return 0;
  });
}

int op_must_staple(struct x509_st* leaf) {
  return crypto::demands_staple(leaf) ? 1 : 0;
}

size_t op_printable(op_str_t text, char* to, size_t size) {
  return print_into({text.data, text.len}, to, size);
}

void op_label(struct x509_st* leaf, op_error_t* text) {
  guarded(nullptr, 0, [&] {
    capi::say(text, quoted(crypto::label_of(leaf)));
    return 0;
  });
}

void op_count_handshake(const op_config_t* config, uint32_t worker, const op_certificate_t* certificate,
                        op_handshake_t what) {
  if (!config->zone.has_value()) {
    return;
  }
  store::HandshakeCounters& counters = config->zone->handshakes(worker);
  if (what == OP_HANDSHAKE_STAPLED) {
    counters.stapled.fetch_add(1, std::memory_order_relaxed);
    StapleZone(*config->zone).count_stapled(entry_of(*config, *certificate));
  } else if (what == OP_HANDSHAKE_MISSING) {
    counters.missing.fetch_add(1, std::memory_order_relaxed);
  } else if (what == OP_HANDSHAKE_REFUSED) {
    counters.refused.fetch_add(1, std::memory_order_relaxed);
  } else {
    counters.foreign.fetch_add(1, std::memory_order_relaxed);
  }
}

void op_count_replaced(const op_config_t* config, uint32_t worker) {
  if (config->zone.has_value()) {
    config->zone->handshakes(worker).replaced.fetch_add(1, std::memory_order_relaxed);
  }
}

void op_certificate_id(const op_certificate_t* certificate, char id[64]) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const std::uint8_t byte : certificate->id) {
    *id++ = kDigits[byte >> 4];
    *id++ = kDigits[byte & 15];
  }
}
