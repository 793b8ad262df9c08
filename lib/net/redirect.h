// Where a redirect may lead. Whoever answers by http can write anything into a Location, and who comes from inside is
// let in where others are not: a control location behind "allow 127.0.0.1", a cloud's metadata. So a redirect never
// leads inside, unless the operator has named whom it leads to.
#pragma once

#include <string>
#include <vector>

#include "net/address.h"
#include "net/url.h"

namespace ocsp_plus::net {

// Whether somebody at `from` may send us on to `to`: never to this machine or its link, from the internet only to the
// internet.
constexpr bool may_lead(Address::Scope from, Address::Scope to) {
  return to != Address::Scope::kLocal && (from != Address::Scope::kPublic || to == Address::Scope::kPublic);
}

// The redirects of one fetch.
class RedirectRule {
 public:
  // `asked` is the URL that was asked first, `named` host keys (Url::host_key()) that the operator has named: to
  // their very hosts and ports a redirect may lead, whatever their addresses. Both are copied.
  RedirectRule(const Url& asked, std::vector<std::string> named);

  // Somebody at `from` sent us on to `to`: what is asked of the rule next is about that.
  void follow(const Url& to, Address::Scope from);

  // Whether an address of the host may be connected to; yes before the first redirect.
  bool permits(Address::Scope address) const { return exempt_ || may_lead(from_, address); }
  // The same where a proxy resolves the name, so that the address is not ours to see: only a host that was asked or
  // named, on any port, and never an address of the proxy's own machine on another port.
  bool permits_unseen() const { return exempt_ || known_host_; }

 private:
  std::vector<std::string> known_;  // host keys
  Address::Scope from_ = Address::Scope::kPrivate;
  bool exempt_ = true;  // no redirect yet, or to one of `known_`
  bool known_host_ = true;
};

}  // namespace ocsp_plus::net
