#include "engine/sharing.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "engine/refresher.h"
#include "store/zone_registry.h"
#include "tests/fakes/engine_fixture.h"
#include "tests/fakes/memory_store.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

class NodeRandom : public Random {
 public:
  explicit NodeRandom(std::uint64_t seed) : random_(seed) {}
  std::uint64_t next() override { return random_.next(); }

 private:
  TestRandom random_;
};

// One node: a zone and a refresher of its own; loop and responders are those of all.
struct Node {
  Node(SteppedLoop& on, MemoryStore& store, std::uint64_t seed) : loop(on), shared(store), random(seed) {
    settings.resolver.servers = {"127.0.0.1:1"};
  }

  Catalog::Index add(std::size_t number, const OcspServer& responder) {
    const std::string url = responder.url(std::to_string(number));
    ServerCertificate certificate;
    certificate.leaf = test_leaf(number).get();
    certificate.issuers = {test_ca().get()};
    certificate.responders = {url};
    return catalog.add(certificate)->index;
  }

  void begin() {
    std::vector<store::Registration> registrations;
    for (const auto& target : catalog.targets()) {
      registrations.push_back({target->certificate.id, target->issuer->key_sha256()});
    }
    std::vector<store::EntryIndex> entries;
    REQUIRE(store::register_all(zone, lock, registrations, &entries));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      catalog.target(static_cast<Catalog::Index>(i)).entry = entries[i];
    }
    roster = std::make_unique<Roster>(catalog);
    net::SharedStoreOptions options;
    options.timeout = 1000;
    options.most_response = most_response;
    connection = std::make_unique<MemoryStoreNode>(
        loop, loop.clock, shared, this, options, [this](auto state) { refresher->sharing()->state_changed(state); });
    refresher =
        std::make_unique<Refresher>(Context{loop, loop.clock, random, log, lock, zone, catalog, settings}, report,
                                    transport, tls, work_queue, gate, *roster, nullptr, nullptr, true);
    refresher->share_through(*connection);
  }

  std::optional<store::BlobHeader> held(Catalog::Index index) const {
    const Target& target = catalog.target(index);
    return zone.peek(target.entry, target.certificate.id);
  }
  bool stapled(Catalog::Index index = 0) const {
    const auto header = held(index);
    return header.has_value() && header->expires > loop.clock.now();
  }
  const Sharing::Tally& tally() const { return refresher->sharing()->tally(); }

  SteppedLoop& loop;
  MemoryStore& shared;
  std::size_t most_response = 65536;
  NodeRandom random;
  MmapZone memory{1 << 20};
  store::StapleZone zone = memory.format();
  LocalLock lock;
  RecordingLog log;
  Settings settings;
  Catalog catalog;
  Report report{log, loop.clock};
  std::unique_ptr<net::Resolver> resolver = net::Resolver::create(loop, loop.clock, settings.resolver).value();
  TlsClients tls;
  WorkQueue work_queue{loop};
  net::Transport transport{loop, loop.clock, *resolver, settings.proxy};
  store::ZoneWriter writer{zone, lock, loop.clock, 0, 0};
  Gate gate{zone, writer, settings.policy};
  std::unique_ptr<Roster> roster;
  std::unique_ptr<MemoryStoreNode> connection;
  std::unique_ptr<Refresher> refresher;
};

struct Fleet {
  Fleet(std::size_t size, std::size_t certificates, Seconds validity = 3 * kDay)
      : server(loop, loop.clock, [this, validity](const std::string& head) {
          const std::size_t number = std::stoul(OcspServer::path_of(head));
          const UnixSeconds now = loop.clock.now();
          return ocsp_reply(good_response(test_leaf(number), test_ca(), now, now + validity));
        }) {
    for (std::size_t i = 0; i < size; ++i) {
      nodes.push_back(std::make_unique<Node>(loop, store, i + 1));
      for (std::size_t number = 0; number < certificates; ++number) {
        nodes.back()->add(number, server);
      }
    }
  }

  void begin() {
    for (const auto& node : nodes) {
      node->begin();
    }
  }
  void pass(Seconds span) { pass_ms(span * 1000, 500); }
  void pass_ms(Millis span, Millis step) {
    loop.pass(span, step, [this] {
      for (const auto& node : nodes) {
        node->refresher->tick();
      }
      loop.settle();
    });
  }
  std::size_t stapled() const {
    std::size_t count = 0;
    for (const auto& node : nodes) {
      for (Catalog::Index i = 0; i < node->catalog.targets().size(); ++i) {
        count += node->stapled(i) ? 1 : 0;
      }
    }
    return count;
  }
  const CertificateId& id(Catalog::Index index = 0) const {
    return nodes.front()->catalog.target(index).certificate.id;
  }

