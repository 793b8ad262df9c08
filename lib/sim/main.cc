// The simulator's command line. scripts/simulate builds and calls it.
//
// Every run has its own process: a crash is one failed seed, the memory of killed processes is freed with it, and
// every seed starts with the same heap.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "sim/ca.h"
#include "sim/fixed_random.h"
#include "sim/run.h"
#include "sim/script.h"

namespace {

using namespace ocsp_plus::sim;  // NOLINT: this file is only its front end

constexpr double kYear = 365.0 * 86400;

struct Options {
  double years = 300;
  long seeds = -1;  // maximum number of runs; -1: as many as `years` needs
  unsigned long seed = 1;
  bool one = false;  // runs only this seed
  bool alone = true, fleets = true;
  bool until_failure = false;
  bool verbose = false;
};

int usage() {
  std::fputs(
      "Usage: simulator [--years N] [--seeds N] [--seed S] [--one] [--alone | --fleets] [--until-failure]\n"
      "                 [--verbose]\n"
      "  --years N   simulate runs until their node-years are N (default 300)\n"
      "  --seeds N   at most so many runs\n"
      "  --seed S    the first run's seed (default 1)\n"
      "  --one       only this seed: replays a failure exactly\n"
      "  --alone     no fleets\n"
      "  --fleets    fleets only\n"
      "  --until-failure  no further than to the first that fails\n"
      "  --verbose   with --one: everything that happens; else a line for each run\n",
      stderr);
  return 2;
}

bool parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (argument == "--one") {
      options->one = true;
    } else if (argument == "--alone") {
      options->fleets = false;
    } else if (argument == "--fleets") {
      options->alone = false;
    } else if (argument == "--until-failure") {
      options->until_failure = true;
    } else if (argument == "--verbose") {
      options->verbose = true;
    } else if (value == nullptr) {
      return false;
    } else if (++i; argument == "--years") {
      options->years = std::atof(value);
    } else if (argument == "--seeds") {
      options->seeds = std::atol(value);
    } else if (argument == "--seed") {
      options->seed = std::strtoul(value, nullptr, 10);
    } else {
      return false;
    }
  }
  return true;
}

void print(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

// Runs `body` in a child process and returns its result through shared memory.
template <typename Body>
Figures in_child(Figures* shared, Body body) {
  *shared = Figures();
  shared->runs = 1;
  shared->failed = true;
  std::strcpy(shared->violation, "the simulator crashed in this run");
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    *shared = body();
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return *shared;
}

void print_scenario(const std::vector<Script>& scripts) {
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    if (scripts.size() > 1) {
      std::printf("node %zu of %zu\n", i, scripts.size());
    }
    for (const std::string& line : scripts[i].description()) {
      print(line);
    }
  }
}

void report_failure(const std::vector<Script>& scripts, const Figures& figures) {
  std::printf("FAILED %s\n", figures.violation);
  print_scenario(scripts);
  std::printf("replay: scripts/simulate --one %s --seed %lu --verbose\n",
              scripts.front().shares ? "--fleets" : "--alone", static_cast<unsigned long>(scripts.front().seed));
}

std::vector<Script> draw(unsigned long seed, bool fleet) {
  return fleet ? Script::draw_fleet(seed) : std::vector<Script>{Script::draw(seed)};
}

