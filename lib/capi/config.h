// What the C ABI's files share: a configuration, and where exceptions stop.
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

#include "base/printable.h"
#include "engine/catalog.h"
#include "engine/recent_offers.h"
#include "engine/settings.h"
#include "ocsp_plus/ocsp_plus.h"
#include "store/staple_zone.h"

struct op_config_s {
  struct Area {
    const void* base = nullptr;  // nullptr: there is none
    std::size_t size = 0;
  };

  ocsp_plus::engine::Settings settings;
  ocsp_plus::engine::Catalog catalog;
  std::deque<std::string> labels;  // by catalog index; printable; never moved, C has pointers into them
  std::optional<ocsp_plus::store::StapleZone> zone;
  std::uint32_t generation = 0;
  Area replaced;  // of the zone that `zone` replaces; mapped until the start is over, and read by its helper alone
  bool loads = false;                                              // some server loads certificates per connection
  std::unique_ptr<ocsp_plus::engine::RecentOffers> recent_offers;  // each process's own; made when it is first needed
};

namespace ocsp_plus::capi {

// Safe to show, whoever wrote it.
inline void say(op_error_t* error, std::string_view text) noexcept {
  if (error != nullptr) {
    print_into(text, error->text, sizeof(error->text));
  }
}

// Runs `body`; whatever it throws becomes `failed` and a text.
template <typename T, typename Body>
T guarded(op_error_t* error, T failed, Body body) noexcept {
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
