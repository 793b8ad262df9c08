#include "engine/sharing.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

#include "tests/fakes/memory_store.h"
#include "tests/fakes/sharing_node.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;

using Node = SharingNode;

struct Fleet {
  Fleet(std::size_t size, std::size_t certificates, Seconds validity = 3 * kDay)
      : server(loop, loop.clock, [this, validity](const std::string& head) {
          const std::size_t number = std::stoul(OcspServer::path_of(head));
          const UnixSeconds now = loop.clock.now();
          return ocsp_reply(good_response(test_leaf(number), test_ca(), now, now + validity));
        }) {
    for (std::size_t i = 0; i < size; ++i) {
      nodes.push_back(std::make_unique<Node>(loop, loop.clock, i + 1));
      for (std::size_t number = 0; number < certificates; ++number) {
        nodes.back()->add(number, server.url(std::to_string(number)));
      }
    }
  }

  void begin() {
    for (const auto& node : nodes) {
      begin(*node);
    }
  }
  void begin(Node& node) {
    net::SharedStoreOptions options;
    options.timeout = share_timeout;
    options.most_response = most_response;
    node.begin([&](auto on_state) {
      return std::make_unique<MemoryStoreNode>(loop, loop.clock, store, &node, options, std::move(on_state));
    });
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
      count += node->stapled_count();
    }
    return count;
  }
  const CertificateId& id(std::size_t index = 0) const {
    return nodes.front()->catalog.targets()[index]->certificate.id;
  }

  Millis share_timeout = 1000;
  std::size_t most_response = 65536;
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
  // A publication replaces at once what its node held, and the store held: else every refresh counts. Some do: a node
  // may look while another publishes.
  CHECK(same * 2 < fleet.server.asked.size() - 10);
}

TEST_CASE("sharing: a node that comes later asks nobody", "[sharing]") {
  Fleet fleet(2, 3);
  fleet.begin(*fleet.nodes[0]);
  std::swap(fleet.nodes[1], fleet.nodes.back());
  auto late = std::move(fleet.nodes.back());
  fleet.nodes.pop_back();
  fleet.pass(5);
  REQUIRE(fleet.server.asked.size() == 3);
  fleet.begin(*late);
  fleet.nodes.push_back(std::move(late));
  fleet.pass(2);
  CHECK(fleet.stapled() == 6);
  CHECK(fleet.server.asked.size() == 3);
  CHECK(fleet.nodes[1]->held(0)->source == store::Source::kShared);
  CHECK(fleet.nodes[1]->log.count("response from the shared store published") == 3);
}

