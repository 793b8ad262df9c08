// The status document and readiness, of an engine at work.
#include <catch2/catch.hpp>
#include <set>

#include "admin/control.h"
#include "store/lease.h"
#include "tests/fakes/admin_house.h"

namespace ocsp_plus::admin {
namespace {

using testing::AdminHouse;
using testing::test_leaf;

std::vector<nlohmann::json> certificates(const AdminHouse& house) {
  return house.json()["certificates"].get<std::vector<nlohmann::json>>();
}

TEST_CASE("status: of a certificate before and after its response came", "[admin]") {
  AdminHouse house;
  auto& responder = house.server();
  house.add(1, {&responder});
  house.open();
  auto shown = house.json();
  CHECK(shown["version"] == OCSP_PLUS_VERSION);
  CHECK(shown["zone"]["name"] == "ocsp_plus");
  CHECK(shown["zone"]["entries"] == 1);
  CHECK(shown["zone"]["size"] == house.zone.size());
  CHECK(shown["worker"].is_null());
  CHECK(shown["clock_skew"].is_null());
  CHECK(shown["next"].is_null());
  REQUIRE(shown["certificates"].size() == 1);
  auto certificate = shown["certificates"][0];
  CHECK(certificate["state"] == "pending");
  CHECK(certificate["names"] == nlohmann::json({"leaf1.example"}));
  CHECK(certificate["serial"] == "100001");
  CHECK(certificate["expires_in"].is_null());
  CHECK(certificate["last_attempt"].is_null());

  house.work(1000);
  house.zone.count_stapled(house.catalog.target(0).entry);
  house.zone.handshakes(0).stapled.fetch_add(3);
  house.zone.handshakes(1).missing.fetch_add(2);
  house.zone.handshakes(1).refused.fetch_add(1);
  house.zone.handshakes(2).foreign.fetch_add(4);
  house.zone.handshakes(2).replaced.fetch_add(7);
  shown = house.json();
  certificate = shown["certificates"][0];
  CHECK(certificate["id"] == to_hex(house.catalog.target(0).certificate.id));
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
  CHECK(shown["handshakes"] ==
        nlohmann::json({{"requested", 10}, {"stapled", 3}, {"missing", 7}, {"refused", 1}, {"foreign", 4}}));
  CHECK(shown["callbacks_replaced"] == 7);
  REQUIRE(shown["responders"].size() == 1);
  CHECK(shown["responders"][0]["state"] == "up");
}

TEST_CASE("status: a heartbeat that is not beaten any more gets old", "[admin]") {
  AdminHouse house;
  house.add(1, {&house.server()});
  house.open();
  house.work(1000);
  const std::string now = to_rfc3339(house.loop.clock.now());
  CHECK(house.json()["worker"]["heartbeat"] == now);
  house.zone.header().lease.heartbeat -= 20000;
  CHECK(house.json()["worker"]["heartbeat"] == to_rfc3339(house.loop.clock.now() - 20));
}

TEST_CASE("status: whether the cache directory can be used", "[admin]") {
  AdminHouse house;
  house.add(1, {&house.server()});
  const nlohmann::json off = {{"path", nullptr}, {"state", "off"}, {"reason", nullptr}, {"since", nullptr}};
  const auto usable = [&house] {
    const std::string text = house.show(Format::kPrometheus).text;
    const std::size_t at = text.find("\nocsp_plus_cache_usable ");
    return at == std::string::npos ? "absent" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
  };
  house.settings.cache = "/var/cache/x";
  CHECK(house.json()["cache"] == off);  // without a zone nobody uses it
  house.open();
  nlohmann::json works = off;
  works["state"] = "works";
  works["path"] = "/var/cache/x";
  CHECK(house.json()["cache"] == works);
  CHECK(usable() == "ocsp_plus_cache_usable 1");

  store::record_cache_failure(house.zone, Reason::kDiskFull, testing::kNow - 60);
  nlohmann::json failing = works;
  failing["state"] = "failing";
  failing["reason"] = "disk_full";
  failing["since"] = to_rfc3339(testing::kNow - 60);
  CHECK(house.json()["cache"] == failing);
  CHECK(usable() == "ocsp_plus_cache_usable 0");

  house.zone.board().cache_failing_since = INT64_MIN;  // scribbled
  house.zone.board().cache_reason = 77777;
  failing["since"] = nullptr;
  failing["reason"] = "not_checked";
  CHECK(house.json()["cache"] == failing);

  house.settings.cache.clear();
  CHECK(house.json()["cache"] == off);
  CHECK(usable() == "absent");
}

TEST_CASE("status: why the last attempt failed, and the responder's health", "[admin]") {
  AdminHouse house;
  auto& responder = house.server(AdminHouse::always("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"));
  house.add(1, {&responder});
  house.open();
  house.work(1000);
  const auto shown = house.json();
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
  AdminHouse house;
  auto& responder = house.server();
  house.add(1, {&responder});
  house.add(2, {});
  house.open();
  house.work(1000);
  CHECK(house.json("state=unsupported")["certificates"].size() == 1);
  CHECK(house.json("state=valid")["certificates"].size() == 1);
  house.loop.clock.jump(4 * 86400);
  CHECK(house.json("state=expired")["certificates"].size() == 1);
  CHECK(house.json("state=expired")["certificates"][0]["expires_in"] < 0);
  house.loop.clock.jump(-20 * 86400);
  CHECK(house.json("state=expired")["certificates"].size() == 1);  // from the future
}

TEST_CASE("status: pages of certificates meet each once", "[admin]") {
  AdminHouse house;
  for (std::size_t i = 0; i < 25; ++i) {
    house.add(i, {});
  }
  house.open();
  std::set<std::string> seen;
  std::string args = "limit=10";
  std::vector<std::size_t> sizes;
  for (int page = 0; page < 4 && !args.empty(); ++page) {
    const auto shown = house.json(args);
    sizes.push_back(shown["certificates"].size());
    for (const auto& certificate : shown["certificates"]) {
      CHECK(seen.insert(certificate["id"]).second);
    }
    args = shown["next"].is_null() ? "" : "limit=10&after=" + shown["next"].get<std::string>();
  }
  CHECK(sizes == std::vector<std::size_t>{10, 10, 5});
  CHECK(seen.size() == 25);
  CHECK(house.json("limit=25")["next"].is_null());
  const std::string id = *seen.begin();
  CHECK(house.json("id=" + id)["certificates"].size() == 1);
  CHECK(house.json("id=" + std::string(64, '0'))["certificates"].empty());
  CHECK(house.json("server=nobody")["certificates"].empty());
}

TEST_CASE("status: by the server that uses it", "[admin]") {
  AdminHouse house;
  engine::Mention mention;
  mention.leaf = test_leaf(1).get();
  mention.issuers = {testing::test_ca().get()};
  mention.servers = {"b.example", "a.example", "b.example"};
  REQUIRE(house.catalog.add(mention).has_value());
  mention.servers = {"c.example"};
  REQUIRE(house.catalog.add(mention).has_value());
  house.open();
  CHECK(house.json("server=c.example")["certificates"].size() == 1);
  CHECK(house.json("server=d.example")["certificates"].empty());
  CHECK(house.json()["certificates"][0]["servers"] == nlohmann::json({"a.example", "b.example", "c.example"}));
}

TEST_CASE("status: many certificates come in pieces of bounded size", "[admin]") {
  AdminHouse house(8 << 20);
  for (std::size_t i = 0; i < 1000; ++i) {
    house.add(i, {});
  }
  house.open();
  const auto shown = house.show(Format::kJson);
  CHECK(nlohmann::json::parse(shown.text)["certificates"].size() == 1000);
  CHECK(shown.pieces > 10);
  CHECK(shown.largest < 2 * kPieceBytes);
  const auto metrics = house.show(Format::kPrometheus);
  CHECK(metrics.pieces > 10);
  CHECK(metrics.largest < 2 * kPieceBytes);
  // what is filtered out is looked at in portions, too
  CHECK(house.show(Format::kJson, "state=revoked").pieces == 1000 / kPieceCertificates);
}

TEST_CASE("status: a listing that cannot go on says so", "[admin]") {
  AdminHouse house;
  house.add(1, {&house.server()});
  house.open();
  const std::string gone(64, 'a');
  for (const std::string& args : {std::string(), "after=" + gone, "id=" + gone, "loaded=1&id=" + gone,
                                  std::string("loaded=1"), std::string("limit=1")}) {
    CAPTURE(args);
    CHECK(house.json(args)["ended_early"] == false);
  }
  const auto shown = house.json("loaded=1&after=" + gone);
  CHECK(shown["ended_early"] == true);
  CHECK(shown["certificates"].empty());
  CHECK(shown["next"].is_null());
}

TEST_CASE("status: nonsense in the zone changes no more than what it says", "[admin]") {
  AdminHouse house;
  house.add(1, {&house.server()});
  house.open();
  house.work(1000);
  testing::TestRandom random(7);
  for (int round = 0; round < 200; ++round) {
    std::uint8_t* const bytes = house.memory.data();
    const std::size_t from = random.below(house.zone.geometry().arena + 4096);
    random.fill(bytes + from, std::min<std::size_t>(64, house.memory.size() - from));
    const auto shown = house.json();
    CHECK(shown["certificates"].size() == 1);
    CHECK(shown["certificates"][0]["subject"] == "CN=leaf1,O=ocsp_plus tests");
    (void)house.show(Format::kPrometheus);
    (void)house.show(Format::kReady, "strict=1");
  }
}

TEST_CASE("status: without a zone there is nothing to tell, and it is ready", "[admin]") {
  AdminHouse house;
  CHECK(house.json()["certificates"].empty());
  CHECK(house.show(Format::kReady).status == 200);
  CHECK(house.show(Format::kPrometheus).text.find("ocsp_plus_ready 1\n") != std::string::npos);
  CHECK(refresh(house.view(), "refresh=all").http_status == 404);
}

TEST_CASE("status: an argument that makes no sense is 400", "[admin]") {
  AdminHouse house;
  house.open();
  const auto shown = house.show({}, "state=gone");
  CHECK(shown.status == 400);
  CHECK(shown.type == "text/plain; charset=utf-8");
}

// --- readiness ---

TEST_CASE("ready: when each certificate is stapled or was tried, and from then on for good", "[admin][ready]") {
  AdminHouse house;
  auto& good = house.server();
  auto& bad = house.server(AdminHouse::always("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
  house.add(1, {&good});
  house.add(2, {&bad});
  house.add(3, {});
  house.open();
  const auto before = house.show(Format::kReady);
  CHECK(before.status == 503);
  CHECK(
      before.text ==
      "not ready: the first round is not over, certificate \"leaf1.example\" has no staple yet and was not tried\n");
  house.work(2000);
  CHECK(house.show(Format::kReady).status == 200);
  const auto strict = house.show(Format::kReady, "strict=1");
  CHECK(strict.status == 503);
  CHECK(strict.text == "not ready: certificate \"leaf2.example\" has no valid staple\n");
  CHECK(house.show(Format::kReady, "strict=0").status == 200);
  house.loop.clock.jump(30 * 86400);  // everything has ended
  CHECK(house.show(Format::kReady).status == 200);
  CHECK(house.show(Format::kReady, "strict=1").status == 503);
}

TEST_CASE("ready: after a minute without waiting for the rest", "[admin][ready]") {
  AdminHouse house;
  house.add(1, {&house.server(AdminHouse::hang())});
  house.open();
  CHECK(house.show(Format::kReady).status == 503);
  house.loop.clock.advance(59000);
  CHECK(house.show(Format::kReady).status == 503);
  house.loop.clock.advance(1000);
  CHECK(house.show(Format::kReady).status == 200);
}

TEST_CASE("ready: not without a staple that a server requires", "[admin][ready]") {
  AdminHouse house;
  auto& responder = house.server(AdminHouse::always("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
  const auto index = house.add(1, {&responder});
  house.catalog.target(index).required = true;
  house.open();
  house.work(70000);
  const auto shown = house.show(Format::kReady);
  CHECK(shown.status == 503);
  CHECK(shown.text.find("is required to have a staple and has none") != std::string::npos);
}

TEST_CASE("ready: the worker notes it, though nobody asks", "[admin][ready]") {
  AdminHouse house;
  house.add(1, {&house.server()});
  house.open();
  house.work(2000);
  CHECK(house.zone.board().settled == 1);
}

// --- control ---

TEST_CASE("control: all are fetched again, once a minute", "[admin][control]") {
  AdminHouse house;
  auto& responder = house.server();
  for (std::size_t i = 0; i < 5; ++i) {
    house.add(i, {&responder});
  }
  house.open();
  house.work(2000);
  CHECK(responder.asked.size() == 5);
  const Answer answer = refresh(house.view(), "refresh=all");
  CHECK(answer.http_status == 202);
  CHECK(answer.text == "5 certificates will be fetched");
  CHECK(refresh(house.view(), "refresh=all").http_status == 429);
  house.work(2000);
  CHECK(responder.asked.size() == 10);
  house.work(60000);
  CHECK(responder.asked.size() == 10);
  CHECK(refresh(house.view(), "refresh=all").http_status == 202);
}

TEST_CASE("control: one certificate is fetched again, not sooner than failures would be", "[admin][control]") {
  AdminHouse house;
  auto& responder = house.server();
  house.add(1, {&responder});
  house.add(2, {&responder});
  house.add(3, {});
  house.open();
  house.work(2000);
  const auto id = [&house](engine::Catalog::Index i) { return to_hex(house.catalog.target(i).certificate.id); };
  CHECK(refresh(house.view(), "refresh=" + id(1)).http_status == 429);
  house.work(5000);
  CHECK(refresh(house.view(), "refresh=" + id(1)).http_status == 202);
  CHECK(refresh(house.view(), "refresh=" + id(2)).http_status == 404);
  CHECK(refresh(house.view(), "refresh=" + std::string(64, '0')).http_status == 404);
  house.work(2000);
  CHECK(responder.asked.size() == 3);
  for (const char* args : {"", "refresh=", "refresh=everything", "refresh=12"}) {
    CHECK(refresh(house.view(), args).http_status == 400);
  }
}

TEST_CASE("control: a failing responder is asked at once", "[admin][control]") {
  AdminHouse house;
  bool fail = true;
  const auto good = house.good_answers(3 * 86400);
  auto& responder = house.server([&fail, good](const std::string& head) {
    return fail ? std::string("HTTP/1.1 503 Busy\r\nRetry-After: 3000\r\nContent-Length: 0\r\n\r\n") : good(head);
  });
  house.add(1, {&responder});
  house.open();
  house.work(10000);
  CHECK(house.stapled() == 0);
  fail = false;
  SECTION("by asking for all") {
    CHECK(refresh(house.view(), "refresh=all").http_status == 202);
  }
  SECTION("by asking for the certificate") {
    CHECK(refresh(house.view(), "refresh=" + to_hex(house.catalog.target(0).certificate.id)).http_status == 202);
  }
  house.work(2000);
  CHECK(house.stapled() == 1);
}

TEST_CASE("status: certificates that wait for a failing responder say what it says and when it is probed",
          "[admin][waiting]") {
  AdminHouse house;
  auto& responder = house.server(AdminHouse::always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
  auto& other = house.server(AdminHouse::hang());
  for (std::size_t i = 0; i < 50; ++i) {
    house.add(i, {&responder});
  }
  house.add(60, {&responder, &other});
  house.open();
  house.work(60000);
  std::set<std::string> probes;
  for (const nlohmann::json& certificate : certificates(house)) {
    INFO(certificate.dump());
    REQUIRE(certificate["last_attempt"].is_object());
    REQUIRE(certificate["next_attempt"].is_string());
    if (certificate["names"][0] != "leaf60.example") {
      CHECK(certificate["last_attempt"]["result"] == "http_status");
      CHECK(certificate["last_attempt"]["responder"].get<std::string>().rfind(responder.url(), 0) == 0);
      CHECK(certificate["next_attempt"] > to_rfc3339(house.loop.clock.now() - 2));
    }
  }
  // Most of them were never asked for themselves.
  std::size_t waiting = 0;
  for (const nlohmann::json& certificate : certificates(house)) {
    const auto& detail = certificate["last_attempt"]["detail"];
    waiting += detail.is_string() && detail.get<std::string>().rfind("waits for its responder", 0) == 0 ? 1 : 0;
  }
  CHECK(waiting > 30);

  responder.answer = house.good_answers(86400);
  other.answer = house.good_answers(86400);
  house.work(3700000);
  for (const nlohmann::json& certificate : certificates(house)) {
    CHECK(certificate["last_attempt"]["result"] == "ok");
  }
}

TEST_CASE("status: behind a proxy that fails, certificates say what it says", "[admin][waiting]") {
  AdminHouse house;
  auto& proxy = house.server(AdminHouse::always("HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n"));
  house.settings.proxy = net::Proxy::parse(proxy.url()).value();
  for (std::size_t i = 0; i < 30; ++i) {
    house.add(i, {&house.server()});
  }
  house.open();
  house.work(60000);
  for (const nlohmann::json& certificate : certificates(house)) {
    INFO(certificate.dump());
    REQUIRE(certificate["last_attempt"].is_object());
    CHECK(certificate["last_attempt"]["result"] == "proxy_auth");
    CHECK(certificate["next_attempt"].is_string());
  }
}

TEST_CASE("status: how old a status is since its responder confirmed it", "[admin]") {
  AdminHouse house;
  house.add(1, {&house.server()});
  house.open();
  CHECK(house.json()["certificates"][0]["status_age"].is_null());
  house.work(1000);
  auto certificate = house.json()["certificates"][0];
  CHECK(certificate["status_age"] <= 1);
  house.loop.clock.advance(7200000);
  certificate = house.json()["certificates"][0];
  CHECK(certificate["status_age"] >= 7200);
  CHECK(certificate["status_age"] <= 7202);
  CHECK(certificate["confirmed_at"] == to_rfc3339(house.loop.clock.now() - certificate["status_age"].get<Seconds>()));
  const std::string metrics = house.show(Format::kPrometheus).text;
  CHECK(metrics.find("ocsp_plus_status_age_seconds{") != std::string::npos);
}

// test_leaf() ends far ahead: the clock goes there.
TEST_CASE("status: a certificate that has ended is asked for by nobody and waited for by nobody", "[admin][ended]") {
  AdminHouse house;
  auto& responder = house.server();
  house.add(1, {&responder});
  house.add(2, {&responder});
  house.open();
  house.work(1000);
  REQUIRE(responder.asked.size() == 2);
  const UnixSeconds end = house.catalog.target(0).certificate.not_after;
  house.loop.clock.jump(end - house.loop.clock.now() + 86400);
  const std::size_t asked = responder.asked.size();
  house.work(200000);
  CHECK(responder.asked.size() == asked);
  CHECK(house.log.count("certificates have expired") == 0);  // it may be the clock
  house.work(200000);
  CHECK(house.log.count("certificates have expired") == 1);
  CHECK(house.log.count("certificates=2") >= 1);
  house.work(4000000);
  CHECK(house.log.count("certificates have expired") == 1);
  CHECK(responder.asked.size() == asked);
  CHECK(house.log.count("no response, nothing is stapled") == 0);

  const auto shown = house.json("state=ended");
  REQUIRE(shown["certificates"].size() == 2);
  CHECK(shown["certificates"][0]["state"] == "ended");
  CHECK(shown["certificates"][0]["next_attempt"].is_null());
  CHECK(house.show(Format::kReady, "strict=1").status == 200);
  CHECK(house.show(Format::kPrometheus).text.find("ocsp_plus_certificates{state=\"ended\"} 2") != std::string::npos);

  house.loop.clock.jump(-(end - house.loop.clock.now() + 2 * 86400 + 10000));
  house.work(5000);
  CHECK(house.json()["certificates"][0]["state"] == "valid");
}

TEST_CASE("ready: a new zone does not wait for certificates that have ended", "[admin][ended]") {
  AdminHouse house;
  house.add(1, {&house.server(AdminHouse::hang())});
  house.open();
  house.loop.clock.jump(house.catalog.target(0).certificate.not_after - house.loop.clock.now() + 5);
  const_cast<engine::Target&>(house.catalog.target(0)).required = true;
  house.work(2000);
  CHECK(house.show(Format::kReady).status == 200);
}

}  // namespace
}  // namespace ocsp_plus::admin
