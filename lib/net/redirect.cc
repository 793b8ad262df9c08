#include "net/redirect.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace ocsp_plus::net {
namespace {

std::string_view host_of(std::string_view host_key) {
  return host_key.substr(0, host_key.rfind(':'));
}

}  // namespace

RedirectRule::RedirectRule(const Url& asked, std::vector<std::string> named) : known_(std::move(named)) {
  known_.push_back(asked.host_key());
}

void RedirectRule::follow(const Url& to, Address::Scope from) {
  from_ = from;
  const std::string key = to.host_key();
  const bool is_local = to.ip_literal && Address::literal(to.host, to.port).scope() == Address::Scope::kLocal;
  exempt_ = std::find(known_.begin(), known_.end(), key) != known_.end();
  known_host_ = !is_local && std::any_of(known_.begin(), known_.end(),
                                         [&key](const std::string& each) { return host_of(each) == host_of(key); });
}

}  // namespace ocsp_plus::net