TEST_CASE("sharing: a revocation that one node cannot send reaches the others", "[sharing]") {
  Fleet fleet(2, 1);
  auto late = std::move(fleet.nodes.back());
  fleet.nodes.pop_back();
  fleet.nodes[0]->settings.policy.must_be_sendable = true;
  fleet.server.answer = [&fleet](const std::string&) {
    const UnixSeconds now = fleet.loop.clock.now();
    ResponseSpec spec;
    spec.produced_at = generalized_time(now);
    spec.singles.resize(2);
    spec.singles[0].hash = "SHA256";
    spec.singles[0].serial = Bytes{0x2b};  // another certificate's
    spec.singles[1].status = Status::kRevoked;
    for (SingleSpec& single : spec.singles) {
      single.this_update = generalized_time(now);
      single.next_update = generalized_time(now + kDay);
    }
    return ocsp_reply(make_response(spec, test_leaf(0), test_ca(), test_ca()));
  };
  fleet.begin();
  fleet.pass(3);
  REQUIRE(fleet.nodes[0]->held(0).has_value());
  CHECK(fleet.nodes[0]->held(0)->unsendable == 1);
  CHECK(fleet.nodes[0]->tally().published == 1);
  fleet.begin(*late);
  fleet.nodes.push_back(std::move(late));
  fleet.pass(2);
  REQUIRE(fleet.nodes[1]->held(0).has_value());
  CHECK(fleet.nodes[1]->held(0)->source == store::Source::kShared);
  CHECK(fleet.nodes[1]->held(0)->unsendable == 0);
  CHECK(fleet.server.asked.size() == 1);
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

// The places of a store may be tried one after another.
TEST_CASE("sharing: a start waits a second for a store's verdict", "[sharing]") {
  Fleet fleet(1, 2);
  fleet.store.fault = [](const void*) { return StoreFault::kHang; };
  fleet.share_timeout = 10000;
  fleet.begin();
  fleet.pass_ms(500, 500);
  CHECK(fleet.server.asked.empty());
  fleet.pass_ms(1000, 500);
  CHECK(fleet.server.asked.size() == 2);
  CHECK(fleet.stapled() == 2);
}

// Slow within its timeout: alone the node would have all responses at once.
TEST_CASE("sharing: a slow store does not hold up a node with nothing to staple", "[sharing]") {
  Fleet fleet(1, 400);
  fleet.store.latency = 900;
  fleet.begin();
  fleet.pass_ms(14000, 100);
  CHECK(fleet.stapled() == 400);
  CHECK(fleet.server.asked.size() == 400);
}

// The responder may hang for one node only: whatever is between them.
TEST_CASE("sharing: a node whose responder hangs takes one lease, and what the others get", "[sharing]") {
  Fleet fleet(2, 6);
  OcspServer silent(fleet.loop, fleet.loop.clock, [](const std::string&) { return std::string(); });
  auto hangs = std::make_unique<Node>(fleet.loop, fleet.loop.clock, 99);
  for (std::size_t number = 0; number < 6; ++number) {
    hangs->add(number, silent.url(std::to_string(number)));
  }
  fleet.nodes[0] = std::move(hangs);
  fleet.server.delay = 1000;
  fleet.begin();
  fleet.pass(9);
  CHECK(fleet.nodes[1]->stapled_count() == 6);
  CHECK(fleet.nodes[0]->stapled_count() >= 5);
  CHECK(silent.asked.size() == 1);
}

// A lease is longer than what is left of a short validity, and news comes only every ten seconds.
TEST_CASE("sharing: a node looks once more before it loses its patience", "[sharing]") {
  Fleet fleet(1, 1, 20);
  fleet.begin();
  fleet.pass(1);
  REQUIRE(fleet.server.asked.size() == 1);
  fleet.store.slots()[fleet.id()].leases[0] = {"another node's", fleet.loop.clock.monotonic() + 60000};
  Node& node = *fleet.nodes.front();
  for (int tick = 0; tick < 40 && node.tally().elsewhere == 0; ++tick) {
    fleet.pass_ms(500, 500);
  }
  REQUIRE(node.tally().elsewhere == 1);
  CHECK(node.log.count("another node asks the responder: certificate=\"leaf0.example\"") == 1);
  CHECK(node.log.count("reason=asked_elsewhere wait=") == 1);
  const UnixSeconds now = fleet.loop.clock.now();
  MemoryStore::Slot& slot = fleet.store.slots()[fleet.id()];  // and no news of it yet
  slot.response = good_response(test_leaf(0), test_ca(), now, now + 600);
  slot.ends = fleet.loop.clock.monotonic() + 600000;
  fleet.pass(6);
  CHECK(fleet.server.asked.size() == 1);
  CHECK(node.held(0)->expires == now + 600);
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

// --- ocsp_plus_refresh ---

void bound_to(Fleet& fleet, Seconds refresh) {
  for (const auto& node : fleet.nodes) {
    for (std::size_t i = 0; i < node->catalog.targets().size(); ++i) {
      node->catalog.targets()[i]->refresh = refresh;
    }
  }
}

TEST_CASE("sharing: under a bound a fleet asks once for all where the responses are new", "[sharing]") {
  Fleet fleet(6, 4);
  bound_to(fleet, 300);
  fleet.begin();
  fleet.pass(400);
  fleet.server.asked.clear();
  fleet.pass(1800);
  // Each looks after seven eighths of the bound.
  CHECK(fleet.server.asked.size() >= 4 * 6);
  CHECK(fleet.server.asked.size() <= 4 * 8);
  for (const auto& node : fleet.nodes) {
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(fleet.loop.clock.now() - node->held(i)->this_update <= 300);
    }
  }
}

TEST_CASE("sharing: neither leases nor notes hold a node past its own bound", "[sharing]") {
  Fleet fleet(1, 1);
  bound_to(fleet, 300);
  fleet.begin();
  fleet.pass(2);
  REQUIRE(fleet.server.asked.size() == 1);
  const int what = GENERATE(0, 1, 2);
  if (what == 0) {
    for (unsigned number = 0; number < 1024; ++number) {
      fleet.store.slots()[fleet.id()].leases[number] = {"attacker", INT64_MAX};
    }
  } else if (what == 1) {
    fleet.store.slots()[fleet.id()].note_ends = INT64_MAX;
  } else {
    fleet.store.throttles = true;
  }
  INFO("leases for ever, a note for ever, or a fleet that has begun enough requests: " << what);
  for (int second = 0; second < 3600; ++second) {
    fleet.pass(1);
    fleet.store.slots()[fleet.id()].note_ends = what == 1 ? INT64_MAX : 0;
  }
  REQUIRE(fleet.server.asked.size() >= 12);
  for (std::size_t i = 1; i < fleet.server.asked.size(); ++i) {
    CHECK(fleet.server.asked[i].at - fleet.server.asked[i - 1].at <= 302);
  }
}

TEST_CASE("sharing: another node's response counts from its thisUpdate", "[sharing]") {
  Fleet fleet(1, 1);
  bound_to(fleet, 300);
  fleet.begin();
  fleet.pass(2);
  for (int round = 0; round < 6; ++round) {
    // Newer than what is held when it is found, but by then nearly as old as the bound.
    const UnixSeconds now = fleet.loop.clock.now();
    MemoryStore::Slot& slot = fleet.store.slots()[fleet.id()];
    slot.response = good_response(test_leaf(0), test_ca(), now + 1, now + 3 * kDay);
    slot.ends = INT64_MAX;
    fleet.server.asked.clear();
    fleet.pass(300 + 5);
    CHECK_FALSE(fleet.server.asked.empty());
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
    fleet.nodes[0]->refresher->refresh(fleet.nodes[0]->catalog.targets()[0]->entry);  // the operator's
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
  fleet.nodes[2]->refresher->refresh(fleet.nodes[2]->catalog.targets()[0]->entry);
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
  fleet.store.put(fleet.id(asked), good_response(test_leaf(asked), test_ca(), now, now + 3 * kDay), 3 * kDay * 1000);
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
  const store::EntryIndex entry = node.catalog.targets()[0]->entry;
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
  fleet.most_response = 100;
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
      static_cast<MemoryStoreNode&>(*node.connection).lose();
    }
  };
  for (std::size_t i = 0; i < 10; ++i) {
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
