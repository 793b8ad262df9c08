// Writes the named seeds of all fuzz targets: fuzz_seeds DIRECTORY makes DIRECTORY/TARGET/NAME.
#include <filesystem>
#include <fstream>

#include "fuzz/fuzz.h"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  using namespace ocsp_plus::fuzz;  // NOLINT: only the tool
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
    return 2;
  }
  const std::pair<const char*, std::vector<Seed>> targets[] = {
      {"response", response_seeds()}, {"http", http_seeds()},     {"url", url_seeds()},
      {"cache", cache_seeds()},       {"zone", zone_seeds()},     {"dns", dns_seeds()},
      {"resolver", resolver_seeds()}, {"issuer", issuer_seeds()}, {"redis", redis_seeds()},
  };
  for (const auto& [target, seeds] : targets) {
    const fs::path directory = fs::path(argv[1]) / target;
    fs::remove_all(directory);
    fs::create_directories(directory);
    for (const Seed& seed : seeds) {
      std::ofstream file(directory / seed.name, std::ios::binary);
      file.write(reinterpret_cast<const char*>(seed.bytes.data()), static_cast<std::streamsize>(seed.bytes.size()));
      if (!file.flush()) {
        std::fprintf(stderr, "cannot write %s\n", (directory / seed.name).c_str());
        return 1;
      }
    }
  }
  return 0;
}
