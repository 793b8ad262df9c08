// A node of a fleet: a zone, a roster and a refresher of its own, on a loop that all nodes may share. What connects
// it to the shared store is the user's.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/refresher.h"
#include "net/shared_store.h"
#include "store/zone_registry.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::testing {

struct SharingNode {
  // `number` seeds what the node draws.
  SharingNode(EventLoop& on, const Clock& by, std::size_t number) : loop(on), clock(by), random(number) {
    settings.resolver.servers = {"127.0.0.1:1"};
  }

  // Adds certificate `number`, whose responder is at `url`.
  std::size_t add(std::size_t number, const std::string& url) {
    engine::ServerCertificate certificate;
    certificate.leaf = test_leaf(number).get();
    certificate.issuers = {test_ca().get()};
    certificate.responders = {url};
    (void)catalog.add(certificate).value();
    return catalog.targets().size() - 1;
  }

  // Registers the certificates and begins. `connect` makes the connection to the shared store.
  using Connect = std::function<std::unique_ptr<net::SharedStore>(net::SharedStore::OnState on_state)>;
  void begin(const Connect& connect) {
    std::vector<store::Registration> registrations;
    for (const auto& target : catalog.targets()) {
      registrations.push_back({target->certificate.id, target->issuer->key_sha256()});
    }
    std::vector<store::EntryIndex> entries;
    (void)store::register_all(zone, lock, registrations, &entries).value();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      catalog.targets()[i]->entry = entries[i];
    }
    roster = std::make_unique<engine::Roster>(catalog);
    connection = connect([this](auto state) { refresher->sharing()->state_changed(state); });
    refresher = std::make_unique<engine::Refresher>(
        engine::Context{loop, clock, random, log, lock, zone, catalog, settings}, report, transport, tls, work_queue,
        gate, *roster, nullptr, nullptr, true);
    refresher->share_through(*connection);
  }

  std::optional<store::BlobHeader> held(std::size_t index) const {
    const engine::Target& target = *catalog.targets()[index];
    return zone.peek(target.entry, target.certificate.id);
  }
  bool stapled(std::size_t index = 0) const {
    const auto header = held(index);
    return header.has_value() && header->expires > clock.now();
  }
  std::size_t stapled_count() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < catalog.targets().size(); ++i) {
      count += stapled(i) ? 1 : 0;
    }
    return count;
  }
  const engine::SharingTally& tally() const { return refresher->sharing()->tally(); }

  EventLoop& loop;
  const Clock& clock;
  SeededRandom random;
  MmapZone memory{1 << 20};
  store::StapleZone zone = memory.format();
  LocalLock lock;
  RecordingLog log;
  engine::Settings settings;
  engine::Catalog catalog;
  engine::Report report{log, clock};
  std::unique_ptr<net::Resolver> resolver = net::Resolver::create(loop, clock, settings.resolver).value();
  engine::TlsClients tls;
  engine::WorkQueue work_queue{loop};
  net::Transport transport{loop, clock, *resolver, settings.proxy};
  store::ZoneWriter writer{zone, lock, clock, 0, 0};
  engine::Gate gate{zone, writer, settings.policy};
  std::unique_ptr<engine::Roster> roster;
  std::unique_ptr<net::SharedStore> connection;
  std::unique_ptr<engine::Refresher> refresher;
};

}  // namespace ocsp_plus::testing
