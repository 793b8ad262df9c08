#include "admin/inventory.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "ocsp_plus/version.h"

namespace ocsp_plus::admin {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;  // raised when a reader of the format before would misunderstand it

Json json_of(const std::vector<std::string_view>& texts) {
  Json json = Json::array();
  for (const std::string_view text : texts) {
    json.push_back(std::string(text));
  }
  return json;
}

Json json_of(const engine::Settings& settings) {
  Json json;
  json["resolvers"] = settings.resolver.servers;
  json["ipv4"] = settings.resolver.ipv4;
  json["ipv6"] = settings.resolver.ipv6;
  json["resolver_timeout_ms"] = settings.resolver.timeout;
  json["resolver_valid_s"] = settings.resolver.max_ttl;
  json["proxy"] = settings.proxy.has_value() ? settings.proxy->url.to_string() : "";
  json["issuer_fetch"] = settings.issuer_fetch;
  json["certid_auto"] = settings.certid_auto;
  json["timeout_ms"] = settings.timeout;
  json["concurrency"] = settings.concurrency;
  json["retry_min_s"] = settings.retry.min;
  json["retry_max_s"] = settings.retry.max;
  json["max_response"] = settings.max_response;
  json["cache"] = settings.cache;
  json["zone_name"] = settings.zone_name;
  json["must_be_sendable"] = settings.policy.must_be_sendable;
  json["sends_chain"] = settings.sends_chain;
  return json;
}

engine::Settings settings_of(const Json& json) {
  engine::Settings settings;
  settings.resolver.servers = json.at("resolvers").get<std::vector<std::string>>();
  settings.resolver.ipv4 = json.at("ipv4");
  settings.resolver.ipv6 = json.at("ipv6");
  settings.resolver.timeout = json.at("resolver_timeout_ms");
  settings.resolver.max_ttl = json.at("resolver_valid_s");
  if (auto proxy = net::Proxy::parse(json.at("proxy").get<std::string>())) {
    settings.proxy = std::move(*proxy);
  }
  settings.issuer_fetch = json.at("issuer_fetch");
  settings.certid_auto = json.at("certid_auto");
  settings.timeout = json.at("timeout_ms");
  settings.concurrency = json.at("concurrency");
  settings.retry = {json.at("retry_min_s"), json.at("retry_max_s")};
  settings.max_response = json.at("max_response");
  settings.cache = json.at("cache");
  settings.cache_read_only = true;
  settings.zone_name = json.at("zone_name");
  settings.policy.accept_sha256_only = settings.certid_auto;
  settings.policy.must_be_sendable = json.at("must_be_sendable");
  settings.sends_chain = json.at("sends_chain");
  return settings;
}

InventoryOrigin origin_of(const Json& json) {
  InventoryOrigin origin;
  origin.module = json.at("module");
  origin.nginx = json.at("nginx");
  origin.user_name = json.at("user");
  origin.user = {json.at("uid"), json.at("gid"), json.at("prepared")};
  origin.unfit = json.at("unfit");
  origin.proxy_login = json.at("proxy_login");
  origin.shares = json.at("shares");
  return origin;
}

std::vector<std::string_view> views_of(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

// Reads the part of the document that refers to certificates by their index.
class ServerReader {
 public:
  explicit ServerReader(const std::vector<crypto::X509Ptr>& certificates) : certificates_(certificates) {}

  void read(const Json& json, InventoryServer* server) const {
    server->place = json.at("place");
    server->names = json.at("names").get<std::vector<std::string>>();
    server->responders = json.at("responders").get<std::vector<std::string>>();
    server->files = json.at("files").get<std::vector<std::string>>();
    server->omit_revoked = json.at("omit_revoked");
    server->loads = json.at("loads");
    server->preload = json.at("preload");
    server->addresses = json.at("addresses").get<std::vector<std::string>>();
    server->proxied = json.at("proxied").get<std::vector<std::string>>();
    engine::ServerCertificate& common = server->common;
    common.place = server->place;
    common.servers = views_of(server->names);
    common.responders = views_of(server->responders);
    common.files = views_of(server->files);
    common.issuers = several(json.at("issuers"));
    common.responder_anchors = several(json.at("responder_anchors"));
    common.require = static_cast<engine::Require>(json.at("require").get<int>());
    common.refresh = json.at("refresh_s");
    common.staple_chain = json.at("chain");
    for (const Json& shown : json.at("certificates")) {
      server->certificates.push_back({one(shown.at("leaf")), several(shown.at("chain")), shown.at("file")});
    }
  }

 private:
  x509_st* one(const Json& index) const { return certificates_.at(index.get<std::size_t>()).get(); }
  std::vector<x509_st*> several(const Json& indexes) const {
    std::vector<x509_st*> all;
    for (const Json& index : indexes) {
      all.push_back(one(index));
    }
    return all;
  }

  const std::vector<crypto::X509Ptr>& certificates_;
};

std::vector<crypto::X509Ptr> certificates_of(const Json& json) {
  std::vector<crypto::X509Ptr> all;
  for (const Json& hex : json) {
    const auto& text = hex.get_ref<const std::string&>();
    Bytes der(text.size() / 2);
    auto parsed = parse_hex(text, der.data(), der.size()) ? crypto::parse_der_certificates(der)
                                                          : std::vector<crypto::X509Ptr>();
    if (parsed.size() != 1) {
      throw std::out_of_range(text);
    }
    all.push_back(std::move(parsed.front()));
  }
  return all;
}

}  // namespace

struct InventoryWriter::Impl {
  // Returns the index of a certificate, each of which is written once.
  std::size_t index_of(x509_st* certificate) {
    const Bytes der = crypto::der_of(certificate);
    const auto [found, added] = indexes.emplace(der, indexes.size());
    if (added) {
      certificates.push_back(to_hex(der));
    }
    return found->second;
  }
  Json indexes_of(const std::vector<x509_st*>& several) {
    Json all = Json::array();
    for (x509_st* certificate : several) {
      all.push_back(index_of(certificate));
    }
    return all;
  }

