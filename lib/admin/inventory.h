// An inventory of a configuration: its certificates, issuers, names, URLs, paths and settings, as the JSON document
// by which `nginx -t` tells `ocsp-plus plan` what it has read. It holds no key, no user and no password.
//
// The writer runs in the master, only under `nginx -t`; the reader trusts what it reads as it trusts the
// configuration.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/certificate.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "store/cache_directory.h"

namespace ocsp_plus::admin {

// Facts that nginx knows of itself.
struct InventoryOrigin {
  std::string module;         // version of the module that wrote it
  std::string nginx;          // version
  std::string user_name;      // the worker user's; empty: nginx does not change its user
  store::DirectoryUser user;  // the worker user
  std::string unfit;          // why the OpenSSL of this nginx must not staple; empty: it may
  bool proxy_login = false;   // the proxy wants a user and a password, which are left out
  bool shares = false;        // nodes share responses (ocsp_plus_share); how they do is left out
};

// A server, with what it needs of its own.
struct InventoryServer {
  struct Shown {
    x509_st* leaf = nullptr;
    std::vector<x509_st*> chain;
    std::string file;
  };

  // Directives that all its certificates share; refers to the members below.
  engine::ServerCertificate common;
  bool omit_revoked = false;
  bool loads = false;    // it loads certificates per connection
  bool preload = false;  // no server, but certificates that servers will load per connection
  std::vector<Shown> certificates;
  std::vector<std::string> addresses;  // "address:port", where it expects TLS over TCP; empty: not known
  std::vector<std::string> proxied;    // those of them where a header of the PROXY protocol comes first

  std::string place;
  std::vector<std::string> names, responders, files;
};

struct Inventory {
  InventoryOrigin origin;
  engine::Settings settings;  // without share, and with a cache directory that is only read
  std::deque<InventoryServer> servers;
  std::vector<crypto::X509Ptr> certificates;  // owns what the servers refer to
};

// Collects what is added to a configuration.
class InventoryWriter {
 public:
  InventoryWriter();
  ~InventoryWriter();
  InventoryWriter(const InventoryWriter&) = delete;
  InventoryWriter& operator=(const InventoryWriter&) = delete;

  // Adds a server; those that follow are numbered from 0.
  void add_server(const engine::ServerCertificate& common, bool omit_revoked, bool loads, bool preload);
  // Both add to one of them: where it listens, and a certificate.
  void add_address(std::size_t server, std::string_view address, bool proxied);
  void add_certificate(std::size_t server, const engine::ServerCertificate& certificate);
  // Module, proxy_login and shares are known here and need not be set.
  std::string write(const InventoryOrigin& origin, const engine::Settings& settings) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// kUnreadable: this is no inventory, or one of another version.
Result<std::unique_ptr<Inventory>> read_inventory(std::string_view json);

}  // namespace ocsp_plus::admin
