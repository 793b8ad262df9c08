// An engine's environment, real except for time: a CA with leaves, a catalog, a zone, and responders that sign fresh
// responses.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/lease.h"
#include "store/zone_registry.h"
#include "tests/fakes/mmap_zone.h"
#include "tests/fakes/ocsp_server.h"
#include "tests/fakes/stepped_loop.h"

namespace ocsp_plus::testing {

class SeededRandom : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed = 1) : random_(seed) {}
  std::uint64_t next() override { return random_.next(); }

 private:
  TestRandom random_;
};

inline const Identity& test_ca() {
  static const Identity ca = make_ca("Engine CA");
  return ca;
}

// Returns the leaf of a number; all leaves share a key, to save time.
inline const Identity& test_leaf(std::size_t number) {
  static std::map<std::size_t, Identity> leaves;
  auto found = leaves.find(number);
  if (found == leaves.end()) {
    CertificateSpec spec;
    spec.subject = "leaf" + std::to_string(number);
    spec.dns_names = {spec.subject + ".example"};
    spec.serial = {0x10, static_cast<std::uint8_t>(number >> 8 & 0xff), static_cast<std::uint8_t>(number & 0xff)};
    found = leaves.emplace(number, make_certificate(spec, key(KeyType::kP256, "leaf"), &test_ca())).first;
  }
  return found->second;
}

struct EngineFixture {
  explicit EngineFixture(std::size_t zone_size = 1 << 20) : memory(zone_size), zone(memory.format()) {
    settings.resolver.servers = {"127.0.0.1:1"};  // never queried: all URLs have literal addresses
  }

  OcspServer& server(OcspServer::Answer answer = nullptr) {
    servers.push_back(
        std::make_unique<OcspServer>(loop, loop.clock, answer ? std::move(answer) : good_answers(3 * kDay)));
    return *servers.back();
  }

  // Adds certificate `number` with `responders`, each URL with the number as its path.
  std::size_t add(std::size_t number, const std::vector<const OcspServer*>& responders) {
    std::vector<std::string> urls;
    urls.reserve(responders.size());
    for (const OcspServer* responder : responders) {
      urls.push_back(responder->url(std::to_string(number)));
    }
    engine::ServerCertificate server_certificate;
    server_certificate.leaf = test_leaf(number).get();
    server_certificate.issuers = {test_ca().get()};
    server_certificate.responders.assign(urls.begin(), urls.end());
    (void)catalog.add(server_certificate).value();
    return catalog.targets().size() - 1;
  }

  // Registers all certificates, as a configuration does when it takes effect; returns its generation.
  std::uint32_t register_all() {
    std::vector<store::Registration> registrations;
    for (const auto& target : catalog.targets()) {
      registrations.push_back({target->certificate.id, target->issuer != nullptr
                                                           ? store::IssuerKey(target->issuer->key_sha256())
                                                           : store::kUnknownIssuer});
    }
    std::vector<store::EntryIndex> entries;
    const std::uint32_t generation = store::register_all(zone, lock, registrations, &entries).value();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      catalog.targets()[i]->entry = entries[i];
    }
    return generation;
  }

  // Answers with a fresh good response each time, valid from now for `span`.
  OcspServer::Answer good_answers(Seconds span) {
    return [this, span](const std::string& head) {
      const std::size_t number = std::stoul(OcspServer::path_of(head));
      const UnixSeconds now = loop.clock.now();
      return ocsp_reply(good_response(test_leaf(number), test_ca(), now, now + span));
    };
  }
  static OcspServer::Answer always(std::string reply) {
    return [reply](const std::string&) { return reply; };
  }
  static OcspServer::Answer hang() { return always(""); }

  std::optional<store::BlobHeader> held(std::size_t index) const {
    const engine::Target& target = *catalog.targets()[index];
    return zone.peek(target.entry, target.certificate.id);
  }
  bool stapled(std::size_t index) const {
    const auto header = held(index);
    return header.has_value() && header->expires > loop.clock.now();
  }
  std::size_t stapled() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < catalog.targets().size(); ++i) {
      count += stapled(i) ? 1u : 0u;
    }
    return count;
  }

  SteppedLoop loop;
  MmapZone memory;
  store::StapleZone zone;
  LocalLock lock;
  RecordingLog log;
  SeededRandom random;
  engine::Settings settings;
  engine::Catalog catalog;
  std::vector<std::unique_ptr<OcspServer>> servers;
};

}  // namespace ocsp_plus::testing