  std::map<Bytes, std::size_t> indexes;  // by the certificate's DER
  Json certificates = Json::array();
  Json servers = Json::array();
};

InventoryWriter::InventoryWriter() : impl_(std::make_unique<Impl>()) {}
InventoryWriter::~InventoryWriter() = default;

void InventoryWriter::add_server(const engine::ServerCertificate& common, bool omit_revoked, bool loads,
                                 bool preload) {
  Json json;
  json["place"] = std::string(common.place);
  json["names"] = json_of(common.servers);
  json["responders"] = json_of(common.responders);
  json["files"] = json_of(common.files);
  json["issuers"] = impl_->indexes_of(common.issuers);
  json["responder_anchors"] = impl_->indexes_of(common.responder_anchors);
  json["require"] = static_cast<int>(common.require);
  json["refresh_s"] = common.refresh;
  json["chain"] = common.staple_chain;
  json["omit_revoked"] = omit_revoked;
  json["loads"] = loads;
  json["preload"] = preload;
  json["addresses"] = Json::array();
  json["proxied"] = Json::array();
  json["certificates"] = Json::array();
  impl_->servers.push_back(std::move(json));
}

void InventoryWriter::add_address(std::size_t server, std::string_view address, bool proxied) {
  Json& json = impl_->servers.at(server);
  json.at("addresses").push_back(std::string(address));
  if (proxied) {
    json.at("proxied").push_back(std::string(address));
  }
}

void InventoryWriter::add_certificate(std::size_t server, const engine::ServerCertificate& certificate) {
  Json json;
  json["leaf"] = impl_->index_of(certificate.leaf);
  json["chain"] = impl_->indexes_of(certificate.chain);
  json["file"] = std::string(certificate.file);
  impl_->servers.at(server).at("certificates").push_back(std::move(json));
}

std::string InventoryWriter::write(const InventoryOrigin& origin, const engine::Settings& settings) const {
  Json json;
  json["inventory"] = kFormat;
  json["module"] = OCSP_PLUS_VERSION;
  json["nginx"] = origin.nginx;
  json["user"] = origin.user_name;
  json["uid"] = origin.user.uid;
  json["gid"] = origin.user.gid;
  json["prepared"] = origin.user.prepared;
  json["unfit"] = origin.unfit;
  json["proxy_login"] = settings.proxy.has_value() && !settings.proxy->authorization.empty();
  json["shares"] = settings.share.has_value();
  json["settings"] = json_of(settings);
  json["certificates"] = impl_->certificates;
  json["servers"] = impl_->servers;
  // Paths may hold any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::unique_ptr<Inventory>> read_inventory(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    if (const int format = json.at("inventory"); format != kFormat) {
      return fail(
          Reason::kUnreadable,
          fmt::format("the module's inventory has format {}, and this program reads {}: install the module and "
                      "ocsp-plus of one version",
                      format, kFormat));
    }
    auto inventory = std::make_unique<Inventory>();
    inventory->origin = origin_of(json);
    inventory->settings = settings_of(json.at("settings"));
    inventory->certificates = certificates_of(json.at("certificates"));
    const ServerReader reader(inventory->certificates);
    for (const Json& server : json.at("servers")) {
      reader.read(server, &inventory->servers.emplace_back());
    }
    return inventory;
  } catch (const Json::exception& error) {
    return fail(Reason::kUnreadable, fmt::format("the module's inventory cannot be read: {}", error.what()));
  } catch (const std::out_of_range&) {
    return fail(Reason::kUnreadable, "the module's inventory lacks a certificate, or has one that does not parse");
  }
}

}  // namespace ocsp_plus::admin