  SteppedLoop loop;
  MemoryStore store{loop.clock};
  OcspServer server;
  std::vector<std::unique_ptr<Node>> nodes;
};

TEST_CASE("sharing: one request for a certificate, whoever needs it", "[sharing]") {
  Fleet fleet(6, 10, 600);
  fleet.begin();
  fleet.pass(15);
  CHECK(fleet.stapled() == 60);
  CHECK(fleet.server.asked.size() == 10);

  // The fleet refreshes at 40 to 50 % of the validity.
  for (int second = 0; second < 900; ++second) {
    fleet.pass(1);
    REQUIRE(fleet.stapled() == 60);
  }
  CHECK(fleet.server.asked.size() >= 10 + 30);
  CHECK(fleet.server.asked.size() <= 10 + 40);
  std::uint64_t same = 0;
  for (const auto& node : fleet.nodes) {
    CHECK(node->tally().refused == 0);
    CHECK(node->tally().errors == 0);
    same += node->tally().same;
  }
  CHECK(same <= 5);  // a publication replaces at once what its node held, and the store held
}

TEST_CASE("sharing: a node that comes later asks nobody", "[sharing]") {
  Fleet fleet(2, 3);
  fleet.nodes[0]->begin();
  std::swap(fleet.nodes[1], fleet.nodes.back());
  auto late = std::move(fleet.nodes.back());
  fleet.nodes.pop_back();
  fleet.pass(5);
  REQUIRE(fleet.server.asked.size() == 3);
  late->begin();
  fleet.nodes.push_back(std::move(late));
  fleet.pass(2);
  CHECK(fleet.stapled() == 6);
  CHECK(fleet.server.asked.size() == 3);
  CHECK(fleet.nodes[1]->held(0)->source == store::Source::kShared);
  CHECK(fleet.nodes[1]->log.count("response from the shared store published") == 3);
}

TEST_CASE("sharing: a store that is down or hangs delays nobody by more than its timeout", "[sharing]") {
  const StoreFault fault = GENERATE(StoreFault::kDown, StoreFault::kHang);
  Fleet fleet(3, 2);
  fleet.store.fault = [fault](const void*) { return fault; };
  fleet.begin();
  fleet.pass(2);
  CHECK(fleet.stapled() == 6);
  CHECK(fleet.server.asked.size() == 6);
  CHECK(fleet.nodes[0]->log.count("the shared store cannot be used") == 1);

  // It comes back, and is given what the nodes have fetched meanwhile.
  fleet.store.fault = nullptr;
  fleet.pass(20);
  CHECK(fleet.store.slots().size() == 2);
  CHECK(fleet.server.asked.size() == 6);
  CHECK(fleet.nodes[0]->log.count("shared store connected") == 1);
}

TEST_CASE("sharing: a store that fails with looks under way", "[sharing]") {
  const StoreFault fault = GENERATE(StoreFault::kDown, StoreFault::kHang);
  Fleet fleet(2, 5, 60);
  fleet.begin();
  fleet.pass(20);
  REQUIRE(fleet.stapled() == 10);
  fleet.store.fault = [fault](const void*) { return fault; };
  for (int second = 0; second < 120; ++second) {
    fleet.pass(1);
    REQUIRE(fleet.stapled() == 10);
  }
}

