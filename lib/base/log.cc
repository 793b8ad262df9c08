#include "base/log.h"

namespace ocsp_plus {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7f || byte == '"' || byte == '\\') {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += character;
    }
  }
  out += '"';
  return out;
}

}  // namespace ocsp_plus
