// A refresher over an engine fixture, driven as a worker would. Each step checks the bound of exchanges.
#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "engine/refresher.h"
#include "store/entry_state.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::testing {

struct RefresherFixture : EngineFixture {
  using EngineFixture::EngineFixture;

  // REQUIRES: the certificates are added.
  void begin(bool new_configuration = true) {
    if (catalog.targets()[0]->entry == store::kNoEntry) {
      register_all();
    }
    refresher.reset();
    report = std::make_unique<engine::Report>(log, loop.clock);
    gate.reset();
    resolver = net::Resolver::create(loop, loop.clock, settings.resolver).value();
    transport = std::make_unique<net::Transport>(loop, loop.clock, *resolver, settings.proxy);
    writer = std::make_unique<store::ZoneWriter>(zone, lock, loop.clock, 0, 0);
    roster = std::make_unique<engine::Roster>(catalog);
    gate = std::make_unique<engine::Gate>(zone, *writer, settings.policy);
    refresher = std::make_unique<engine::Refresher>(
        engine::Context{loop, loop.clock, random, log, lock, zone, catalog, settings}, *report, *transport, tls,
        work_queue, *gate, *roster, nullptr, nullptr, new_configuration);
  }

  // Ticks every `step` ms; a longer step makes long spans pass quickly.
  void pass(Seconds span, Millis step = 500) {
    const auto each = [this] {
      refresher->tick();
      loop.settle();
      REQUIRE(store::number(zone, store::Number::kInFlight) <= static_cast<std::int64_t>(settings.concurrency));
    };
    refresher->tick();
    loop.pass(span * 1000, step, each);
  }
  void pass_until(Seconds at_most, const std::function<bool()>& done) {
    for (Seconds passed = 0; passed < at_most && !done(); ++passed) {
      pass(1);
    }
    REQUIRE(done());
  }

  store::Attempt attempt(std::size_t index) const {
    return store::read_attempt(zone, catalog.targets()[index]->entry);
  }

  std::unique_ptr<engine::Report> report;
  std::unique_ptr<net::Resolver> resolver;
  engine::TlsClients tls;
  engine::WorkQueue work_queue{loop};
  std::unique_ptr<net::Transport> transport;
  std::unique_ptr<store::ZoneWriter> writer;
  std::unique_ptr<engine::Gate> gate;
  std::unique_ptr<engine::Roster> roster;
  std::unique_ptr<engine::Refresher> refresher;
};

}  // namespace ocsp_plus::testing
