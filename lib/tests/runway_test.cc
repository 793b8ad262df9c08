// Worked examples: how many certificates hang on each part, and when the first client would notice its failure.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "store/shared_stats.h"
#include "store/zone_writer.h"
#include "tests/fakes/admin_fixture.h"

namespace ocsp_plus::admin {
namespace {

using testing::kDay;
using testing::kHour;

struct RunwayFixture : testing::AdminFixture {
  // Adds certificate `number` of the CA; returns its index.
  std::size_t add(const testing::Identity& leaf, const testing::Identity& ca, const std::vector<std::string>& urls,
                  const std::vector<std::string>& files = {}) {
    engine::ServerCertificate server_certificate;
    server_certificate.leaf = leaf.get();
    server_certificate.issuers = {ca.get()};
    server_certificate.responders.assign(urls.begin(), urls.end());
    server_certificate.files.assign(files.begin(), files.end());
    (void)catalog.add(server_certificate).value();
    return catalog.targets().size() - 1;
  }
  std::size_t add(std::size_t number, const std::vector<std::string>& urls,
                  const std::vector<std::string>& files = {}) {
    return add(testing::test_leaf(number), testing::test_ca(), urls, files);
  }

  // Has the certificate hold a response that expires in that time.
  void hold(std::size_t index, Seconds expires_in, crypto::CertStatus status = crypto::CertStatus::kGood) {
    const engine::Target& target = *catalog.targets()[index];
    store::ZoneWriter writer(zone, lock, loop.clock, 0, 0);
    store::BlobHeader header = {};
    header.id = target.certificate.id;
    header.issuer_key = target.issuer->key_sha256();
    header.this_update = loop.clock.now() - kDay;
    header.expires = loop.clock.now() + expires_in;
    header.cert_status = static_cast<std::uint8_t>(status);
    REQUIRE(writer.publish(target.entry, header, Bytes(100)));
  }

