// Replays files through a fuzz target, without libFuzzer: fuzz_NAME FILE|DIRECTORY ... Each input is in a heap block
// of exactly its size, so that a sanitizer detects a read past its end.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;

bool replay(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  // Names the input in case the target aborts.
  std::fprintf(stderr, "%s\n", path.c_str());
  const auto exact = std::make_unique<std::uint8_t[]>(content.size());
  std::copy(content.begin(), content.end(), exact.get());
  return LLVMFuzzerTestOneInput(exact.get(), content.size()) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i) {
    std::error_code no_directory;
    if (fs::is_directory(argv[i], no_directory)) {
      std::copy(fs::directory_iterator(argv[i]), fs::directory_iterator(), std::back_inserter(files));
    } else {
      files.emplace_back(argv[i]);
    }
  }
  std::sort(files.begin(), files.end());
  const bool good = !files.empty() && std::all_of(files.begin(), files.end(), replay);
  std::printf("%zu inputs replayed\n", files.size());
  return good ? 0 : 1;
}
