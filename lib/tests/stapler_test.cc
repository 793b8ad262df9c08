#include "engine/stapler.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>
#include <stdexcept>

#include "crypto/certificate_message.h"
#include "crypto/verify.h"
#include "store/counters.h"
#include "store/discovery_queue.h"
#include "store/entry_state.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/mmap_zone.h"
#include "tests/pki.h"

namespace ocsp_plus::engine {
namespace {

using namespace testing;
using store::StapleZone;

enum class Kind { kConfigured, kUnusable, kKnown, kWithoutIssuer, kUnknown };
enum class Held { kNothing, kGood, kRevoked, kEnded };
enum class Before { kNothing, kWithout, kStapled };  // what an earlier hello of the connection came to

constexpr UnixSeconds kEnd = kNow + kDay;
const Bytes kResponse(700, 0x5a);

const Identity& ca() {
  static const Identity one = make_ca("Stapler CA");
  return one;
}

const Identity& leaf_of(Kind kind, Held held, bool must_staple) {
  static std::map<std::tuple<Kind, Held, bool>, Identity> leaves;
  auto found = leaves.find({kind, held, must_staple});
  if (found == leaves.end()) {
    CertificateSpec spec;
    spec.subject = "leaf";
    spec.serial = {0x10, static_cast<std::uint8_t>(leaves.size())};
    spec.must_staple = must_staple;
    spec.ocsp_urls = {"http://ocsp.example/"};
    spec.raw_not_after = kind == Kind::kUnusable ? "290229000000Z" : "";
    found =
        leaves
            .emplace(std::tuple(kind, held, must_staple), make_certificate(spec, key(KeyType::kP256, "leaf"), &ca()))
            .first;
  }
  return found->second;
}

std::int64_t allocated = 0;
void* allocate(std::size_t size) {
  ++allocated;
  return std::malloc(size);
}
void release(void* p) {
  --allocated;
  std::free(p);
}

// What OpenSSL and the shim are to the stapler.
class Wire : public Connection {
 public:
  ~Wire() override {
    std::for_each(taken.begin(), taken.end(), [](const Staple& staple) { std::free(staple.der); });
  }
  std::size_t chain(x509_st** to, std::size_t most) override {
    ++asked_for_chain;
    REQUIRE(most > 0);
    std::copy(sent.begin(), sent.end(), to);
    return sent.size();
  }
  std::size_t staple(const Staple* staples, std::size_t count) override {
    REQUIRE(taken.empty());
    const std::size_t sends = count > 1 && leaf_alone ? 1 : count;
    if (refuses) {
      return 0;
    }
    taken.assign(staples, staples + sends);
    std::for_each(staples + sends, staples + count, [](const Staple& staple) { release(staple.der); });
    return sends;
  }
  Bytes bytes() const { return taken.empty() ? Bytes() : Bytes(taken[0].der, taken[0].der + taken[0].size); }

  bool refuses = false;
  bool leaf_alone = false;  // OpenSSL takes no more
  int asked_for_chain = 0;
  std::vector<x509_st*> sent = {ca().get()};
  std::vector<Staple> taken;
};

struct Fixture {
  Fixture() : memory(1 << 20), zone(memory.format()), writer(zone, lock, clock, 0, 0), queue(zone, clock) {
    allocated = 0;
    REQUIRE(store::register_all(zone, lock, registrations, &entries));
    server.profile = profile({"one.example"}, {});
  }

  std::uint64_t profile(std::vector<std::string_view> names, std::vector<x509_st*> trusted) {
    ServerCertificate from;
    from.servers = std::move(names);
    from.issuers = std::move(trusted);
    return catalog.add_profile(from).value()->key;
  }

  // A certificate of that kind, and what is held for it.
  x509_st* prepare(Kind kind, Held held, bool must_staple) {
    const Identity& leaf = leaf_of(kind, held, must_staple);
    const CertificateId id = crypto::certificate_id(leaf.get()).value();
    store::EntryIndex entry = store::kNoEntry;
    if (kind == Kind::kConfigured || kind == Kind::kUnusable) {
      ServerCertificate from;
      from.leaf = leaf.get();
      from.issuers = {ca().get()};
      Target* const target = catalog.add(from).value().target;
      REQUIRE((target == nullptr) == (kind == Kind::kUnusable));
      server.add(leaf.get(), target, {ca().get()});
      if (target != nullptr) {
        registrations.push_back({id, ca().issuer()->key_sha256()});
        REQUIRE(store::register_all(zone, lock, registrations, &entries));
        entry = target->entry = entries.back();
        server.take_entries();
      }
    } else if (kind != Kind::kUnknown) {
      const Bytes der = leaf.der(), issuer = ca().der();
      entry = writer
                  .add_per_connection({id, der, ca().issuer()->key_sha256(), ca().issuer()->id(),
                                       kind == Kind::kKnown ? ByteView(issuer) : ByteView(), server.profile, kNow})
                  .value();
    }
    if (held != Held::kNothing && entry != store::kNoEntry) {
      store::BlobHeader header = {};
      header.id = id;
      header.issuer_key = ca().issuer()->key_sha256();
      header.this_update = kNow - kHour;
      header.next_update = header.expires = held == Held::kEnded ? kNow : kEnd;
      header.cert_status = static_cast<std::uint32_t>(held == Held::kRevoked ? crypto::CertStatus::kRevoked
                                                                             : crypto::CertStatus::kGood);
      REQUIRE(writer.publish(entry, header, kResponse));
    }
    return leaf.get();
  }