TEST_CASE("sharing: who gets no lease from a store asks on its own, in time", "[sharing]") {
  SECTION("all leases are taken for ever") {
    Fleet fleet(1, 1);
    for (unsigned number = 0; number < 1024; ++number) {
      fleet.store.slots()[fleet.id()].leases[number] = {"attacker", INT64_MAX};
    }
    fleet.begin();
    fleet.pass(9);
    CHECK(fleet.server.asked.empty());
    fleet.pass(3);
    CHECK(fleet.stapled() == 1);
  }
  SECTION("a note for ever") {
    Fleet fleet(1, 1);
    fleet.store.slots()[fleet.id()].note_ends = INT64_MAX;
    fleet.begin();
    fleet.pass(9);
    CHECK(fleet.server.asked.empty());
    fleet.pass(23);
    CHECK(fleet.stapled() == 1);
  }
  SECTION("while the held response is valid, after a quarter of what is left") {
    Fleet fleet(1, 1, 1000);
    fleet.begin();
    fleet.pass(2);
    REQUIRE(fleet.server.asked.size() == 1);
    for (unsigned number = 0; number < 1024; ++number) {
      fleet.store.slots()[fleet.id()].leases[number] = {"attacker", INT64_MAX};
    }
    fleet.pass(1000 * 40 / 100 + 500 / 4);
    CHECK(fleet.server.asked.size() == 1);
    fleet.pass(1000 * 10 / 100 + 600 / 8 + 2);
    CHECK(fleet.server.asked.size() == 2);
  }
  SECTION("the store takes no writes") {
    Fleet fleet(2, 2);
    fleet.store.fault = [](const void*) { return StoreFault::kReadOnly; };
    fleet.begin();
    fleet.pass(2);
    CHECK(fleet.stapled() == 4);
    CHECK(fleet.nodes[0]->log.count("the shared store refuses writes") == 1);
  }
}

TEST_CASE("sharing: a node that hangs with a lease delays the others by seconds", "[sharing]") {
  Fleet fleet(8, 1);
  int asked = 0;
  // The first request hangs: whoever makes it has the lease.
  fleet.server.answer = [&, good = fleet.server.answer](const std::string& head) {
    return asked++ == 0 ? std::string() : good(head);
  };
  fleet.begin();
  fleet.pass(9);
  CHECK(fleet.stapled() >= 7);
  CHECK(fleet.server.asked.size() <= 3);
}

TEST_CASE("sharing: what the gate refuses is not stapled, and is overwritten", "[sharing]") {
  const Bytes poison = GENERATE_COPY(Bytes{0x30, 0x03, 0x0a, 0x01, 0x06}, Bytes{0x00},
                                     good_response(test_leaf(5), test_ca(), kNow, kNow + kDay),
                                     good_response(test_leaf(0), make_ca("Another CA"), kNow, kNow + kDay),
                                     good_response(test_leaf(0), test_ca(), kNow - 2 * kDay, kNow - kDay));
  Fleet fleet(3, 1);
  fleet.store.put(fleet.id(), poison, kDay * 1000);
  fleet.begin();
  fleet.pass(14);
  CHECK(fleet.stapled() == 3);
  CHECK(fleet.server.asked.size() == 1);
  CHECK(fleet.store.slots()[fleet.id()].response != poison);
  CHECK(fleet.nodes[0]->log.count("response from the shared store ignored") == 1);
}

TEST_CASE("sharing: an attacker who writes again and again costs requests, and no staple", "[sharing]") {
  Fleet fleet(3, 1);
  std::uint8_t change = 0;
  fleet.store.put(fleet.id(), {0}, kDay * 1000);
  fleet.begin();
  for (int i = 0; i < 400; ++i) {
    fleet.store.put(fleet.id(), {0x30, ++change}, kDay * 1000);
    fleet.pass_ms(50, 50);
  }
  fleet.pass(2);
  CHECK(fleet.stapled() == 3);
  CHECK(fleet.server.asked.size() <= 3);
}

TEST_CASE("sharing: an older response in the store is replaced, a newer one is taken", "[sharing]") {
  Fleet fleet(1, 1);
  fleet.begin();
  fleet.pass(2);
  REQUIRE(fleet.stapled() == 1);
  const Bytes older = good_response(test_leaf(0), test_ca(), kNow - 1000, kNow + kDay);
  const UnixSeconds held = fleet.nodes[0]->held(0)->this_update;
  const Bytes newer = good_response(test_leaf(0), test_ca(), held + 2, held + 4 * kDay);
  SECTION("older") {
    fleet.store.put(fleet.id(), older, kDay * 1000);
    fleet.pass(20);
    CHECK(fleet.nodes[0]->held(0)->this_update == held);
    fleet.nodes[0]->refresher->refresh(fleet.nodes[0]->catalog.target(0).entry);  // the operator's
    fleet.pass(2);
    CHECK(fleet.server.asked.size() == 2);
    CHECK(fleet.store.slots()[fleet.id()].response != older);
  }
  SECTION("newer") {
    fleet.store.put(fleet.id(), newer, kDay * 1000);
    fleet.pass(15);
    CHECK(fleet.nodes[0]->held(0)->this_update == held + 2);
    CHECK(fleet.server.asked.size() == 1);
  }
}

