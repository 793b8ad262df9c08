#include "admin/inventory.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "ocsp_plus/version.h"
#include "tests/pki.h"

namespace ocsp_plus::admin {
namespace {

using namespace testing;

struct Fixture {
  Fixture() {
    settings.resolver.servers = {"192.0.2.53", "[2001:db8::53]:5353"};
    settings.resolver.ipv6 = false;
    settings.resolver.timeout = 1234;
    settings.resolver.max_ttl = 56;
    settings.proxy = net::Proxy::parse("http://user:secret@proxy.example:3128").value();
    settings.issuer_fetch = false;
    settings.certid_auto = true;
    settings.policy.accept_sha256_only = true;
    settings.policy.must_be_sendable = true;
    settings.sends_chain = true;
    settings.timeout = 789;
    settings.concurrency = 7;
    settings.retry = {3, 99};
    settings.max_response = 4096;
    settings.cache = "/var/cache/x";
    settings.zone_name = "z";
    origin.nginx = "1.22.1";
    origin.user_name = "www-data";
    origin.user = {33, 34, true};
    common.issuers = {ca.get()};
    common.responder_anchors = {other.get()};
    common.responders = {"http://a.example/", "https://b.example/"};
    common.files = {"/etc/a.der"};
    common.servers = {"www.example", "shop.example"};
    common.place = "nginx.conf:7";
    common.require = engine::Require::kMustStaple;
    common.refresh = 60;
    common.staple_chain = true;
  }

  Identity ca = make_ca("Inventory CA");
  Identity other = make_ca("Other CA");
  Identity leaf = make_leaf(ca, "www.example", "http://ocsp.example/");
  engine::Settings settings;
  InventoryOrigin origin;
  engine::ServerCertificate common;
  InventoryWriter writer;
};

CertificateId id_of(x509_st* certificate) {
  return crypto::certificate_id(certificate).value();
}

}  // namespace

TEST_CASE("inventory: what is written is read again", "[inventory]") {
  Fixture f;
  f.writer.add_server(f.common, true, true, false);
  f.writer.add_server({}, false, false, true);
  engine::ServerCertificate certificate = f.common;
  certificate.leaf = f.leaf.get();
  certificate.chain = {f.ca.get()};
  certificate.file = "/etc/full.pem";
  f.writer.add_certificate(0, certificate);
  f.writer.add_address(0, "0.0.0.0:443", false);
  f.writer.add_address(0, "[::]:443", true);
  const auto read = read_inventory(f.writer.write(f.origin, f.settings));
  REQUIRE(read);
  const Inventory& inventory = **read;

  CHECK(inventory.origin.module == OCSP_PLUS_VERSION);
  CHECK(inventory.origin.nginx == "1.22.1");
  CHECK(inventory.origin.user_name == "www-data");
  CHECK(inventory.origin.user.uid == 33);
  CHECK(inventory.origin.user.gid == 34);
  CHECK(inventory.origin.user.prepared);
  CHECK(inventory.origin.proxy_login);
  CHECK_FALSE(inventory.origin.shares);

  const engine::Settings& settings = inventory.settings;
  CHECK(settings.resolver.servers == f.settings.resolver.servers);
  CHECK(settings.resolver.ipv4);
  CHECK_FALSE(settings.resolver.ipv6);
  CHECK(settings.resolver.timeout == 1234);
  CHECK(settings.resolver.max_ttl == 56);
  REQUIRE(settings.proxy.has_value());
  CHECK(settings.proxy->url.host_key() == "proxy.example:3128");
  CHECK(settings.proxy->authorization.empty());
  CHECK_FALSE(settings.issuer_fetch);
  CHECK(settings.certid_auto);
  CHECK(settings.policy.accept_sha256_only);
  CHECK(settings.policy.must_be_sendable);
  CHECK(settings.sends_chain);
  CHECK(settings.timeout == 789);
  CHECK(settings.concurrency == 7);
  CHECK(settings.retry.min == 3);
  CHECK(settings.retry.max == 99);
  CHECK(settings.max_response == 4096);
  CHECK(settings.cache == "/var/cache/x");
  CHECK(settings.cache_read_only);
  CHECK(settings.zone_name == "z");

  REQUIRE(inventory.servers.size() == 2);
  const InventoryServer& server = inventory.servers[0];
  CHECK(server.common.responders == f.common.responders);
  CHECK(server.common.files == f.common.files);
  CHECK(server.common.servers == f.common.servers);
  CHECK(server.common.place == "nginx.conf:7");
  CHECK(server.common.require == engine::Require::kMustStaple);
  CHECK(server.common.refresh == 60);
  CHECK(server.common.staple_chain);
  CHECK(server.omit_revoked);
  CHECK(server.loads);
  CHECK_FALSE(server.preload);
  CHECK(server.addresses == std::vector<std::string>{"0.0.0.0:443", "[::]:443"});
  CHECK(server.proxied == std::vector<std::string>{"[::]:443"});
  REQUIRE(server.common.issuers.size() == 1);
  CHECK(id_of(server.common.issuers[0]) == id_of(f.ca.get()));
  REQUIRE(server.common.responder_anchors.size() == 1);
  CHECK(id_of(server.common.responder_anchors[0]) == id_of(f.other.get()));
  REQUIRE(server.certificates.size() == 1);
  CHECK(id_of(server.certificates[0].leaf) == id_of(f.leaf.get()));
  REQUIRE(server.certificates[0].chain.size() == 1);
  CHECK(server.certificates[0].chain[0] == server.common.issuers[0]);
  CHECK(server.certificates[0].file == "/etc/full.pem");
  CHECK(inventory.servers[1].preload);
  CHECK(inventory.certificates.size() == 3);
}

TEST_CASE("inventory: there is nothing secret in it", "[inventory]") {
  Fixture f;
  f.settings.share.emplace();
  f.settings.share->user = "store-user";
  f.settings.share->password = "store-secret";
  f.writer.add_server(f.common, false, false, false);
  const std::string text = f.writer.write(f.origin, f.settings);
  CHECK(text.find("secret") == text.npos);
  CHECK(text.find("user:") == text.npos);
  CHECK(text.find("store-user") == text.npos);
  CHECK(text.find(f.settings.proxy->authorization) == text.npos);
  CHECK((*read_inventory(text))->origin.shares);
}

TEST_CASE("inventory: what is none is refused", "[inventory]") {
  Fixture f;
  engine::ServerCertificate certificate = f.common;
  certificate.leaf = f.leaf.get();
  f.writer.add_server(f.common, false, false, false);
  f.writer.add_certificate(0, certificate);
  const std::string whole = f.writer.write(f.origin, f.settings);
  for (std::size_t length = 0; length < whole.size(); length += 7) {
    CHECK_FALSE(read_inventory(whole.substr(0, length)));
  }
  auto json = nlohmann::ordered_json::parse(whole);
  json["inventory"] = 2;
  CHECK_THAT(read_inventory(json.dump()).error().detail,
             Catch::Matchers::Contains("format 2") && Catch::Matchers::Contains("one version"));
  json["inventory"] = 1;
  json["servers"][0]["certificates"][0]["leaf"] = 99;
  CHECK_FALSE(read_inventory(json.dump()));
  json["servers"][0]["certificates"][0]["leaf"] = -1;
  CHECK_FALSE(read_inventory(json.dump()));
  json["certificates"][0] = "zz";
  CHECK_FALSE(read_inventory(json.dump()));
  json["settings"].erase("cache");
  CHECK_FALSE(read_inventory(json.dump()));
}

}  // namespace ocsp_plus::admin