  Hello hello(x509_st* leaf) const {
    Hello made;
    made.leaf = leaf;
    made.now = kNow;
    made.monotonic = clock.monotonic();
    made.worker = 1;
    made.allocate = allocate;
    made.release = release;
    return made;
  }

  std::array<std::uint64_t, 4> counters() const {
    const auto totals = store::handshake_totals(zone);
    return {totals[store::Handshake::kStapled],
            totals[store::Handshake::kMissing] + totals[store::Handshake::kUnsupported],
            totals[store::Handshake::kForeign], totals[store::Handshake::kRefused]};
  }

  MmapZone memory;
  StapleZone zone;
  LocalLock lock;
  FakeClock clock;
  store::ZoneWriter writer;
  store::DiscoveryQueue queue;
  Catalog catalog;
  Settings settings;
  std::optional<StapleZone> open = zone;
  std::vector<store::Registration> registrations;
  std::vector<store::EntryIndex> entries;
  Server server;
};

struct Expected {
  Outcome outcome;
  bool offered;
};

// The table of engine/stapler.h, once more.
Expected expected(Kind kind, Held held, bool must_staple, const Server& server, bool foreign, Before before) {
  const bool has_entry = kind == Kind::kConfigured || kind == Kind::kKnown || kind == Kind::kWithoutIssuer;
  const bool offered = kind == Kind::kWithoutIssuer || kind == Kind::kUnknown;
  const bool revoked = has_entry && held == Held::kRevoked;
  if (has_entry && (held == Held::kGood || (revoked && !server.omit_revoked))) {
    return {Outcome::kStapled, offered};
  }
  if (server.require == Require::kOn || (server.require == Require::kMustStaple && must_staple)) {
    return {Outcome::kRefused, offered};
  }
  const bool ours = before == Before::kStapled;
  return {foreign && !ours && !revoked ? Outcome::kForeign : Outcome::kNone, offered};
}

TEST_CASE("stapler: each cell of the table", "[stapler]") {
  Fixture f;
  const std::map<Outcome, std::size_t> counter = {
      {Outcome::kStapled, 0}, {Outcome::kNone, 1}, {Outcome::kForeign, 2}, {Outcome::kRefused, 3}};
  int cells = 0;
  const auto check = [&](x509_st* leaf, Kind kind, Held held, bool must_staple, bool foreign, Before before) {
    INFO("kind " << static_cast<int>(kind) << " held " << static_cast<int>(held) << " must_staple " << must_staple
                 << " require " << static_cast<int>(f.server.require) << " omit " << f.server.omit_revoked
                 << " foreign " << foreign << " before " << static_cast<int>(before));
    Stapler stapler(f.catalog, f.settings, f.open);
    Wire wire;
    Hello hello = f.hello(leaf);
    hello.foreign = foreign;
    hello.memory = before == Before::kNothing ? 0 : before == Before::kWithout ? 1 : kEnd << 6 | 2;
    auto counted = f.counters();
    const Decision decision = stapler.decide(f.server, hello, &wire);
    const Expected due = expected(kind, held, must_staple, f.server, foreign, before);
    REQUIRE(decision.outcome == due.outcome);
    const Remembered remembered = recall(decision.memory);
    CHECK(decision.memory != 0);
    CHECK(remembered.outcome == due.outcome);
    const bool stapled = due.outcome == Outcome::kStapled;
    CHECK(remembered.revoked == (stapled && held == Held::kRevoked));
    CHECK(remembered.expires == (stapled ? kEnd : 0));
    CHECK(wire.bytes() == (stapled ? kResponse : Bytes()));
    CHECK(allocated == (stapled ? 1 : 0));
    CHECK((decision.line == nullptr) == (due.outcome != Outcome::kRefused));
    counted[counter.at(due.outcome)] += before == Before::kNothing ? 1 : 0;
    CHECK(f.counters() == counted);
    const auto offer = f.queue.take();
    CHECK(offer.has_value() == due.offered);
    CHECK(wire.asked_for_chain == (due.offered ? 1 : 0));
    if (offer.has_value()) {
      CHECK(offer->id == crypto::certificate_id(leaf).value());
      CHECK(offer->profile == f.server.profile);
      CHECK(offer->chain == ca().der());
    }
    allocated = 0;
    ++cells;
  };
  for (const Kind kind : {Kind::kConfigured, Kind::kUnusable, Kind::kKnown, Kind::kWithoutIssuer, Kind::kUnknown}) {
    for (const Held held : {Held::kNothing, Held::kGood, Held::kRevoked, Held::kEnded}) {
      for (const bool must_staple : {false, true}) {
        if ((kind == Kind::kUnknown || kind == Kind::kUnusable) && held != Held::kNothing) {
          continue;  // it has no entry
        }
        x509_st* const leaf = f.prepare(kind, held, must_staple);
        for (const Require require : {Require::kOff, Require::kMustStaple, Require::kOn}) {
          for (const bool omit : {false, true}) {
            for (const bool foreign : {false, true}) {
              for (const Before before : {Before::kNothing, Before::kWithout, Before::kStapled}) {
                f.server.require = require;
                f.server.omit_revoked = omit;
                check(leaf, kind, held, must_staple, foreign, before);
              }
            }
          }
        }
      }
    }
  }
  CHECK(cells == (3 * 4 + 2) * 2 * 3 * 2 * 2 * 3);
}

TEST_CASE("stapler: a response that the connection does not take is none, and nothing leaks", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open);
  Hello hello = f.hello(f.prepare(Kind::kConfigured, Held::kGood, false));
  hello.foreign = true;
  Wire wire;
  wire.refuses = true;
  CHECK(stapler.decide(f.server, hello, &wire).outcome == Outcome::kNone);
  CHECK(allocated == 0);
  CHECK(f.counters() == std::array<std::uint64_t, 4>{0, 1, 0, 0});
  f.server.require = Require::kOn;
  CHECK(stapler.decide(f.server, hello, &wire).outcome == Outcome::kRefused);
}

TEST_CASE("stapler: before a zone is open nothing is held, and the rules hold all the same", "[stapler]") {
  Fixture f;
  const std::optional<StapleZone> closed;
  Stapler stapler(f.catalog, f.settings, closed);
  for (const Kind kind : {Kind::kConfigured, Kind::kUnknown}) {
    const Hello hello = f.hello(f.prepare(kind, Held::kNothing, false));
    Wire wire;
    f.server.require = Require::kOff;
    CHECK(stapler.decide(f.server, hello, &wire).outcome == Outcome::kNone);
    f.server.require = Require::kOn;
    CHECK(stapler.decide(f.server, hello, &wire).outcome == Outcome::kRefused);
    CHECK(stapler.settle(f.server, hello).outcome == Outcome::kRefused);
  }
  stapler.count_replaced(0);
}

TEST_CASE("stapler: a certificate that cannot be hashed gets none", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open);
  const crypto::X509Ptr nameless = unhashable_certificate();
  Wire wire;
  CHECK(stapler.decide(f.server, f.hello(nameless.get()), &wire).outcome == Outcome::kNone);
  CHECK_FALSE(f.queue.take().has_value());
}