  // One line a part: kind, name, certificates, seconds.
  std::vector<std::string> runway(std::string_view args = {}) const {
    std::vector<std::string> lines;
    const auto document = json(args);
    for (const auto& each : document["runway"]) {
      lines.push_back(fmt::format("{} {} {} {}", each["kind"].get<std::string>(), each["name"].get<std::string>(),
                                  each["certificates"].get<int>(), each["expires_in"].dump()));
      const auto& expires = each["expires"];
      CHECK(expires.is_null() == each["expires_in"].is_null());
      if (expires.is_string()) {
        CHECK(expires == to_rfc3339(loop.clock.now() + each["expires_in"].get<Seconds>()));
      }
      CHECK(each.value("at", "") == (each["kind"] == "cache" ? "restart" : ""));
    }
    return lines;
  }
};

testing::Identity leaf_until(UnixSeconds not_after, std::uint8_t serial) {
  testing::CertificateSpec spec;
  spec.subject = "until" + std::to_string(serial);
  spec.serial = {serial};
  spec.not_after = not_after;
  return testing::make_certificate(spec, testing::key(testing::KeyType::kP256, "leaf"), &testing::test_ca());
}

TEST_CASE("runway: certificates hang on what all of their ways lead through", "[admin][runway]") {
  RunwayFixture f;
  const testing::Identity other_ca = testing::make_ca("Other CA");
  const testing::Identity other = testing::make_leaf(other_ca, "other.example", "http://c.example/");
  const auto one_host = f.add(1, {"http://a.example/"});
  const auto two_hosts = f.add(2, {"http://a.example/", "http://b.example/"});
  f.add(3, {"http://a.example/"});  // has no staple
  const auto literal = f.add(4, {"http://192.0.2.1/"});
  const auto two_paths = f.add(5, {"http://a.example/x", "http://a.example/y"});
  const auto with_file = f.add(6, {"http://a.example/"}, {"/etc/ocsp/6.der"});
  const auto revoked = f.add(7, {"http://a.example/"});
  const auto expired = f.add(8, {"http://a.example/"});
  const auto ended = f.add(leaf_until(testing::kNow, 9), testing::test_ca(), {"http://a.example/"});
  const auto without = f.add(10, {});
  const auto of_other_ca = f.add(other, other_ca, {});
  const auto local = f.add(12, {"http://localhost:8080/"});
  const auto last_one = f.add(leaf_until(testing::kNow + 2 * kHour, 13), testing::test_ca(), {"http://a.example/"});
  f.settings.resolver.servers = {"192.0.2.53", "[2001:db8::53]:5353"};
  f.settings.cache = "/var/cache/x";
  CHECK(f.runway().empty());  // without a zone there are no staples

  f.open();
  f.hold(one_host, 4 * kDay);
  f.hold(two_hosts, kHour);
  f.hold(literal, 2 * kDay);
  f.hold(two_paths, 3 * kDay);
  f.hold(with_file, 60);
  f.hold(revoked, 1800, crypto::CertStatus::kRevoked);
  f.hold(expired, -1);
  f.hold(ended, 60);
  f.hold(without, 10);
  f.hold(of_other_ca, 5 * kDay);
  f.hold(local, 6 * kHour);
  f.hold(last_one, 2 * kHour);
  const std::vector<std::string> expected = {"issuer CN=Engine CA,O=ocsp_plus tests 9 3600",
                                             "resolver 192.0.2.53, [2001:db8::53]:5353 8 3600",
                                             "responder localhost:8080 1 21600",
                                             "responder 192.0.2.1:80 1 172800",
                                             "responder a.example:80 6 259200",
                                             "responder c.example:80 1 432000",
                                             "issuer CN=Other CA,O=ocsp_plus tests 1 432000",
                                             "cache /var/cache/x 9 null",
                                             "responder b.example:80 0 null"};
  CHECK(f.runway() == expected);
  CHECK(f.runway("state=revoked&limit=1") == expected);  // whatever is listed

  const std::string metrics = f.show(Format::kPrometheus).text;
  for (const std::string line : {"_seconds{kind=\"responder\",name=\"a.example:80\"} 259200",
                                 "_certificates{kind=\"responder\",name=\"a.example:80\"} 6",
                                 "_certificates{kind=\"responder\",name=\"b.example:80\"} 0",
                                 "_certificates{kind=\"cache\",name=\"/var/cache/x\"} 9",
                                 "_seconds{kind=\"issuer\",name=\"CN=Other CA,O=ocsp_plus tests\"} 432000"}) {
    CAPTURE(line);
    CHECK(metrics.find("\nocsp_plus_runway" + line + "\n") != std::string::npos);
  }
  CHECK(metrics.find("runway_seconds{kind=\"cache\"") == std::string::npos);
  CHECK(metrics.find("runway_seconds{kind=\"responder\",name=\"b.example:80\"") == std::string::npos);

  // An hour later the first of them has no staple: nobody waits for it any more.
  f.loop.clock.advance(3600 * Millis{1000});
  CHECK(f.runway().front() == "issuer CN=Engine CA,O=ocsp_plus tests 9 18000");
}

TEST_CASE("runway: behind a proxy", "[admin][runway]") {
  RunwayFixture f;
  const auto named = f.add(1, {"http://a.example/"});
  const auto literal = f.add(2, {"http://192.0.2.1/"});
  f.settings.resolver.servers.clear();
  f.open();
  f.hold(named, kDay);
  f.hold(literal, kHour);
  const std::string of_issuer = "issuer CN=Engine CA,O=ocsp_plus tests 2 3600",
                    of_literal = "responder 192.0.2.1:80 1 3600", of_named = "responder a.example:80 1 86400";
  CHECK(f.runway() == std::vector<std::string>{of_issuer, of_literal, of_named, "resolver system 1 86400"});
  // The proxy looks names up, and its own name is looked up by us.
  f.settings.proxy = net::Proxy::parse("http://user:secret@proxy.example:3128").value();
  CHECK(f.runway() == std::vector<std::string>{of_issuer, "resolver system 2 3600", "proxy proxy.example:3128 2 3600",
                                               of_literal, of_named});
  CHECK(f.json().dump().find("secret") == std::string::npos);
  f.settings.proxy = net::Proxy::parse("http://192.0.2.9:3128").value();
  CHECK(f.runway() == std::vector<std::string>{of_issuer, "proxy 192.0.2.9:3128 2 3600", of_literal, of_named});
}

// --- connections by address family ---

constexpr Millis kMinute = 60000;

struct FamiliesFixture : RunwayFixture {
  FamiliesFixture() {
    loop.clock.advance(10 * kMinute);
    add(1, {"http://a.example/"});
    open();
  }
  void ipv4(bool ok) { record(ok, false, AF_INET); }
  void ipv6(bool ok, bool without_route = false) { record(ok, without_route, AF_INET6); }
  void record(bool ok, bool without_route, int family) {
    HostFamilies since;
    ok ? since.of(family).record_success(loop.clock.monotonic())
       : since.of(family).record_failure(loop.clock.monotonic(), without_route);
    store::record_connections(zone, "a.example:80", since);
  }
  // How long ago the last success, the last failure and the first failure since were; "-": never.
  std::string shown(const std::string& family) const {
    const auto json = this->json()["responders"][0][family];
    std::string text;
    for (const char* name : {"last_ok", "last_failed", "failing_since"}) {
      const auto& time = json[name];
      text += time.is_null() ? "- " : fmt::format("{} ", loop.clock.now() - parse_rfc3339(time));
    }
    text.pop_back();
    return text;
  }
  static UnixSeconds parse_rfc3339(const std::string& text) {
    std::tm tm = {};
    REQUIRE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &tm) != nullptr);
    return timegm(&tm);
  }
  std::string sample(const std::string& metric, const std::string& family) const {
    const std::string text = show(Format::kPrometheus).text;
    const std::string series =
        "\nocsp_plus_responder_" + metric + "{responder=\"a.example:80\",family=\"" + family + "\"} ";
    const std::size_t at = text.find(series);
    return at == std::string::npos ? "-"
                                   : text.substr(at + series.size(), text.find('\n', at + 1) - at - series.size());
  }
  std::string failing(const std::string& family) const { return sample("family_failing_seconds", family); }
  std::string connected(const std::string& family) const { return sample("last_connection_age_seconds", family); }
};

