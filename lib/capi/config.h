// Shared by the files of the C ABI: the configuration, and guarded(), where exceptions stop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/inventory.h"
#include "base/printable.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "engine/stapler.h"
#include "ocsp_plus/ocsp_plus.h"
#include "store/staple_zone.h"

struct alignas(64) op_server_s {
  op_config_s& config;  // in one cache line with the server's first certificate
  ocsp_plus::engine::Server server;
  // The directives that all its certificates share; points to the caller's data.
  ocsp_plus::engine::ServerCertificate common;
  std::size_t number;  // its own among the configuration's servers
};

static_assert(sizeof(void*) + sizeof(ocsp_plus::engine::Server::Certificate) <= 64,
              "a handshake finds the server's first certificate in one cache line");

// Keeps to its end even what is only needed while the configuration is read: holes that the master leaves in its heap
// would be filled by each worker, at the cost of a page of its own for each.
struct op_config_s {
  struct Area {
    const void* base = nullptr;  // nullptr: there is none
    std::size_t size = 0;
  };

  ocsp_plus::engine::Settings settings;
  ocsp_plus::engine::Catalog catalog;
  std::deque<op_server_s> servers;  // never moved: C has pointers to them
  std::optional<ocsp_plus::store::StapleZone> zone;
  std::uint32_t generation = 0;
  Area replaced;       // the zone that `zone` replaces; mapped until the start is over, and read by its helper alone
  bool loads = false;  // some server loads certificates per connection
  std::unique_ptr<ocsp_plus::admin::InventoryWriter> inventory;  // nullptr: nothing is recorded
  // Each process gets a copy by fork.
  std::unique_ptr<ocsp_plus::engine::Stapler> stapler =
      std::make_unique<ocsp_plus::engine::Stapler>(catalog, settings, zone);
};

namespace ocsp_plus::capi {

// Writes a text, whoever wrote it, safe to print. `to` may be nullptr.
inline void say(op_text_t* to, std::string_view text) noexcept {
  if (to != nullptr) {
    print_into(text, to->text, sizeof(to->text));
  }
}

inline std::string_view view(op_str_t text) {
  return text.len == 0 ? std::string_view() : std::string_view(text.data, text.len);
}

// Runs `body`; returns `failed` and writes the error if it throws.
template <typename T, typename Body>
T guarded(op_text_t* error, T failed, Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    say(error, "out of memory");
  } catch (const std::exception& exception) {
    say(error, exception.what());
  } catch (...) {
    say(error, "unexpected failure");
  }
  return failed;
}

}  // namespace ocsp_plus::capi