TEST_CASE("stapler: what another module's callback decided is settled once", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open);
  const auto settled = [&](x509_st* leaf, bool foreign, std::uintptr_t memory) {
    Hello hello = f.hello(leaf);
    hello.foreign = foreign;
    hello.memory = memory;
    return stapler.settle(f.server, hello);
  };
  x509_st* const plain = f.prepare(Kind::kConfigured, Held::kGood, false);
  x509_st* const must_staple = f.prepare(Kind::kUnknown, Held::kNothing, true);
  CHECK(settled(plain, false, 0).outcome == Outcome::kNone);
  CHECK(settled(plain, true, 0).outcome == Outcome::kForeign);
  f.server.require = Require::kMustStaple;
  CHECK(settled(plain, true, 0).outcome == Outcome::kForeign);
  const Decision refused = settled(must_staple, true, 0);
  CHECK(refused.outcome == Outcome::kRefused);
  REQUIRE(refused.line != nullptr);
  CHECK(*refused.line ==
        "ocsp_plus: connection closed: another module's status callback ran in its handshake and "
        "\"ocsp_plus_require\" demands our response: certificate=\"CN=leaf,O=ocsp_plus tests\" refused=1");
  CHECK(f.counters() == std::array<std::uint64_t, 4>{0, 1, 2, 1});
  // The next request of the connection: nothing is counted or said again.
  const Decision again = settled(must_staple, true, refused.memory);
  CHECK(again.outcome == Outcome::kRefused);
  CHECK(again.memory == refused.memory);
  CHECK(again.line == nullptr);
  CHECK(settled(plain, false, kEnd << 6 | 2).outcome == Outcome::kStapled);
  CHECK(f.counters() == std::array<std::uint64_t, 4>{0, 1, 2, 1});
  CHECK_FALSE(f.queue.take().has_value());
}

