// The status document and readiness, of an engine at work.
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <sstream>

#include "admin/control.h"
#include "ocsp_plus/version.h"
#include "store/counters.h"
#include "store/entry_state.h"
#include "store/lease.h"
#include "tests/fakes/admin_fixture.h"
#include "tests/fakes/redis_server.h"

namespace ocsp_plus::admin {
namespace {

using testing::AdminFixture;
using testing::test_leaf;

std::vector<nlohmann::json> certificates(const AdminFixture& fixture) {
  return fixture.json()["certificates"].get<std::vector<nlohmann::json>>();
}

TEST_CASE("status: of a certificate before and after its response came", "[admin]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  fixture.add(1, {&responder});
  fixture.open();
  auto shown = fixture.json();
  CHECK(shown["version"] == OCSP_PLUS_VERSION);
  CHECK(shown["zone"]["name"] == "ocsp_plus");
  CHECK(shown["zone"]["entries"] == 1);
  CHECK(shown["zone"]["size"] == fixture.zone.size());
  CHECK(shown["worker"].is_null());
  CHECK(shown["clock_skew"].is_null());
  CHECK(shown["next"].is_null());
  REQUIRE(shown["certificates"].size() == 1);
  auto certificate = shown["certificates"][0];
  CHECK(certificate["state"] == "pending");
  CHECK(certificate["names"] == nlohmann::json({"leaf1.example"}));
  CHECK(certificate["serial"] == "100001");
  CHECK(certificate["key"] == "ECDSA P-256");
  CHECK(certificate["not_before"] == to_rfc3339(fixture.catalog.targets()[0]->certificate.not_before));
  CHECK(shown["control"].is_null());
  CHECK(fixture.show(Format::kJson, {}, {}, "/a \"b").text.find(R"("control":"/a \"b",)") != std::string::npos);
  CHECK(certificate["expires_in"].is_null());
  CHECK(certificate["last_attempt"].is_null());

  fixture.work(1000);
  store::record_stapled(fixture.zone, fixture.catalog.targets()[0]->entry, 1);
  fixture.zone.handshakes(0).counts[store::Handshake::kStapled].fetch_add(3);
  fixture.zone.handshakes(1).counts[store::Handshake::kMissing].fetch_add(2);
  fixture.zone.handshakes(0).counts[store::Handshake::kUnsupported].fetch_add(5);
  fixture.zone.handshakes(1).counts[store::Handshake::kRefused].fetch_add(1);
  fixture.zone.handshakes(1).counts[store::Handshake::kTooLarge].fetch_add(1);
  fixture.zone.handshakes(2).counts[store::Handshake::kForeign].fetch_add(4);
  fixture.zone.handshakes(1).counts[store::Handshake::kChainStapled].fetch_add(1);
  fixture.zone.handshakes(2).counts[store::Handshake::kReplaced].fetch_add(7);
  shown = fixture.json();
  certificate = shown["certificates"][0];
  CHECK(certificate["id"] == to_hex(fixture.catalog.targets()[0]->certificate.id));
  CHECK(certificate["state"] == "valid");
  CHECK(certificate["cert_status"] == "good");
  CHECK(certificate["source"] == "network");
  CHECK(certificate["expires_in"] > 2 * 86400);
  CHECK(certificate["expires"] == certificate["next_update"]);
  CHECK(certificate["last_attempt"]["result"] == "ok");
  CHECK(certificate["last_attempt"]["detail"].is_null());
  CHECK(certificate["last_attempt"]["responder"] == responder.url("1"));
  CHECK(certificate["next_attempt"].is_string());
  CHECK(certificate["failures"] == 0);
  CHECK(certificate["stapled"] == 1);
  CHECK(shown["worker"]["pid"] == getpid());
  CHECK(shown["worker"]["slot"] == 0);
  CHECK(shown["fetches"] == nlohmann::json({{"ok", 1}, {"failed", 0}, {"in_flight", 0}}));
  CHECK(shown["handshakes"] == nlohmann::json({{"requested", 15},
                                               {"stapled", 3},
                                               {"missing", 2},
                                               {"unsupported", 5},
                                               {"chain_stapled", 1},
                                               {"message_too_large", 1},
                                               {"refused", 1},
                                               {"foreign", 4}}));
  CHECK(shown["callbacks_replaced"] == 7);
  REQUIRE(shown["responders"].size() == 1);
  CHECK(shown["responders"][0]["state"] == "up");
}

TEST_CASE("status: a heartbeat that is not beaten any more gets old", "[admin]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.open();
  fixture.work(1000);
  const std::string now = to_rfc3339(fixture.loop.clock.now());
  CHECK(fixture.json()["worker"]["heartbeat"] == now);
  fixture.zone.header().lease.heartbeat -= 20000;
  CHECK(fixture.json()["worker"]["heartbeat"] == to_rfc3339(fixture.loop.clock.now() - 20));
}

TEST_CASE("status: whether the cache directory can be used", "[admin]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  const nlohmann::json off = {{"path", nullptr}, {"state", "off"}, {"reason", nullptr}, {"since", nullptr}};
  const auto usable = [&fixture] {
    const std::string text = fixture.show(Format::kPrometheus).text;
    const std::size_t at = text.find("\nocsp_plus_cache_usable ");
    return at == std::string::npos ? "absent" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  };
  fixture.settings.cache = "/var/cache/x";
  CHECK(fixture.json()["cache"] == off);  // without a zone nobody uses it
  fixture.open();
  nlohmann::json works = off;
  works["state"] = "works";
  works["path"] = "/var/cache/x";
  CHECK(fixture.json()["cache"] == works);
  CHECK(usable() == "ocsp_plus_cache_usable 1");

  store::record_cache_failure(fixture.zone, Reason::kDiskFull, testing::kNow - 60);
  nlohmann::json failing = works;
  failing["state"] = "failing";
  failing["reason"] = "disk_full";
  failing["since"] = to_rfc3339(testing::kNow - 60);
  CHECK(fixture.json()["cache"] == failing);
  CHECK(usable() == "ocsp_plus_cache_usable 0");

  fixture.zone.stats().numbers[store::Number::kCacheFailingSince] = INT64_MIN;  // scribbled
  fixture.zone.stats().numbers[store::Number::kCacheReason] = 77777;
  failing["since"] = nullptr;
  failing["reason"] = "not_checked";
  CHECK(fixture.json()["cache"] == failing);

  fixture.settings.cache.clear();
  CHECK(fixture.json()["cache"] == off);
  CHECK(usable() == "absent");
}

// --- the shared store ---

engine::ShareSettings shared_at(const std::string& place) {
  engine::ShareSettings share;
  share.places.push_back(net::RedisPlace::parse(place).value());
  share.password = "of-the-file";
  return share;
}

// The samples of the shared store, sorted, in one text.
std::string share_samples(const AdminFixture& fixture, Format format = Format::kPrometheus) {
  std::istringstream text(fixture.show(format).text);
  std::multiset<std::string> found;
  for (std::string line; std::getline(text, line);) {
    if (line.find("ocsp_plus_share_") == 0) {
      found.insert(line);
    }
  }
  std::string all;
  for (const std::string& line : found) {
    all += line + "\n";
  }
  return all;
}

TEST_CASE("status: the shared store, its state and what it was used for", "[admin][share]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.settings.share = shared_at("redis://user:of-the-url@cache.example:6379/2");
  CHECK(fixture.json()["share"].is_null());  // without a zone nobody uses it
  fixture.open();
  nlohmann::json expected = {{"place", nullptr}, {"state", "connecting"},
                             {"since", nullptr}, {"last_error", nullptr},
                             {"looks", 0},       {"hits", 0},
                             {"same", 0},        {"refused", 0},
                             {"published", 0},   {"leases", 0},
                             {"waits", 0},       {"alone", 0},
                             {"errors", 0},      {"latency_ms", nullptr}};
  CHECK(fixture.json()["share"] == expected);

  store::record_share(fixture.zone, {3, testing::kNow - 60, "redis://cache.example:6379/2", Reason::kStoreTimeout,
                                     "no answer within 1000 ms"});
  store::record(fixture.zone, store::Number::kShareLatency, 7);
  for (std::uint64_t i = 0; i < 16; ++i) {
    store::count(fixture.zone, static_cast<store::Counter::Kind>(store::Counter::kShareLooks + i), 1001 + i);
  }
  expected = {{"place", "redis://cache.example:6379/2"},
              {"state", "down"},
              {"since", to_rfc3339(testing::kNow - 60)},
              {"last_error", {{"reason", "store_timeout"}, {"detail", "no answer within 1000 ms"}}},
              {"looks", 1001},
              {"hits", 1002},
              {"same", 1003},
              {"refused", 1004},
              {"published", 1008},
              {"leases", 1010},
              {"waits", 1006},
              {"alone", 1011},
              {"errors", 1012},
              {"latency_ms", 7}};
  CHECK(fixture.json()["share"] == expected);
  const std::string samples =
      "ocsp_plus_share_bytes_total{direction=\"received\"} 1016\n"
      "ocsp_plus_share_bytes_total{direction=\"sent\"} 1015\n"
      "ocsp_plus_share_latency_seconds_count 1013\n"
      "ocsp_plus_share_latency_seconds_sum 1.014\n"
      "ocsp_plus_share_leases_total 1010\n"
      "ocsp_plus_share_looks_total{result=\"elsewhere\"} 1006\n"
      "ocsp_plus_share_looks_total{result=\"error\"} 1007\n"
      "ocsp_plus_share_looks_total{result=\"hit\"} 1002\n"
      "ocsp_plus_share_looks_total{result=\"miss\"} 1005\n"
      "ocsp_plus_share_looks_total{result=\"refused\"} 1004\n"
      "ocsp_plus_share_looks_total{result=\"same\"} 1003\n"
      "ocsp_plus_share_published_total{result=\"failed\"} 1009\n"
      "ocsp_plus_share_published_total{result=\"stored\"} 1008\n"
      "ocsp_plus_share_up 0\n";
  CHECK(share_samples(fixture) == samples);
  CHECK(share_samples(fixture, Format::kOpenMetrics) == samples);
  for (const std::uint32_t state : {1U, 2U}) {
    store::record_share(fixture.zone, {state, testing::kNow, "unix:/run/x", Reason::kNotChecked, {}});
    CHECK(fixture.json()["share"]["state"] == (state == 1 ? "up" : "read_only"));
    CHECK(share_samples(fixture).find("ocsp_plus_share_up 1\n") != std::string::npos);
  }
  CHECK(fixture.json()["share"]["last_error"].is_null());

  store::record_share(fixture.zone, {77, INT64_MIN, "\x1b[2J\xff", static_cast<Reason>(7777), "x"});  // scribbled
  store::record(fixture.zone, store::Number::kShareLatency, INT64_MIN);
  expected["state"] = "connecting";
  expected["since"] = nullptr;
  expected["place"] = "\x1b[2J\xef\xbf\xbd";
  expected["last_error"] = nullptr;
  expected["latency_ms"] = nullptr;
  CHECK(fixture.json()["share"] == expected);
  for (const Format format : {Format::kJson, Format::kPrometheus, Format::kOpenMetrics}) {
    const std::string text = fixture.show(format).text;
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("of-the") == std::string::npos);
  }

  fixture.settings.share.reset();
  CHECK(fixture.json()["share"].is_null());
  CHECK(share_samples(fixture).empty());
}

TEST_CASE("status: each lease holder adds to what the shared store was used for", "[admin][share]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  testing::RedisServer redis(fixture.loop);
  redis.answer = [](const testing::Words& words) -> std::string {
    if (words[0] == "EVALSHA") {  // of one certificate: look, publish, settle
      return words.size() == 14 ? testing::array({testing::array({testing::bulk("l"), ":0\r\n"})}) : ":1\r\n";
    }
    return words[0] == "XREAD" || words[0] == "XREVRANGE" ? "*-1\r\n" : testing::RedisServer::healthy(words);
  };
  fixture.settings.share = shared_at("redis://:of-the-url@127.0.0.1:" + std::to_string(redis.port()));
  fixture.open();
  fixture.work(3000);
  auto share = fixture.json()["share"];
  CHECK(share["state"] == "up");
  CHECK(share["place"] == redis.place());
  CHECK(share["since"].is_string());
  CHECK(share["last_error"].is_null());
  CHECK(share["looks"] == 1);
  CHECK(share["leases"] == 1);
  CHECK(share["published"] == 1);
  CHECK(share["latency_ms"] == 0);
  CHECK(share_samples(fixture).find("looks_total{result=\"miss\"} 1\n") != std::string::npos);
  const std::uint64_t sent = store::counted(fixture.zone, store::Counter::kShareSent);
  CHECK(sent > 0);
  CHECK(store::counted(fixture.zone, store::Counter::kShareReceived) > 0);
  CHECK(store::counted(fixture.zone, store::Counter::kShareCommands) >= 2);

  fixture.contender.reset();  // another lease holder goes on
  fixture.loop.clock.advance(4 * 86400 * Millis{1000});
  fixture.work(3000);
  share = fixture.json()["share"];
  CHECK(share["looks"] == 2);
  CHECK(share["published"] == 2);
  CHECK(store::counted(fixture.zone, store::Counter::kShareSent) > sent);

  redis.answer = [](const testing::Words&) { return std::string("-NOPERM\r\n"); };
  redis.close_all();
  fixture.work(5000);
  share = fixture.json()["share"];
  CHECK(share["state"] == "down");
  CHECK(share["last_error"]["reason"] == "store_denied");
  CHECK(share["since"] >= to_rfc3339(fixture.loop.clock.now() - 5));
  CHECK(share["looks"] == 2);
  CHECK(fixture.json().dump().find("of-the") == std::string::npos);
  CHECK(fixture.log.count("of-the") == 0);
}

TEST_CASE("status: a shared store that cannot be reached", "[admin][share]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.settings.share = shared_at("redis://127.0.0.1:1");
  fixture.open();
  fixture.work(1000);
  const auto share = fixture.json()["share"];
  CHECK(share["state"] == "down");
  CHECK(share["place"] == "redis://127.0.0.1:1");
  CHECK(share["last_error"]["reason"] == "store_unreachable");
  CHECK(fixture.json()["certificates"][0]["state"] == "valid");
}

TEST_CASE("status: why the last attempt failed, and the responder's health", "[admin]") {
  AdminFixture fixture;
  auto& responder = fixture.server(AdminFixture::always("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
  fixture.add(1, {&responder});
  fixture.open();
  fixture.work(1000);
  const auto shown = fixture.json();
  const auto certificate = shown["certificates"][0];
  CHECK(certificate["state"] == "pending");
  CHECK(certificate["failures"] == 1);
  CHECK(certificate["last_attempt"]["result"] == "http_status");
  CHECK(certificate["last_attempt"]["detail"].get<std::string>().find("503") != std::string::npos);
  CHECK(shown["fetches"]["failed"] == 1);
  CHECK(shown["responders"][0]["state"] == "failing");
  CHECK(shown["responders"][0]["failures"] == 1);
  CHECK(shown["responders"][0]["next_attempt"].is_string());
}

TEST_CASE("status: states follow what is held and the clock", "[admin]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  fixture.add(1, {&responder});
  fixture.add(2, {});
  fixture.open();
  fixture.work(1000);
  CHECK(fixture.json("state=unsupported")["certificates"].size() == 1);
  CHECK(fixture.json("state=valid")["certificates"].size() == 1);
  fixture.loop.clock.jump(4 * 86400);
  CHECK(fixture.json("state=expired")["certificates"].size() == 1);
  CHECK(fixture.json("state=expired")["certificates"][0]["expires_in"] < 0);
  fixture.loop.clock.jump(-20 * 86400);
  CHECK(fixture.json("state=expired")["certificates"].size() == 1);  // from the future
}

// A leaf of the test CA in a configuration: what it names, and what names it.
struct Odd {
  std::vector<std::string> ocsp = {};
  std::vector<std::string> ca_issuers = {};
  bool issuer = true;
  std::vector<std::string_view> files = {};
  const char* not_after = nullptr;
};

void add_odd(AdminFixture& fixture, const char* name, const Odd& odd) {
  testing::CertificateSpec spec;
  spec.subject = name;
  spec.dns_names = {name};
  spec.ocsp_urls = odd.ocsp;
  spec.ca_issuers_urls = odd.ca_issuers;
  if (odd.not_after != nullptr) {
    spec.raw_not_after = odd.not_after;
  }
  const testing::Identity made = make_certificate(spec, key(testing::KeyType::kP256, "leaf"), &testing::test_ca());
  engine::ServerCertificate server_certificate;
  server_certificate.leaf = made.get();
  server_certificate.files = odd.files;
  if (odd.issuer) {
    server_certificate.issuers = {testing::test_ca().get()};
  }
  REQUIRE(fixture.catalog.add(server_certificate));
}

TEST_CASE("status: why there can be no response, as in the metrics", "[admin][metrics]") {
  AdminFixture fixture;
  fixture.settings.issuer_fetch = true;
  const std::vector<std::string> ocsp = {"http://127.0.0.1:1/"};
  fixture.add(1, {&fixture.server()});
  add_odd(fixture, "bare", {});
  add_odd(fixture, "bare-and-alone", {{}, {}, false});
  add_odd(fixture, "alone", {ocsp, {}, false});
  add_odd(fixture, "ldap-issuer", {ocsp, {"ldap://127.0.0.1/"}, false});
  add_odd(fixture, "fetched", {ocsp, {"http://127.0.0.1:1/ca"}, false});
  add_odd(fixture, "file", {{}, {}, true, {"/nowhere"}});
  add_odd(fixture, "file-alone", {{}, {"http://127.0.0.1:1/ca"}, false, {"/nowhere"}});
  add_odd(fixture, "ldap", {{"ldap://127.0.0.1/"}});
  add_odd(fixture, "broken", {{"http:///"}});
  add_odd(fixture, "leap", {ocsp, {}, true, {}, "290229000000Z"});
  fixture.catalog.settle_issuers(true);
  fixture.open();
  std::map<std::string, std::string> why;
  for (const auto& one : certificates(fixture)) {
    const bool unsupported = one["state"] == "unsupported";
    CHECK(one["reason"].is_null() == !unsupported);
    why[one["names"][0]] = unsupported ? one["reason"].get<std::string>() : one["state"].get<std::string>();
  }
  CHECK(why == std::map<std::string, std::string>{{"leaf1.example", "pending"},
                                                  {"bare", "no_responder"},
                                                  {"bare-and-alone", "no_responder"},
                                                  {"alone", "no_issuer"},
                                                  {"ldap-issuer", "no_issuer"},
                                                  {"fetched", "pending"},
                                                  {"file", "pending"},
                                                  {"file-alone", "no_issuer"},
                                                  {"ldap", "url_scheme"},
                                                  {"broken", "url_malformed"}});
  CHECK(fixture.json()["unreadable"] == nlohmann::json({"leap"}));
  const auto counted = [&fixture](const std::string& labels, const std::string& args = {}) {
    const std::string text = fixture.show(Format::kPrometheus, args).text;
    const std::string series = "ocsp_plus_unsupported_certificates{" + labels + "} ";
    const auto at = text.find(series);
    REQUIRE(at != std::string::npos);
    return std::stoul(text.substr(at + series.size()));
  };
  CHECK(counted(R"(role="leaf",reason="no_responder")") == 2);
  CHECK(counted(R"(role="leaf",reason="no_issuer")") == 3);
  CHECK(counted(R"(role="leaf",reason="url_scheme")") == 1);
  CHECK(counted(R"(role="leaf",reason="url_malformed")") == 1);
  CHECK(counted(R"(role="leaf",reason="unreadable")") == 1);
  CHECK(counted(R"(role="ca",reason="no_issuer")") == 0);
  CHECK(counted(R"(role="leaf",reason="unreadable")", "state=unsupported") == 0);  // it is none of the listed ones
  CHECK(counted(R"(role="leaf",reason="no_issuer")", "state=pending") == 0);
}

TEST_CASE("status: pages of certificates meet each once", "[admin]") {
  AdminFixture fixture;
  for (std::size_t i = 0; i < 25; ++i) {
    fixture.add(i, {});
  }
  fixture.open();
  std::set<std::string> seen;
  std::string args = "limit=10";
  std::vector<std::size_t> sizes;
  for (int page = 0; page < 4 && !args.empty(); ++page) {
    const auto shown = fixture.json(args);
    sizes.push_back(shown["certificates"].size());
    for (const auto& certificate : shown["certificates"]) {
      CHECK(seen.insert(certificate["id"]).second);
    }
    args = shown["next"].is_null() ? "" : "limit=10&after=" + shown["next"].get<std::string>();
  }
  CHECK(sizes == std::vector<std::size_t>{10, 10, 5});
  CHECK(seen.size() == 25);
  CHECK(fixture.json("limit=25")["next"].is_null());
  const std::string id = *seen.begin();
  CHECK(fixture.json("id=" + id)["certificates"].size() == 1);
  CHECK(fixture.json("id=" + std::string(64, '0'))["certificates"].empty());
  CHECK(fixture.json("server=nobody")["certificates"].empty());
}

TEST_CASE("status: by the server that uses it", "[admin]") {
  AdminFixture fixture;
  engine::ServerCertificate server_certificate;
  server_certificate.leaf = test_leaf(1).get();
  server_certificate.issuers = {testing::test_ca().get()};
  server_certificate.servers = {"b.example", "a.example", "b.example"};
  REQUIRE(fixture.catalog.add(server_certificate).has_value());
  server_certificate.servers = {"c.example"};
  REQUIRE(fixture.catalog.add(server_certificate).has_value());
  fixture.open();
  CHECK(fixture.json("server=c.example")["certificates"].size() == 1);
  CHECK(fixture.json("server=d.example")["certificates"].empty());
  CHECK(fixture.json()["certificates"][0]["servers"] == nlohmann::json({"a.example", "b.example", "c.example"}));
}

TEST_CASE("status: many certificates come in pieces of bounded size", "[admin]") {
  AdminFixture fixture(8 << 20);
  for (std::size_t i = 0; i < 1000; ++i) {
    fixture.add(i, {});
  }
  fixture.open();
  const auto shown = fixture.show(Format::kJson);
  CHECK(nlohmann::json::parse(shown.text)["certificates"].size() == 1000);
  CHECK(shown.pieces > 10);
  CHECK(shown.largest < 2 * kPieceBytes);
  const auto metrics = fixture.show(Format::kPrometheus);
  CHECK(metrics.pieces > 10);
  CHECK(metrics.largest < 2 * kPieceBytes);
  // what is filtered out is looked at in portions, too; all are looked at once more for the runway
  CHECK(fixture.show(Format::kJson, "state=revoked").pieces == 2 * 1000 / kPieceCertificates - 1);
}

TEST_CASE("status: a listing that cannot go on says so", "[admin]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.open();
  const std::string gone(64, 'a');
  for (const std::string& args : {std::string(), "after=" + gone, "id=" + gone, "loaded=1&id=" + gone,
                                  std::string("loaded=1"), std::string("limit=1")}) {
    CAPTURE(args);
    CHECK(fixture.json(args)["ended_early"] == false);
  }
  const auto shown = fixture.json("loaded=1&after=" + gone);
  CHECK(shown["ended_early"] == true);
  CHECK(shown["certificates"].empty());
  CHECK(shown["next"].is_null());
}

TEST_CASE("status: nonsense in the zone changes no more than what it says", "[admin]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.settings.share = shared_at("redis://127.0.0.1:1");
  fixture.open();
  fixture.work(1000);
  testing::TestRandom random(7);
  for (int round = 0; round < 200; ++round) {
    std::uint8_t* const bytes = fixture.memory.data();
    const std::size_t from = random.below(fixture.zone.geometry().arena + 4096);
    random.fill(bytes + from, std::min<std::size_t>(64, fixture.memory.size() - from));
    const auto shown = fixture.json();
    CHECK(shown["certificates"].size() == 1);
    CHECK(shown["certificates"][0]["subject"] == "CN=leaf1,O=ocsp_plus tests");
    (void)fixture.show(Format::kPrometheus);
    (void)fixture.show(Format::kReady, "strict=1");
  }
}

TEST_CASE("status: without a zone there is nothing to tell, and it is ready", "[admin]") {
  AdminFixture fixture;
  CHECK(fixture.json()["certificates"].empty());
  CHECK(fixture.show(Format::kReady).status == 200);
  CHECK(fixture.show(Format::kPrometheus).text.find("ocsp_plus_ready 1\n") != std::string::npos);
  CHECK(refresh(fixture.view(), "refresh=all").http_status == 404);
}

TEST_CASE("status: an argument that makes no sense is 400", "[admin]") {
  AdminFixture fixture;
  fixture.open();
  const auto shown = fixture.show({}, "state=gone");
  CHECK(shown.status == 400);
  CHECK(shown.type == "text/plain; charset=utf-8");
}

// --- readiness ---

TEST_CASE("ready: when each certificate is stapled or was tried, and from then on for good", "[admin][ready]") {
  AdminFixture fixture;
  auto& good = fixture.server();
  auto& bad = fixture.server(AdminFixture::always("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
  fixture.add(1, {&good});
  fixture.add(2, {&bad});
  fixture.add(3, {});
  fixture.open();
  const auto before = fixture.show(Format::kReady);
  CHECK(before.status == 503);
  CHECK(
      before.text ==
      "not ready: the first round is not over, certificate \"leaf1.example\" has no staple yet and was not tried\n");
  fixture.work(2000);
  CHECK(fixture.show(Format::kReady).status == 200);
  const auto strict = fixture.show(Format::kReady, "strict=1");
  CHECK(strict.status == 503);
  CHECK(strict.text == "not ready: certificate \"leaf2.example\" has no valid staple\n");
  CHECK(fixture.show(Format::kReady, "strict=0").status == 200);
  fixture.loop.clock.jump(30 * 86400);  // everything has ended
  CHECK(fixture.show(Format::kReady).status == 200);
  CHECK(fixture.show(Format::kReady, "strict=1").status == 503);
}

TEST_CASE("metrics: CA certificates are counted apart", "[admin][metrics]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  const std::size_t ca = fixture.add(2, {&fixture.server(AdminFixture::hang())});
  fixture.catalog.targets()[ca]->ca = true;
  fixture.open();
  fixture.work(1000);
  const std::string text = fixture.show(Format::kPrometheus).text;
  for (const std::string_view line :
       {"ocsp_plus_certificates{role=\"leaf\",state=\"valid\"} 1\n",
        "ocsp_plus_certificates{role=\"ca\",state=\"valid\"} 0\n",
        "ocsp_plus_certificates{role=\"leaf\",state=\"pending\"} 0\n",
        "ocsp_plus_certificates{role=\"ca\",state=\"pending\"} 1\n", "name=\"leaf1.example\",role=\"leaf\"} 1\n",
        "name=\"leaf2.example\",role=\"ca\"} 0\n"}) {
    INFO(line);
    CHECK(text.find(line) != std::string::npos);
  }
}

TEST_CASE("ready: CA certificates that are stapled with others are not waited for", "[admin][ready]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  const std::size_t ca = fixture.add(2, {&fixture.server(AdminFixture::hang())});
  fixture.catalog.targets()[ca]->ca = true;
  fixture.open();
  const auto shown = fixture.json();
  for (const auto& certificate : shown["certificates"]) {  // ordered by id
    CHECK(certificate["role"] == (certificate["names"][0] == "leaf2.example" ? "ca" : "leaf"));
  }
  fixture.work(1000);
  CHECK(store::read_attempt(fixture.zone, fixture.catalog.targets()[ca]->entry).at == 0);
  CHECK(fixture.show(Format::kReady).status == 200);
  CHECK(fixture.show(Format::kReady, "strict=1").status == 200);
  fixture.catalog.targets()[ca]->ca = false;
  CHECK(fixture.show(Format::kReady, "strict=1").status == 503);
}

TEST_CASE("ready: after a minute without waiting for the rest", "[admin][ready]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server(AdminFixture::hang())});
  fixture.open();
  CHECK(fixture.show(Format::kReady).status == 503);
  fixture.loop.clock.advance(59000);
  CHECK(fixture.show(Format::kReady).status == 503);
  fixture.loop.clock.advance(1000);
  CHECK(fixture.show(Format::kReady).status == 200);
}

TEST_CASE("ready: not without a staple that a server requires", "[admin][ready]") {
  AdminFixture fixture;
  auto& responder = fixture.server(AdminFixture::always("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
  const auto index = fixture.add(1, {&responder});
  fixture.catalog.targets()[index]->required = true;
  fixture.open();
  fixture.work(70000);
  const auto shown = fixture.show(Format::kReady);
  CHECK(shown.status == 503);
  CHECK(shown.text.find("is required to have a staple and has none") != std::string::npos);
}

TEST_CASE("ready: the worker notes it, though nobody asks", "[admin][ready]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.open();
  fixture.work(2000);
  CHECK(fixture.zone.stats().numbers[store::Number::kSettled] == 1);
}

// --- control ---

TEST_CASE("control: all are fetched again, once a minute", "[admin][control]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  for (std::size_t i = 0; i < 5; ++i) {
    fixture.add(i, {&responder});
  }
  fixture.open();
  fixture.work(2000);
  CHECK(responder.asked.size() == 5);
  const Answer answer = refresh(fixture.view(), "refresh=all");
  CHECK(answer.http_status == 202);
  CHECK(answer.text == "5 certificates will be fetched");
  CHECK(refresh(fixture.view(), "refresh=all").http_status == 429);
  fixture.work(2000);
  CHECK(responder.asked.size() == 10);
  fixture.work(60000);
  CHECK(responder.asked.size() == 10);
  CHECK(refresh(fixture.view(), "refresh=all").http_status == 202);
}

TEST_CASE("control: the answer counts what is fetched, and says what the others lack", "[admin][control]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  for (std::size_t i = 0; i < 3; ++i) {
    fixture.add(i, {&responder});
  }
  fixture.add(3, {});
  fixture.add(4, {});
  fixture.catalog.targets()[fixture.add(5, {})]->files = {"/nowhere"};
  fixture.catalog.targets()[fixture.add(6, {&responder})]->certificate.not_after = testing::kNow - 1;
  const auto without_issuer = fixture.add(7, {&responder});
  fixture.open();
  fixture.catalog.targets()[without_issuer]->issuer = nullptr;
  CHECK(refresh(fixture.view(), "refresh=all").text ==
        "3 of 8 certificates will be fetched; the others: issuer not known (1), no responder (2), only from a file, "
        "which is read when it changes (1), expired itself (1); no worker fetches now, the next one will");
  const auto named = [&fixture](std::size_t i) {
    return refresh(fixture.view(), "refresh=leaf" + std::to_string(i) + ".example");
  };
  CHECK(named(3).http_status == 404);
  CHECK(named(3).text == "certificate \"leaf3.example\" will not be fetched: no responder");
  CHECK(named(6).text == "certificate \"leaf6.example\" will not be fetched: expired itself");
}

TEST_CASE("control: one certificate is fetched again, not sooner than failures would be", "[admin][control]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  fixture.add(1, {&responder});
  fixture.add(2, {&responder});
  fixture.add(3, {});
  fixture.open();
  fixture.work(2000);
  const auto id = [&fixture](std::size_t i) { return to_hex(fixture.catalog.targets()[i]->certificate.id); };
  const Answer soon = refresh(fixture.view(), "refresh=" + id(1));
  CHECK(soon.http_status == 429);
  CHECK(soon.text == "certificate \"leaf2.example\" will not be fetched: fetched less than 5s ago");
  fixture.work(5000);
  const Answer answer = refresh(fixture.view(), "refresh=" + id(1));
  CHECK(answer.http_status == 202);
  CHECK(answer.text == "certificate \"leaf2.example\" will be fetched");
  CHECK(refresh(fixture.view(), "refresh=" + id(2)).http_status == 404);
  CHECK(refresh(fixture.view(), "refresh=" + std::string(64, '0')).http_status == 404);
  fixture.work(2000);
  CHECK(responder.asked.size() == 3);
  for (const char* args : {"", "refresh=", "fetch=all"}) {
    CHECK(refresh(fixture.view(), args).http_status == 400);
  }
}

TEST_CASE("control: a name stands for the certificates that bear it and for its servers'", "[admin][control]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  for (std::size_t i = 0; i < 4; ++i) {
    fixture.add(i, {&responder});
  }
  fixture.catalog.targets()[0]->servers = {"shop.example"};
  fixture.catalog.targets()[1]->servers = {"shop.example", "www.example"};
  fixture.catalog.targets()[2]->certificate.names = {"shop.example", "Img.Example"};
  fixture.open();
  fixture.work(10000);
  const auto asked = [&](const std::string& name) {
    const std::size_t before = responder.asked.size();
    const Answer answer = refresh(fixture.view(), "refresh=" + name);
    fixture.work(10000);
    return std::make_pair(answer.http_status, responder.asked.size() - before);
  };
  CHECK(asked("shop.example") == std::make_pair(202, std::size_t{3}));
  CHECK(asked("SHOP.example") == std::make_pair(202, std::size_t{3}));
  CHECK(asked("www.example") == std::make_pair(202, std::size_t{1}));
  CHECK(asked("img.example") == std::make_pair(202, std::size_t{1}));
  CHECK(asked("CN=leaf3,O=ocsp_plus%20tests") == std::make_pair(202, std::size_t{1}));
  CHECK(asked("example") == std::make_pair(404, std::size_t{0}));
  CHECK(
      refresh(fixture.view(), "refresh=no%22where%0a").text ==
      R"(no certificate or server has the name "no\x22where\x0a": write it as the status document does; certificates )"
      "loaded per connection go by their id");
}

TEST_CASE("control: more requests than there is room for are not counted as fetched", "[admin][control]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  for (std::size_t i = 0; i < 70; ++i) {
    fixture.catalog.targets()[fixture.add(i, {&responder})]->servers = {"many.example"};
  }
  fixture.open();
  const Answer answer = refresh(fixture.view(), "refresh=many.example");
  CHECK(answer.http_status == 202);
  CHECK(answer.text ==
        "64 of 70 certificates will be fetched; the others: too many requests wait, try again in a second (6); no "
        "worker fetches now, the next one will");
  const std::string last = to_hex(fixture.catalog.targets()[69]->certificate.id);
  CHECK(refresh(fixture.view(), "refresh=" + last).http_status == 503);
}

TEST_CASE("control: a failing responder is asked at once", "[admin][control]") {
  AdminFixture fixture;
  bool fail = true;
  const auto good = fixture.good_answers(3 * 86400);
  auto& responder = fixture.server([&fail, good](const std::string& head) {
    return fail ? std::string("HTTP/1.1 503 Busy\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n") : good(head);
  });
  fixture.add(1, {&responder});
  fixture.open();
  fixture.work(10000);
  CHECK(fixture.stapled() == 0);
  fail = false;
  const std::string waits = "; 1 waits for an answer of " + fixture.catalog.hosts().front() +
                            " (http_status), which fails and is tried now";
  SECTION("by asking for all") {
    const Answer answer = refresh(fixture.view(), "refresh=all");
    CHECK(answer.http_status == 202);
    CHECK(answer.text == "certificate \"leaf1.example\" will be fetched" + waits);
  }
  SECTION("by asking for the certificate") {
    const Answer answer = refresh(fixture.view(), "refresh=" + to_hex(fixture.catalog.targets()[0]->certificate.id));
    CHECK(answer.http_status == 202);
    CHECK(answer.text == "certificate \"leaf1.example\" will be fetched" + waits);
  }
  fixture.work(2000);
  CHECK(fixture.stapled() == 1);
}

TEST_CASE("status: certificates that wait for a failing responder say what it says and when it is probed",
          "[admin][waiting]") {
  AdminFixture fixture;
  auto& responder = fixture.server(AdminFixture::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
  auto& other = fixture.server(AdminFixture::hang());
  for (std::size_t i = 0; i < 50; ++i) {
    fixture.add(i, {&responder});
  }
  fixture.add(60, {&responder, &other});
  fixture.open();
  fixture.work(60000);
  std::set<std::string> probes;
  for (const nlohmann::json& certificate : certificates(fixture)) {
    INFO(certificate.dump());
    REQUIRE(certificate["last_attempt"].is_object());
    REQUIRE(certificate["next_attempt"].is_string());
    if (certificate["names"][0] != "leaf60.example") {
      CHECK(certificate["last_attempt"]["result"] == "http_status");
      CHECK(certificate["last_attempt"]["responder"].get<std::string>().rfind(responder.url(), 0) == 0);
      CHECK(certificate["next_attempt"] > to_rfc3339(fixture.loop.clock.now() - 2));
    }
  }
  // Most of them were never asked for themselves.
  std::size_t waiting = 0;
  for (const nlohmann::json& certificate : certificates(fixture)) {
    const auto& detail = certificate["last_attempt"]["detail"];
    waiting += detail.is_string() && detail.get<std::string>().rfind("waits for its responder", 0) == 0 ? 1 : 0;
  }
  CHECK(waiting > 30);

  responder.answer = fixture.good_answers(86400);
  other.answer = fixture.good_answers(86400);
  fixture.work(3700000);
  for (const nlohmann::json& certificate : certificates(fixture)) {
    CHECK(certificate["last_attempt"]["result"] == "ok");
  }
}

TEST_CASE("status: behind a proxy that fails, certificates say what it says", "[admin][waiting]") {
  AdminFixture fixture;
  auto& proxy = fixture.server(AdminFixture::always("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n"));
  fixture.settings.proxy = net::Proxy::parse(proxy.url()).value();
  for (std::size_t i = 0; i < 30; ++i) {
    fixture.add(i, {&fixture.server()});
  }
  fixture.open();
  fixture.work(60000);
  for (const nlohmann::json& certificate : certificates(fixture)) {
    INFO(certificate.dump());
    REQUIRE(certificate["last_attempt"].is_object());
    CHECK(certificate["last_attempt"]["result"] == "proxy_auth");
    CHECK(certificate["next_attempt"].is_string());
  }
}

TEST_CASE("status: how old a status is since its responder confirmed it", "[admin]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.open();
  CHECK(fixture.json()["certificates"][0]["status_age"].is_null());
  fixture.work(1000);
  auto certificate = fixture.json()["certificates"][0];
  CHECK(certificate["status_age"] <= 1);
  fixture.loop.clock.advance(7200000);
  certificate = fixture.json()["certificates"][0];
  CHECK(certificate["status_age"] >= 7200);
  CHECK(certificate["status_age"] <= 7202);
  CHECK(certificate["confirmed_at"] ==
        to_rfc3339(fixture.loop.clock.now() - certificate["status_age"].get<Seconds>()));
  const std::string metrics = fixture.show(Format::kPrometheus).text;
  CHECK(metrics.find("ocsp_plus_status_age_seconds{") != std::string::npos);
}

TEST_CASE("status: the bound that a status's age is compared with", "[admin]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server()});
  fixture.open();
  fixture.work(1000);
  CHECK(fixture.json()["certificates"][0]["refresh"].is_null());
  CHECK(fixture.show(Format::kPrometheus).text.find("ocsp_plus_refresh_seconds{") == std::string::npos);
  fixture.catalog.targets()[0]->refresh = 900;
  CHECK(fixture.json()["certificates"][0]["refresh"] == 900);
  const std::string metrics = fixture.show(Format::kPrometheus).text;
  const std::size_t at = metrics.find("ocsp_plus_refresh_seconds{");
  REQUIRE(at != std::string::npos);
  CHECK(metrics.substr(metrics.find("} ", at), 6) == "} 900\n");
}

// test_leaf() ends far ahead: the clock goes there.
TEST_CASE("status: a certificate that has ended is asked for by nobody and waited for by nobody", "[admin][ended]") {
  AdminFixture fixture;
  auto& responder = fixture.server();
  fixture.add(1, {&responder});
  fixture.add(2, {&responder});
  fixture.open();
  fixture.work(1000);
  REQUIRE(responder.asked.size() == 2);
  const UnixSeconds end = fixture.catalog.targets()[0]->certificate.not_after;
  fixture.loop.clock.jump(end - fixture.loop.clock.now() + 86400);
  const std::size_t asked = responder.asked.size();
  fixture.work(200000);
  CHECK(responder.asked.size() == asked);
  CHECK(fixture.log.count("certificates have expired") == 0);  // it may be the clock
  fixture.work(200000);
  CHECK(fixture.log.count("certificates have expired") == 1);
  CHECK(fixture.log.count("certificates=2") >= 1);
  fixture.work(4000000);
  CHECK(fixture.log.count("certificates have expired") == 1);
  CHECK(responder.asked.size() == asked);
  CHECK(fixture.log.count("no response, nothing is stapled") == 0);

  const auto shown = fixture.json("state=ended");
  REQUIRE(shown["certificates"].size() == 2);
  CHECK(shown["certificates"][0]["state"] == "ended");
  CHECK(shown["certificates"][0]["next_attempt"].is_null());
  CHECK(fixture.show(Format::kReady, "strict=1").status == 200);
  CHECK(fixture.show(Format::kPrometheus).text.find("ocsp_plus_certificates{role=\"leaf\",state=\"ended\"} 2") !=
        std::string::npos);

  fixture.loop.clock.jump(-(end - fixture.loop.clock.now() + 2 * 86400 + 10000));
  fixture.work(5000);
  CHECK(fixture.json()["certificates"][0]["state"] == "valid");
}

TEST_CASE("ready: a new zone does not wait for certificates that have ended", "[admin][ended]") {
  AdminFixture fixture;
  fixture.add(1, {&fixture.server(AdminFixture::hang())});
  fixture.open();
  fixture.loop.clock.jump(fixture.catalog.targets()[0]->certificate.not_after - fixture.loop.clock.now() + 5);
  fixture.catalog.targets()[0]->required = true;
  fixture.work(2000);
  CHECK(fixture.show(Format::kReady).status == 200);
}

}  // namespace
}  // namespace ocsp_plus::admin