TEST_CASE("sharing: a revocation that one node knows reaches all others within 15 seconds", "[sharing]") {
  Fleet fleet(5, 1);
  fleet.begin();
  fleet.pass(15);
  REQUIRE(fleet.stapled() == 5);
  fleet.server.answer = [&](const std::string&) {
    return ocsp_reply(
        revoked_response(test_leaf(0), test_ca(), fleet.loop.clock.now(), fleet.loop.clock.now() + kDay));
  };
  const std::size_t before = fleet.server.asked.size();
  fleet.nodes[2]->refresher->refresh(fleet.nodes[2]->catalog.target(0).entry);
  fleet.pass(15);
  for (const auto& node : fleet.nodes) {
    CHECK(static_cast<crypto::CertStatus>(node->held(0)->cert_status) == crypto::CertStatus::kRevoked);
  }
  CHECK(fleet.server.asked.size() == before + 1);
}

TEST_CASE("sharing: what this node alone cannot use stays in the store", "[sharing]") {
  Fleet fleet(1, 1);
  const Bytes future = good_response(test_leaf(0), test_ca(), kNow + 3600, kNow + kDay);
  fleet.store.put(fleet.id(), future, kDay * 1000);
  fleet.begin();
  fleet.pass(5);
  CHECK(fleet.stapled() == 1);
  CHECK(fleet.server.asked.size() == 1);
  CHECK(fleet.store.slots()[fleet.id()].response == future);
  CHECK(fleet.nodes[0]->tally().refused == 0);
}

TEST_CASE("sharing: a responder that refuses gets one back-off of the fleet", "[sharing]") {
  Fleet fleet(6, 1);
  fleet.server.answer = [](const std::string&) { return ocsp_reply(error_response(6)); };
  fleet.begin();
  fleet.pass(600);
  // Each node once by its own experience, and the fleet's back-off beside.
  const std::size_t shared = fleet.server.asked.size();
  Fleet alone(6, 1);
  alone.store.fault = [](const void*) { return StoreFault::kDown; };
  alone.server.answer = fleet.server.answer;
  alone.begin();
  alone.pass(600);
  CHECK(shared < alone.server.asked.size());
}