TEST_CASE("stapler: handshakes whose certificate can never have a staple are counted apart", "[stapler]") {
  struct Row {
    const char* what;
    bool responder, file, issuer;
    bool unsupported;
  };
  for (const Row& row : {Row{"a responder", true, false, true, false}, Row{"a file", false, true, true, false},
                         Row{"neither", false, false, true, true}, Row{"no issuer", true, true, false, true}}) {
    INFO(row.what);
    Fixture f;
    const Identity leaf = make_leaf(ca(), "www.example", row.responder ? "http://ocsp.example/" : "");
    ServerCertificate from;
    from.leaf = leaf.get();
    if (row.issuer) {
      from.issuers = {ca().get()};
    }
    if (row.file) {
      from.files = {"response.der"};
    }
    f.server.add(leaf.get(), f.catalog.add(from).value().target, {});
    f.server.take_entries();
    Stapler stapler(f.catalog, f.settings, f.open);
    const auto counted = [&f] {
      const auto totals = store::handshake_totals(f.zone);
      return std::array{totals[store::Handshake::kMissing], totals[store::Handshake::kUnsupported],
                        totals[store::Handshake::kRefused]};
    };
    Wire wire;
    CHECK(stapler.decide(f.server, f.hello(leaf.get()), &wire).outcome == Outcome::kNone);
    const std::uint64_t never = row.unsupported ? 1 : 0;
    CHECK(counted() == std::array<std::uint64_t, 3>{1 - never, never, 0});
    (void)stapler.settle(f.server, f.hello(leaf.get()));
    CHECK(counted() == std::array<std::uint64_t, 3>{2 - 2 * never, 2 * never, 0});
    f.server.require = Require::kOn;
    CHECK(stapler.decide(f.server, f.hello(leaf.get()), &wire).outcome == Outcome::kRefused);
    CHECK(counted() == std::array<std::uint64_t, 3>{2 - 2 * never, 2 * never, 1});
  }
}

TEST_CASE("stapler: refused handshakes are told of once a minute", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open);
  f.server.require = Require::kOn;
  Hello hello = f.hello(f.prepare(Kind::kConfigured, Held::kNothing, false));
  const auto line_at = [&](UnixSeconds now) {
    Wire wire;
    hello.now = now;
    const std::string* const line = stapler.decide(f.server, hello, &wire).line;
    return line != nullptr ? *line : std::string();
  };
  const std::string begin =
      "ocsp_plus: handshake refused, there is no valid response and \"ocsp_plus_require\" demands one: "
      "certificate=\"CN=leaf,O=ocsp_plus tests\" refused=";
  CHECK(line_at(kNow) == begin + "1");
  CHECK(line_at(kNow).empty());
  CHECK(line_at(kNow + 59).empty());
  CHECK(stapler.settle(f.server, hello).line != nullptr);  // of another kind
  CHECK(line_at(kNow + 60) == begin + "3");
  CHECK(line_at(kNow - 3600) == begin + "1");  // the clock was set back
}

// A certificate that leaves a Certificate message with the leaf that room for a staple.
crypto::X509Ptr leaving_room(x509_st* leaf, std::size_t room) {
  CertificateSpec spec;
  spec.subject = "padding";
  std::size_t length = 30000;
  for (int tries = 0; tries < 100; ++tries) {
    spec.extensions = {{"1.2.3.4", false, Bytes(length)}};
    Identity made = make_certificate(spec, key(KeyType::kP256, "padding"), nullptr);
    const std::size_t left = crypto::staple_room(crypto::message_size(leaf, std::array{made.get()}));
    if (left == room) {
      return std::move(made.certificate);
    }
    length = left > crypto::kMostMessage ? length - 1000 : length + left - room;
  }
  throw std::runtime_error("no such padding");
}

