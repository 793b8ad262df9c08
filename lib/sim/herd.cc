// Invariant (d): many certificates that were all fetched in one minute do not come back in one minute.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "sim/ca.h"
#include "sim/folder.h"
#include "sim/machine.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/run.h"

namespace ocsp_plus::sim {
namespace {

constexpr double kMostPeak = 6;
constexpr Seconds kDay = 86400;

Script herd_script(std::size_t certificates) {
  Script script;
  script.length = 1000 * 12 * kDay;
  script.certificates = certificates;
  script.responders.resize(1);
  script.startup_wait = 60000;
  return script;
}

}  // namespace

// The mean is that of the busy spans, in which anything is asked at all (the tenth of the validity over which the
// looks are spread), not of the idle days between them, which would flatter nobody and make every peak look high.
Figures run_herd(std::size_t certificates, const Narrator&) {
  const Script script = herd_script(certificates);
  Figures figures;
  auto* machine = new Machine(1);
  auto* ca = new Ca(script.practice);
  auto* network = new Network(script, *ca, machine->dice().split());
  new Folder(script);
  auto* node = new Node(*machine, script);
  network->keep_times();
  network->on_honest = [](LeafNumber, const Signed&) {};
  machine->designated = [node] { return node->designated(); };
  machine->quiet_until = [node] { return node->quiet_until(); };
  node->start();
  const Millis began = machine->monotonic();
  while (machine->step(Machine::kBoot + script.length)) {
  }

  std::map<Millis, std::int64_t> by_minute, by_day;
  std::int64_t peak = 0;
  for (const Millis time : network->times()) {
    if (time > began + 3600000) {
      peak = std::max(peak, ++by_minute[time / 60000]);
    }
  }
  // The first round of looks: between 40 % and 50 % of the validity.
  const double window = static_cast<double>(script.practice.validity) / 10 / 60;
  const double mean = static_cast<double>(certificates) / window;
  figures.peak = static_cast<double>(peak) / mean;
  if (figures.peak > kMostPeak || by_minute.size() < certificates / 4) {
    figures.failed = true;
    const std::string text =
        fmt::format("(d) herd: {} requests in one minute, {:.1f} times the mean of {:.1f}", peak, figures.peak, mean);
    std::strncpy(figures.violation, text.c_str(), sizeof(figures.violation) - 1);
  }
  return figures;
}

}  // namespace ocsp_plus::sim