TEST_CASE("families: one that fails is told from one that is not used", "[admin][families]") {
  FamiliesFixture f;
  CHECK(f.shown("ipv4") == "- - -");
  CHECK(f.failing("ipv4") == "-");
  CHECK(f.connected("ipv4") == "-");

  f.ipv4(true);
  f.ipv6(false);
  f.loop.clock.advance(kMinute);
  f.ipv6(false);
  f.loop.clock.advance(kMinute);
  CHECK(f.shown("ipv4") == "120 - -");
  CHECK(f.shown("ipv6") == "- 60 120");
  CHECK(f.connected("ipv4") == "120");
  CHECK(f.connected("ipv6") == "-");
  CHECK(f.failing("ipv4") == "0");
  CHECK(f.failing("ipv6") == "120");

  // The wall clock is set: ages stay.
  f.loop.clock.jump(7 * kDay);
  CHECK(f.shown("ipv6") == "- 60 120");
  CHECK(f.failing("ipv6") == "120");

  // A success ends it, and the next failure begins anew.
  f.ipv6(true);
  CHECK(f.shown("ipv6") == "0 60 -");
  CHECK(f.failing("ipv6") == "0");
  f.loop.clock.advance(kMinute);
  f.ipv6(false);
  CHECK(f.shown("ipv6") == "60 0 0");

  // The host has no address of that family any more: the other one works, and this one is not tried.
  f.loop.clock.advance(19 * kMinute);
  f.ipv4(true);
  CHECK(f.failing("ipv6") == "1140");
  f.loop.clock.advance(2 * kMinute);
  f.ipv4(true);
  CHECK(f.shown("ipv6") == "1320 1260 -");
  CHECK(f.failing("ipv6") == "0");
  // Nothing works: it is still told, however long ago it was tried.
  f.ipv6(false);
  f.ipv4(false);
  f.loop.clock.advance(24 * 60 * kMinute);
  CHECK(f.failing("ipv6") == "87660");
  CHECK(f.failing("ipv4") == "86400");
}