TEST_CASE("stapler: a response that Java has no room for is left out on TLS 1.3, unless it is demanded",
          "[stapler]") {
  for (const Kind kind : {Kind::kConfigured, Kind::kKnown}) {
    for (const bool must_staple : {false, true}) {
      INFO("kind " << static_cast<int>(kind) << " must_staple " << must_staple);
      Fixture f;
      Stapler stapler(f.catalog, f.settings, f.open);
      Hello hello = f.hello(f.prepare(kind, Held::kGood, must_staple));
      const auto decide = [&](x509_st* padding, bool tls13, Require require) {
        Server measured;
        measured.add(hello.leaf, nullptr, {padding});
        f.server.first.room = measured.first.room;
        f.server.require = require;
        hello.tls13 = tls13;
        Wire wire;
        wire.sent = {padding};
        return stapler.decide(f.server, hello, &wire);
      };
      const auto fits = leaving_room(hello.leaf, kResponse.size());
      const auto full = leaving_room(hello.leaf, kResponse.size() - 1);
      for (const Require require : {Require::kOff, Require::kMustStaple, Require::kOn}) {
        CHECK(decide(fits.get(), true, require).outcome == Outcome::kStapled);
        CHECK(decide(full.get(), false, require).outcome == Outcome::kStapled);
        const bool demanded = must_staple || require == Require::kOn;
        CHECK(decide(full.get(), true, require).outcome == (demanded ? Outcome::kStapled : Outcome::kNone));
      }
      const std::uint64_t left_out = must_staple ? 0 : 2;
      CHECK(store::handshake_totals(f.zone)[store::Handshake::kTooLarge] == left_out);
      CHECK(f.counters() == std::array<std::uint64_t, 4>{9 - left_out, left_out, 0, 0});
      CHECK(allocated == static_cast<std::int64_t>(9 - left_out));  // what was left out is freed
    }
  }
}

TEST_CASE("stapler: a response left out for its size is told once a minute, and ends no other's", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open);
  Hello hello = f.hello(f.prepare(Kind::kConfigured, Held::kGood, false));
  hello.tls13 = true;
  hello.foreign = true;  // as large, most likely
  f.server.first.room = 0;
  Wire wire;
  const Decision first = stapler.decide(f.server, hello, &wire);
  CHECK(first.outcome == Outcome::kNone);
  REQUIRE(first.line != nullptr);
  CHECK(*first.line ==
        "ocsp_plus: response not stapled, with it the Certificate message would be longer than the 32768 bytes that "
        "Java accepts: certificate=\"CN=leaf,O=ocsp_plus tests\" reason=message_too_large handshakes=1");
  hello.memory = first.memory;
  CHECK(stapler.decide(f.server, hello, &wire).line == nullptr);
  CHECK(store::handshake_totals(f.zone)[store::Handshake::kTooLarge] == 1);  // one handshake, two hellos
}

// A server whose certificate is sent with two CAs and their root, and what is held for each.
struct ChainFixture : Fixture {
  ChainFixture() {
    settings.sends_chain = true;
    ServerCertificate from;
    from.leaf = leaf.get();
    from.chain = sent;
    from.staple_chain = true;
    const Catalog::Added added = catalog.add(from).value();
    REQUIRE(added.links.size() == 2);
    for (const auto& target : catalog.targets()) {
      registrations.push_back({target->certificate.id, target->issuer->key_sha256()});
    }
    REQUIRE(store::register_all(zone, lock, registrations, &entries));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      catalog.targets()[i]->entry = entries[i];
    }
    server.add(leaf.get(), added.target, sent, added.links);
    server.take_entries();
  }

  // Of the leaf (0) or a CA.
  void hold(std::size_t position, Held held, std::size_t size = 700) {
    const Target& target = *catalog.targets()[position];
    if (held == Held::kNothing) {
      return;
    }
    store::BlobHeader header = {};
    header.id = target.certificate.id;
    header.issuer_key = target.issuer->key_sha256();
    header.this_update = kNow - kHour;
    header.next_update = header.expires = held == Held::kEnded ? kNow : kEnd;
    header.cert_status =
        static_cast<std::uint32_t>(held == Held::kRevoked ? crypto::CertStatus::kRevoked : crypto::CertStatus::kGood);
    REQUIRE(writer.publish(target.entry, header, Bytes(size, static_cast<std::uint8_t>(position))));
  }

  // Returns how many staples a handshake gets, after checking that all else agrees.
  std::size_t handshake(std::uintptr_t earlier = 0) {
    Stapler stapler(catalog, settings, open);
    Wire wire;
    wire.sent = on_the_wire;
    wire.refuses = refuses;
    wire.leaf_alone = leaf_alone;
    Hello made = hello(leaf.get());
    made.tls13 = tls13;
    made.memory = earlier;
    allocated = 0;
    const auto before = store::handshake_totals(zone);
    const std::uint64_t counted = stapled();
    const Decision decision = stapler.decide(server, made, &wire);
    const std::size_t count = wire.taken.size();
    CHECK(allocated == static_cast<std::int64_t>(count));
    const Remembered remembered = recall(decision.memory);
    CHECK(remembered.outcome == (count == 0 ? Outcome::kNone : Outcome::kStapled));
    CHECK(remembered.chain == (count == 0 ? 0 : count - 1));
    CHECK(remembered.expires == (count == 0 ? 0 : kEnd));
    const auto after = store::handshake_totals(zone);
    const bool first = earlier == 0;
    CHECK(after[store::Handshake::kStapled] - before[store::Handshake::kStapled] == (first && count > 0 ? 1 : 0));
    CHECK(after[store::Handshake::kChainStapled] - before[store::Handshake::kChainStapled] ==
          (first && count > 1 ? 1 : 0));
    CHECK(stapled() - counted == (first ? count : 0));
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(wire.taken[i].der[0] == i);
    }
    return count;
  }
  std::uint64_t stapled() const {
    std::uint64_t sum = 0;
    for (const store::EntryIndex entry : entries) {
      sum += store::stapled(zone, entry);
    }
    return sum;
  }

  Identity root = make_ca("Root"), i2 = make_intermediate(root, "I2"), i1 = make_intermediate(i2, "I1"),
           leaf = make_leaf(i1, "chain.example", "http://ocsp.example/");
  std::vector<x509_st*> sent = {i1.get(), i2.get(), root.get()};
  std::vector<x509_st*> on_the_wire = sent;
  bool tls13 = true, refuses = false, leaf_alone = false;
};

