#include "cli/command.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace ocsp_plus::cli {
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    return fail(Reason::kUnreadable,
                fmt::format("cannot open \"{}\": {}; name a file that can be read", path, std::strerror(errno)));
  }
  std::string content;
  std::array<char, 8192> chunk = {};
  while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    content.append(chunk.data(), size);
    if (content.size() > limit) {
      return fail(Reason::kUnreadable, fmt::format("{} is larger than {} bytes; is it the right file?", path, limit));
    }
  }
  if (std::ferror(file.get()) != 0) {
    return fail(Reason::kUnreadable,
                fmt::format("cannot read \"{}\": {}; name a file that can be read", path, std::strerror(errno)));
  }
  return content;
}

int complain(std::string_view line) {
  std::string plain(line);
  for (char& byte : plain) {
    if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f) {
      byte = ' ';
    }
  }
  fmt::print(stderr, "ocsp-plus: {}\n", plain);
  return kUsage;
}

}  // namespace ocsp_plus::cli