TEST_CASE("sharing: certificates wait for a host that fails, not for room", "[sharing]") {
  Fleet fleet(1, 3);
  const auto good = fleet.server.answer;
  fleet.server.answer = [](const std::string&) {
    return std::string("HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  };
  fleet.begin();
  fleet.pass(2);
  REQUIRE(fleet.server.asked.size() == 1);  // the host is unproven: one exchange at a time
  const std::size_t asked = std::stoul(fleet.server.asked.front().path);
  // The only certificate that would try the host again comes from another node.
  const UnixSeconds now = fleet.loop.clock.now();
  fleet.store.put(fleet.id(static_cast<Catalog::Index>(asked)),
                  good_response(test_leaf(asked), test_ca(), now, now + 3 * kDay), 3 * kDay * 1000);
  fleet.server.answer = good;
  fleet.pass(900);
  CHECK(fleet.stapled() == 3);
}

TEST_CASE("sharing: a response that is lost while its certificate waits for other nodes", "[sharing]") {
  Fleet fleet(1, 1, 100000);
  fleet.begin();
  fleet.pass(2);
  REQUIRE(fleet.server.asked.size() == 1);
  for (unsigned number = 0; number < 1024; ++number) {
    fleet.store.slots()[fleet.id()].leases[number] = {"attacker", INT64_MAX};
  }
  fleet.pass_ms(Millis{51000} * 1000, 30000);
  REQUIRE(fleet.server.asked.size() == 1);  // its patience is a quarter of what is left
  Node& node = *fleet.nodes[0];
  const store::EntryIndex entry = node.catalog.target(0).entry;
  REQUIRE(node.writer.drop(entry));
  node.refresher->response_lost(entry);
  fleet.pass(15);
  CHECK(fleet.stapled() == 1);  // the store still has it
}

TEST_CASE("sharing: a fleet that begins as many requests as it may asks once for each certificate", "[sharing]") {
  Fleet fleet(4, 100);
  fleet.begin();
  fleet.pass_ms(30000, 100);
  CHECK(fleet.stapled() == 400);
  CHECK(fleet.server.asked.size() == 100);
}

TEST_CASE("sharing: a server that only ever says that its answer is full", "[sharing]") {
  Fleet fleet(1, 1);
  fleet.store.always_full = true;
  fleet.begin();
  fleet.pass_ms(60000, 100);
  CHECK(fleet.stapled() == 1);
  CHECK(fleet.server.asked.size() == 1);
}

TEST_CASE("sharing: a response that the store does not take is not offered again", "[sharing]") {
  Fleet fleet(1, 10);
  fleet.nodes[0]->most_response = 100;
  fleet.begin();
  fleet.pass(60);
  CHECK(fleet.stapled() == 10);
  CHECK(fleet.nodes[0]->tally().errors == 10);
}

TEST_CASE("sharing: the store goes down while its responses wait to be verified", "[sharing]") {
  Fleet fleet(1, 10);
  Node& node = *fleet.nodes[0];
  bool down = false;
  int calls = 0;
  std::unique_ptr<WorkQueue::Ticket> ticket;
  // Comes between two verifications.
  const std::function<void()> cut = [&] {
    if (node.tally().refused == 0) {
      ticket = node.work_queue.enqueue(cut);
    } else {
      down = true;
      node.connection->lose();
    }
  };
  for (Catalog::Index i = 0; i < 10; ++i) {
    fleet.store.put(fleet.id(i), {0x30, 0x00}, kDay * 1000);
  }
  fleet.store.fault = [&](const void*) {
    // First when the look is sent, then when it is answered.
    if (ticket == nullptr && node.refresher != nullptr && node.tally().looks > 0 && ++calls > 1) {
      ticket = node.work_queue.enqueue(cut);
    }
    return down ? StoreFault::kDown : StoreFault::kNone;
  };
  fleet.begin();
  fleet.pass(30);
  REQUIRE(down);
  CHECK(fleet.stapled() == 10);
}

TEST_CASE("sharing: what a start waits for", "[sharing]") {
  Fleet fleet(1, 1);
  SECTION("the verdict on a store that hangs") {
    fleet.store.fault = [](const void*) { return StoreFault::kHang; };
    fleet.begin();
    fleet.pass_ms(900, 100);
    CHECK(fleet.nodes[0]->refresher->progressed() == fleet.loop.clock.monotonic());
    fleet.pass_ms(900, 100);
    CHECK(fleet.nodes[0]->refresher->progressed() < fleet.loop.clock.monotonic());
  }
  SECTION("another node that asks") {
    for (unsigned number = 0; number < 1024; ++number) {
      fleet.store.slots()[fleet.id()].leases[number] = {"another", INT64_MAX};
    }
    fleet.begin();
    fleet.pass(5);
    CHECK(fleet.loop.clock.monotonic() - fleet.nodes[0]->refresher->progressed() <= 2000);
  }
}

TEST_CASE("sharing: patience", "[sharing][schedule]") {
  const RetryBounds bounds{5, 3600};
  for (const std::uint64_t random : {std::uint64_t{0}, std::uint64_t{12345}, UINT64_MAX}) {
    const Patience valid = patience_for(1000, 1800, 7, Need::kNone, bounds, 10000, random);
    CHECK(valid.lease >= 200000);
    CHECK(valid.lease <= 300000);
    CHECK(valid.note == valid.lease);
    const Patience fresh = patience_for(1000, 0, 0, Need::kNone, bounds, 10000, random);
    CHECK(fresh.lease == 10000);
    CHECK(fresh.note >= 10000);
    CHECK(fresh.note <= 30000);
    CHECK(patience_for(1000, 0, 1, Need::kNone, bounds, 10000, random).note == 10000);
    CHECK(patience_for(1000, 0, 3, Need::kNone, bounds, 10000, random).note == 40000);
    CHECK(patience_for(1000, 0, 1000000, Need::kNone, bounds, 10000, random).note == 3600000);
    CHECK(patience_for(1000, 0, 1000000, Need::kStaple, bounds, 10000, random).note == 600000);
    CHECK(patience_for(1000, 0, 1000000, Need::kRequiredStaple, bounds, 10000, random).note == 120000);
    CHECK(lease_number(999, random) == 0);
    CHECK(lease_number(1000, random) <= 1);
    CHECK(lease_number(INT64_MAX, random) <= 1023);
    CHECK(lease_number(-1, random) == 0);
  }
  CHECK(note_time(1000, 1010, 0) == 10000);
  CHECK(note_time(1000, 1010, 1040) == 5000);
  CHECK(note_time(1000, 900, 1040) == 0);
  CHECK(note_time(0, INT64_MAX, 0) == Millis{7} * kDay * 1000);
}

}  // namespace
}  // namespace ocsp_plus::engine