TEST_CASE("stapler: staples of the chain are a prefix of good ones, whatever is held", "[stapler]") {
  const std::array<Held, 4> all = {Held::kNothing, Held::kGood, Held::kRevoked, Held::kEnded};
  for (const Held leaf : all) {
    for (const Held first : all) {
      for (const Held second : all) {
        for (const bool omit : {false, true}) {
          INFO("leaf " << static_cast<int>(leaf) << " first " << static_cast<int>(first) << " second "
                       << static_cast<int>(second) << " omit " << omit);
          ChainFixture f;
          f.hold(0, leaf);
          f.hold(1, first);
          f.hold(2, second);
          f.server.omit_revoked = omit;
          std::size_t due = 0;
          for (const Held held : {leaf, first, second}) {
            due += held == Held::kGood || (held == Held::kRevoked && !omit) ? 1 : 0;
            if (held != Held::kGood) {
              break;  // a gap, or a revoked one, which ends the list
            }
          }
          CHECK(f.handshake() == due);
        }
      }
    }
  }
}

TEST_CASE("stapler: where a chain cannot be stapled, the leaf alone is", "[stapler]") {
  ChainFixture f;
  for (std::size_t position = 0; position < 3; ++position) {
    f.hold(position, Held::kGood);
  }
  CHECK(f.handshake() == 3);
  CHECK(f.handshake(kEnd << 6 | 2) == 3);  // a hello repeated is counted once
  f.leaf_alone = true;
  CHECK(f.handshake() == 1);
  f.refuses = true;
  CHECK(f.handshake() == 0);
  f.leaf_alone = f.refuses = false;
  f.tls13 = false;
  CHECK(f.handshake() == 1);
  f.tls13 = true;
  f.settings.sends_chain = false;
  CHECK(f.handshake() == 1);
  f.settings.sends_chain = true;
  // Another module has others sent: a copy of the same, fewer, none.
  const Identity other = make_intermediate(f.i2, "I1");
  f.on_the_wire = {other.get(), f.i2.get(), f.root.get()};
  CHECK(f.handshake() == 1);
  f.on_the_wire = {f.i1.get()};
  CHECK(f.handshake() == 1);
  f.on_the_wire = {};
  CHECK(f.handshake() == 1);
}

TEST_CASE("stapler: a chain is stapled up to 16 kB of Certificate message", "[stapler]") {
  ChainFixture f;
  const std::size_t bare = crypto::message_size(f.leaf.get(), f.sent);
  const std::size_t room = Stapler::kMostWithChain - bare - 3 * crypto::kStapleOverhead;
  f.hold(0, Held::kGood);
  f.hold(1, Held::kGood);
  f.hold(2, Held::kGood, room - 1400);
  CHECK(f.handshake() == 3);
  f.hold(2, Held::kGood, room - 1399);
  CHECK(f.handshake() == 2);
  f.hold(1, Held::kGood, room);
  CHECK(f.handshake() == 1);
  f.hold(0, Held::kGood, 20000);
  CHECK(f.handshake() == 1);
}