void print_table(const Figures& f) {
  const auto row = [](const char* what, long long value) { std::printf("  %-58s %12lld\n", what, value); };
  const auto part = [](const char* what, double value, const char* bound) {
    std::printf("  %-58s %12.2f   %s\n", what, value, bound);
  };
  std::printf("survived\n");
  row("runs", f.runs);
  part("node-years", static_cast<double>(f.seconds) / kYear, "");
  row("handshakes judged", f.handshakes);
  row("  for which a staple was due by the oracle", f.due);
  row("  without a staple, excusably", f.bare);
  row("  refused", f.refused);
  row("  without one that says revoked", f.omitted);
  row("requests", f.requests);
  row("  answered by lies", f.lies);
  row("spans of faults of responders", f.outages);
  row("spans of faults of the disk", f.disk_faults);
  row("jumps of the wall clock", f.jumps);
  row("kills of the designated worker", f.kills - f.helper_kills - f.offering_kills);
  row("  with the zone's lock in its hand", f.kills_locked);
  row("kills of the start helper", f.helper_kills);
  row("reloads", f.reloads);
  row("  that failed", f.failed_reloads);
  row("restarts with an empty zone", f.restarts + f.crashes + f.power_cuts);
  row("  of them kills of everything", f.crashes);
  row("  of them power cuts", f.power_cuts);
  row("true revocations", f.revocations);
  row("handshakes with a certificate loaded per connection", f.shown);
  row("  for which a staple was due by the oracle", f.shown_due);
  row("  with a forged one", f.forged);
  row("certificates handed to the designated worker", f.handed);
  row("  taken", f.taken);
  row("  taken, and evicted for want of room", f.evicted);
  row("  taken, and ended or not used any more", f.ended);
  row("not handed, the queue was full", f.dropped);
  row("requests for their issuers", f.issuer_requests);
  row("floods of forged certificates", f.floods);
  row("moves into the configuration and out of it", f.moves);
  row("kills of a worker that met one", f.offering_kills);
  row("runs with certificates loaded per connection", f.loaded_runs);
  row("handshakes with staples of CA certificates", f.chain_stapled);
  row("  with all that the chain allows, due by the oracle", f.chain_due);
  row("  with a leaf loaded per connection", f.chain_loaded);
  row("  of which the last says revoked", f.chain_revoked);
  row("changes of the CA certificates that are sent", f.chain_renewals);
  row("runs in which CA certificates are sent", f.chain_runs);
  row("fleets", f.fleets);
  row("  their nodes", f.fleet_nodes);
  part("  node-years", static_cast<double>(f.fleet_seconds) / kYear, "");
  row("  handshakes for which a staple was due by the oracle", f.fleet_due);
  row("  certificates looked for in the store", f.looks);
  row("  responses from the store", f.from_store);
  row("  leases", f.leases);
  row("  leases and notes of other nodes", f.elsewhere);
  row("  responses published", f.published);
  row("  not published, another was there", f.not_newer);
  for (int deed = 0; deed <= static_cast<int>(StoreDeed::kLast); ++deed) {
    const std::string what = std::string("  spans in which the store: ") + name_of(static_cast<StoreDeed>(deed));
    row(what.c_str(), f.store_deeds[deed]);
  }
  row("runs under ocsp_plus_refresh", f.bound_runs);
  row("  revocations that were to be noticed within it", f.noticed);
  row("revocations without it", f.noticed_unbound);
  row("runs with a lie", f.lie_runs);
  row("runs with a clock jump", f.jump_runs);
  row("runs with a kill", f.kill_runs);
  row("calm runs", f.calm_runs);
  part("most requests per certificate and validity, calm, fresh", f.calm_fresh, "bound 2.5");
  part("most requests per certificate and validity, calm, in advance", f.calm_advance, "bound 8");
  part("most requests in faults, as a part of what they excuse", f.faults, "bound 1");
  part("peak of requests per minute over their mean", f.peak, "bound 6");
  part("peak of requests in 10 s after a restart over their mean", f.restart_peak, "bound 2.5");
  part("longest from a revocation to its staple, over the bound", f.late, "bound 1, and seconds");
  part("the same without a bound, in hours", f.early, "");
  part("peak of requests per second under a bound over their mean", f.bound_peak, "bound 6");
  part("most requests of a fleet in calm, as a part of one node's", f.calm_fleet, "bound 1");
  part("most of 20 nodes that ask for a certificate within 10 s", f.fleet_peak, "bound 5");
}

int run_one(const Options& options) {
  const std::vector<Script> scripts = draw(options.seed, !options.alone);
  const Figures figures = run_nodes(scripts, options.verbose ? Narrator(print) : nullptr);
  print_scenario(scripts);
  std::printf("digest %016llx\n", static_cast<unsigned long long>(figures.digest));
  if (figures.failed) {
    std::printf("FAILED %s\n", figures.violation);
  }
  return figures.failed ? 1 : 0;
}

