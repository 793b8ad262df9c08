// A running engine and its status document.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "admin/document.h"
#include "engine/lease_contender.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::testing {

struct AdminFixture : EngineFixture {
  using EngineFixture::EngineFixture;

  void open() {
    generation = register_all();
    maybe_zone = zone;
    zone.stats().numbers[store::Number::kBegan] = loop.clock.monotonic();
    settings.zone_name = "ocsp_plus";
  }
  // Runs the designated worker for `span` ms.
  void work(Millis span) {
    if (contender == nullptr) {
      contender = std::make_unique<engine::LeaseContender>(
          engine::Context{loop, loop.clock, random, log, lock, zone, catalog, settings},
          store::ProcessIdentity{getpid(), 0, generation});
    }
    loop.pass(span);
  }
  admin::View view() const { return {catalog, settings, maybe_zone, loop.clock.now(), loop.clock.monotonic()}; }

  struct Shown {
    int status = 0;
    std::string type;
    std::string text;
    std::size_t pieces = 0, largest = 0;
  };
  Shown show(std::optional<admin::Format> fixed, std::string_view args = {}, std::string_view accept = {},
             std::string_view control = {}) const {
    const auto document = admin::make_document(view(), fixed, args, accept, control);
    Shown shown;
    bool more = true;
    while (more) {
      std::string piece;
      more = document->next(&piece);
      shown.text += piece;
      shown.largest = std::max(shown.largest, piece.size());
      ++shown.pieces;
    }
    shown.status = document->head().http_status;
    shown.type = document->head().content_type;
    return shown;
  }
  nlohmann::json json(std::string_view args = {}) const {
    return nlohmann::json::parse(show(admin::Format::kJson, args).text);
  }

  std::optional<store::StapleZone> maybe_zone;
  std::uint32_t generation = 0;
  std::unique_ptr<engine::LeaseContender> contender;
};

}  // namespace ocsp_plus::testing