// A server that loads a certificate per connection, with two CAs and perhaps their root.
struct LoadedChainFixture : Fixture {
  LoadedChainFixture() {
    settings.sends_chain = true;
    ServerCertificate from;
    from.servers = {"chain.example"};
    from.responders = {"http://responder.example/"};  // of leaves
    from.staple_chain = true;
    const Profile& profile = *catalog.add_profile(from).value();
    server.profile = profile.key;
    server.chain_profile = profile.chain_key;
    add(leaf, i1, server.profile, Held::kGood);
  }
  void add(const Identity& certificate, const Identity& issuer, std::uint64_t profile, Held held) {
    const Bytes der = certificate.der(), issuer_der = issuer.der();
    const CertificateId id = crypto::certificate_id(certificate.get()).value();
    const auto entry = writer.add_per_connection(
        {id, der, issuer.issuer()->key_sha256(), issuer.issuer()->id(), issuer_der, profile, kNow - kHour});
    REQUIRE(entry);
    if (held == Held::kNothing) {
      return;
    }
    store::BlobHeader header = {};
    header.id = id;
    header.issuer_key = issuer.issuer()->key_sha256();
    header.this_update = kNow - kHour;
    header.next_update = header.expires = held == Held::kEnded ? kNow : kEnd;
    header.cert_status =
        static_cast<std::uint32_t>(held == Held::kRevoked ? crypto::CertStatus::kRevoked : crypto::CertStatus::kGood);
    REQUIRE(writer.publish(*entry, header, kResponse));
  }
  // Returns how many staples a handshake gets.
  std::size_t handshake(const std::vector<x509_st*>& sent) {
    Stapler stapler(catalog, settings, open);
    Wire wire;
    wire.sent = sent;
    Hello made = hello(leaf.get());
    made.tls13 = tls13;
    allocated = 0;
    const auto before = store::handshake_totals(zone)[store::Handshake::kChainStapled];
    const Decision decision = stapler.decide(server, made, &wire);
    CHECK(decision.outcome == Outcome::kStapled);
    CHECK(allocated == static_cast<std::int64_t>(wire.taken.size()));
    CHECK(recall(decision.memory).chain == wire.taken.size() - 1);
    CHECK(store::handshake_totals(zone)[store::Handshake::kChainStapled] - before == (wire.taken.size() > 1 ? 1 : 0));
    return wire.taken.size();
  }
  std::optional<store::PerConnectionState> state(const Identity& certificate) const {
    return store::per_connection_state(zone, zone.find(crypto::certificate_id(certificate.get()).value()));
  }

  Identity root = make_ca("Root"), i2 = make_intermediate(root, "I2"), i1 = make_intermediate(i2, "I1"),
           leaf = make_leaf(i1, "chain.example", "http://ocsp.example/");
  bool tls13 = true;
};

TEST_CASE("stapler: the chain of a certificate loaded per connection is stapled by the same rule", "[stapler]") {
  const std::array<Held, 4> all = {Held::kNothing, Held::kGood, Held::kRevoked, Held::kEnded};
  for (const Held first : all) {
    for (const Held second : all) {
      for (const bool omit : {false, true}) {
        INFO("first " << static_cast<int>(first) << " second " << static_cast<int>(second) << " omit " << omit);
        LoadedChainFixture f;
        f.add(f.i1, f.i2, f.server.chain_profile, first);
        f.add(f.i2, f.root, f.server.chain_profile, second);
        f.server.omit_revoked = omit;
        std::size_t due = 1;
        for (const Held held : {first, second}) {
          due += held == Held::kGood || (held == Held::kRevoked && !omit) ? 1 : 0;
          if (held != Held::kGood) {
            break;
          }
        }
        CHECK(f.handshake({f.i1.get(), f.i2.get(), f.root.get()}) == due);
        CHECK(f.handshake({f.i1.get(), f.i2.get()}) == std::min<std::size_t>(due, 2));
        CHECK(f.handshake({f.i1.get()}) == 1);
        CHECK(f.state(f.i1)->used == kNow);
      }
    }
  }
}

TEST_CASE("stapler: a chain loaded per connection is stapled where that can be, and no root of it", "[stapler]") {
  LoadedChainFixture f;
  f.add(f.i1, f.i2, f.server.chain_profile, Held::kGood);
  f.add(f.i2, f.root, f.server.chain_profile, Held::kGood);
  f.add(f.root, f.root, f.server.chain_profile, Held::kGood);
  const std::vector<x509_st*> sent = {f.i1.get(), f.i2.get(), f.root.get(), f.root.get()};
  CHECK(f.handshake(sent) == 3);
  // Of the issuer's name, but of another key: a client could not verify the response with it.
  CertificateSpec spec;
  spec.subject = "Root";
  spec.ca = true;
  const Identity other = make_certificate(spec, key(KeyType::kP256, "another root"), nullptr);
  CHECK(f.handshake({f.i1.get(), f.i2.get(), other.get()}) == 2);
  CHECK(f.handshake({f.i1.get(), f.i2.get(), other.get(), f.root.get()}) == 3);
  CHECK(f.handshake({f.i2.get(), f.i1.get(), f.root.get()}) == 1 + 1);
  CHECK(f.handshake({}) == 1);
  CHECK_FALSE(f.queue.take().has_value());
  f.tls13 = false;
  CHECK(f.handshake(sent) == 1);
  f.tls13 = true;
  f.settings.sends_chain = false;
  CHECK(f.handshake(sent) == 1);
  f.settings.sends_chain = true;
  f.server.chain_profile = 0;
  CHECK(f.handshake(sent) == 1);
}