TEST_CASE("families: a machine that has never had one does not fail by it", "[admin][families]") {
  FamiliesFixture f;
  f.ipv6(false, true);
  CHECK(f.shown("ipv6") == "- - -");
  CHECK(f.failing("ipv6") == "-");
  f.ipv6(true);
  f.ipv6(false, true);
  f.loop.clock.advance(kMinute);
  CHECK(f.shown("ipv6") == "60 60 60");
  CHECK(f.failing("ipv6") == "60");
}

TEST_CASE("families: what nobody can have written is absent", "[admin][families]") {
  FamiliesFixture f;
  HostFamilies scribbled;
  scribbled.ipv4 = {INT64_MAX, INT64_MIN, f.loop.clock.monotonic() + 1, false};
  store::record_connections(f.zone, "a.example:80", scribbled);
  CHECK(f.shown("ipv4") == "- - -");
  CHECK(f.failing("ipv4") == "-");
}

TEST_CASE("families: the designated worker records them, and keeps what its predecessor knew", "[admin][families]") {
  testing::AdminFixture f;
  auto& responder = f.server();
  f.add(1, {&responder});
  f.open();
  const std::string host = f.json()["responders"][0]["host"];
  HostFamilies before;
  before.ipv6.record_failure(f.loop.clock.monotonic(), false);
  store::record_connections(f.zone, host, before);
  f.work(2000);
  CHECK(f.json()["responders"][0]["state"] == "up");
  CHECK(f.json()["responders"][0]["ipv4"]["last_ok"].is_string());
  CHECK(f.json()["responders"][0]["ipv6"]["failing_since"].is_string());
  f.contender.reset();
  f.work(2000);  // with another
  CHECK(f.json()["responders"][0]["ipv6"]["failing_since"].is_string());

  const testing::MmapZone larger(4 << 20);
  const store::StapleZone next = larger.format();
  store::copy_stats(f.zone, next, f.loop.clock.monotonic());
  const auto copied = store::HostTable(next).find(host);
  REQUIRE(copied.has_value());
  CHECK(copied->families.ipv4.ok > 0);
  CHECK(copied->families.ipv6.failing_since > 0);
}

TEST_CASE("families: histories are joined as if they were one", "[families]") {
  struct Case {
    const char* before;  // o: success, x: failure, n: failure without a route; a second each
    const char* later;
    FamilyTimes expected;
  };
  for (const Case& c :
       {Case{"", "o", {3, 0, 0}}, Case{"", "x", {0, 3, 3}}, Case{"x", "x", {0, 3, 1}}, Case{"o", "x", {1, 3, 3}},
        Case{"x", "o", {3, 1, 0}}, Case{"x", "ox", {3, 4, 4}}, Case{"ox", "xo", {4, 3, 0}},
        Case{"ox", "xx", {1, 4, 2}}, Case{"", "n", {0, 0, 0}}, Case{"o", "n", {1, 3, 3}}, Case{"x", "n", {0, 1, 1}},
        Case{"", "nx", {0, 4, 3}}, Case{"", "on", {3, 4, 4}}, Case{"", "", {0, 0, 0}}, Case{"x", "", {0, 1, 1}}}) {
    CAPTURE(c.before, c.later);
    const auto record = [](const char* what, Millis at) {
      FamilyTimes times;
      for (; *what != '\0'; ++what, ++at) {
        *what == 'o' ? times.record_success(at) : times.record_failure(at, *what == 'n');
      }
      return times;
    };
    FamilyTimes all = record(c.before, 1);
    all.append(record(c.later, 3));
    CHECK(all.ok == c.expected.ok);
    CHECK(all.failed == c.expected.failed);
    CHECK(all.failing_since == c.expected.failing_since);
  }
}

}  // namespace
}  // namespace ocsp_plus::admin
