#include "net/names.h"

namespace ocsp_plus::net {

bool is_localhost(std::string_view name) {
  constexpr std::string_view kName = "localhost";
  if (!name.empty() && name.back() == '.') {
    name.remove_suffix(1);
  }
  return name.size() >= kName.size() && name.substr(name.size() - kName.size()) == kName &&
         (name.size() == kName.size() || name[name.size() - kName.size() - 1] == '.');
}

}  // namespace ocsp_plus::net