TEST_CASE("stapler: the first unknown certificate of a chain is offered as one of a CA", "[stapler]") {
  LoadedChainFixture f;
  const std::vector<x509_st*> sent = {f.i1.get(), f.i2.get(), f.root.get()};
  CHECK(f.handshake(sent) == 1);
  auto offer = f.queue.take();
  REQUIRE(offer.has_value());
  CHECK(offer->id == crypto::certificate_id(f.i1.get()).value());
  CHECK(offer->profile == f.server.chain_profile);
  CHECK(offer->chain == f.i2.der());
  CHECK_FALSE(f.queue.take().has_value());
  f.add(f.i1, f.i2, f.server.chain_profile, Held::kGood);
  CHECK(f.handshake(sent) == 2);
  offer = f.queue.take();
  REQUIRE(offer.has_value());
  CHECK(offer->id == crypto::certificate_id(f.i2.get()).value());
  // Without its issuer it would never be stapled.
  LoadedChainFixture loose;
  CHECK(loose.handshake({loose.i1.get(), loose.root.get()}) == 1);
  CHECK_FALSE(loose.queue.take().has_value());
}

TEST_CASE("stapler: a certificate that servers load as their own is none of a CA's", "[stapler]") {
  LoadedChainFixture f;
  f.add(f.i1, f.i2, f.server.profile, Held::kGood);
  CHECK(f.handshake({f.i1.get(), f.i2.get()}) == 2);
  CHECK(f.state(f.i1)->profile == f.server.profile);
  f.add(f.i2, f.root, f.server.chain_profile, Held::kGood);
  Stapler stapler(f.catalog, f.settings, f.open);
  Wire wire;
  CHECK(stapler.decide(f.server, f.hello(f.i2.get()), &wire).outcome == Outcome::kStapled);
  CHECK(f.state(f.i2)->profile == f.server.profile);
}

TEST_CASE("stapler: an unknown certificate is offered once in a while, and not where it waits already", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open), other(f.catalog, f.settings, f.open);
  x509_st* const leaf = f.prepare(Kind::kUnknown, Held::kNothing, false);
  const auto met = [&](Stapler& by) {
    Wire wire;
    (void)by.decide(f.server, f.hello(leaf), &wire);
    return wire.asked_for_chain;
  };
  CHECK(met(stapler) == 1);
  CHECK(met(stapler) == 0);
  CHECK(met(other) == 0);  // another worker sees it in the queue
  CHECK(f.queue.take().has_value());
  CHECK_FALSE(f.queue.take().has_value());
  f.clock.advance(Offers::kAgain);
  CHECK(met(stapler) == 1);
}

TEST_CASE("stapler: of servers that load one certificate the first counts, or the one that vouches", "[stapler]") {
  Fixture f;
  Stapler stapler(f.catalog, f.settings, f.open);
  x509_st* const leaf = f.prepare(Kind::kKnown, Held::kGood, false);
  const store::EntryIndex entry = f.zone.find(crypto::certificate_id(leaf).value());
  const auto after = [&](std::uint64_t profile) {
    Server server;
    server.profile = profile;
    Wire wire;
    Hello hello = f.hello(leaf);
    hello.now = kNow + kHour;
    CHECK(stapler.decide(server, hello, &wire).outcome == Outcome::kStapled);
    return store::per_connection_state(f.zone, entry)->profile;
  };
  const std::uint64_t first = f.server.profile;
  const std::uint64_t plain = f.profile({"two.example"}, {});
  const std::uint64_t vouching = f.profile({"three.example"}, {ca().get()});
  CHECK(after(plain) == first);
  CHECK(store::per_connection_state(f.zone, entry)->used == kNow + kHour);
  CHECK(after(plain + 12345) == first);  // nobody knows that server
  CHECK(after(vouching) == vouching);
  CHECK(after(first) == vouching);
  store::record_profile(f.zone, entry, 4711);  // of an earlier configuration
  CHECK(after(plain) == plain);
}

}  // namespace
}  // namespace ocsp_plus::engine
