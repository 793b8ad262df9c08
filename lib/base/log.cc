#include "base/log.h"

#include <algorithm>

namespace ocsp_plus {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find_first_of("\"\\"), text.size());
    out += printable(text.substr(0, plain));
    text.remove_prefix(plain);
    if (!text.empty()) {
      out += text.front() == '"' ? "\\x22" : "\\x5c";
      text.remove_prefix(1);
    }
  }
  out += '"';
  return out;
}

}  // namespace ocsp_plus