int run_many(const Options& options) {
  void* memory = mmap(nullptr, sizeof(Figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return 2;
  }
  auto* shared = static_cast<Figures*>(memory);
  Figures total;
  long failed = 0;
  // The longest come last: what is broken is mostly noticed before.
  const std::vector<Figures (*)()> told_alone = {[] { return run_without_staple(OP_REQUIRE_OFF); },
                                                 [] { return run_without_staple(OP_REQUIRE_ON); },
                                                 [] { return run_without_staple(OP_REQUIRE_MUST_STAPLE); },
                                                 [] { return run_full_disk(); },
                                                 [] { return run_hanging_start(); },
                                                 [] { return run_other_method(); },
                                                 [] { return run_long_outage(); },
                                                 [] { return run_refreshed_outage(); },
                                                 run_chain_outages,
                                                 [] { return run_chain_changes(false); },
                                                 [] { return run_chain_changes(true); },
                                                 [] { return run_refreshed(300); },
                                                 [] { return run_refreshed(0); },
                                                 [] { return run_flood(2000); },
                                                 [] { return run_loaded(); },
                                                 [] { return run_released(); },
                                                 [] { return run_fleet(20); },
                                                 [] { return run_restarted_herd(1000); },
                                                 [] { return run_loaded_flood(1000); },
                                                 [] { return run_herd(2000); }};
  const std::vector<Figures (*)()> told_fleets = {[] { return run_cold_fleet(6, 100); },
                                                  run_hanging_node,
                                                  run_start_beside_others,
                                                  run_dead_store,
                                                  run_stuck_store,
                                                  run_poisoned_store,
                                                  run_late_publication,
                                                  run_revoked_fleet,
                                                  run_refreshed_fleet};
  std::vector<Figures (*)()> told;
  if (options.alone) {
    told = told_alone;
  }
  if (options.fleets) {
    told.insert(told.end(), told_fleets.begin(), told_fleets.end());
  }
  for (const auto herd : told) {
    if (failed > 0 && options.until_failure) {
      break;
    }
    const Figures figures = in_child(shared, herd);
    total.add(figures);
    if (figures.failed) {
      ++failed;
      std::printf("FAILED %s\n", figures.violation);
    }
  }
  total.runs = 0;  // does not count the scenarios
  for (unsigned long seed = options.seed;
       static_cast<double>(total.seconds) < options.years * kYear &&
       (options.seeds < 0 || total.runs < options.seeds) && failed < (options.until_failure ? 1 : 5);
       ++seed) {
    for (const bool fleet : {false, true}) {
      // Of every third seed a fleet as well.
      if (fleet ? !options.fleets || (options.alone && seed % 3 != 0) : !options.alone) {
        continue;
      }
      const Figures figures = in_child(shared, [=] { return run_nodes(draw(seed, fleet), nullptr); });
      total.add(figures);
      if (options.verbose) {
        std::printf("%s%s digest %016llx\n", fleet ? "fleet, " : "", draw(seed, fleet).front().summary().c_str(),
                    static_cast<unsigned long long>(figures.digest));
      }
      if (figures.failed) {
        ++failed;
        report_failure(draw(seed, fleet), figures);
      }
    }
  }
  print_table(total);
  if (options.alone && total.runs >= 100 &&
      5 * std::min({total.lie_runs, total.jump_runs, total.kill_runs, total.loaded_runs}) < total.runs) {
    std::printf("FAILED fewer than a fifth of the runs held a lie, a clock jump, a kill or a certificate loaded\n");
    ++failed;
  }
  if (options.alone && total.runs >= 100 &&
      std::min({total.shown_due, total.forged, total.evicted, total.dropped, total.moves, total.issuer_requests,
                total.offering_kills, total.refused, total.omitted, total.chain_due, total.chain_loaded,
                total.chain_revoked, total.chain_renewals}) == 0) {
    std::printf("FAILED of what happens to handshakes something never did\n");
    ++failed;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, &options)) {
    return usage();
  }
  fix_openssl_random();
  Pki::get();
  return options.one ? run_one(options) : run_many(options);
}
