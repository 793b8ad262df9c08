// Bounds where a redirect may lead. A responder, or an attacker on an http connection, can send any Location, and
// requests from this machine reach internal services: a control location behind "allow 127.0.0.1", a cloud's
// metadata. So a redirect never leads into the internal network, unless the operator has configured its target.
#pragma once

#include <string>
#include <vector>

#include "net/address.h"
#include "net/url.h"

namespace ocsp_plus::net {

// Returns whether a server in scope `from` may redirect to scope `to`: never to kLocal, and from kPublic only to
// kPublic.
constexpr bool may_lead(Address::Scope from, Address::Scope to) {
  return to != Address::Scope::kLocal && (from != Address::Scope::kPublic || to == Address::Scope::kPublic);
}

// The redirects of one fetch.
class RedirectRule {
 public:
  // `asked` is the first URL, `named` the host keys (Url::host_key()) that the operator has configured. A redirect
  // may lead to exactly these hosts and ports, whatever their addresses. Both are copied.
  RedirectRule(const Url& asked, std::vector<std::string> named);

  // Records a redirect to `to` by a server in scope `from`; the answers below then apply to it.
  void follow(const Url& to, Address::Scope from);

  // Returns whether an address of the current host may be connected to; true before the first redirect.
  bool permits(Address::Scope address) const { return exempt_ || may_lead(from_, address); }
  // permits() behind a proxy, which resolves the name so that we never see the address: true only for a host that was
  // asked or named, on any port; if it is a kLocal literal, on its own port only.
  bool permits_unseen() const { return exempt_ || known_host_; }

 private:
  std::vector<std::string> known_;  // host keys
  Address::Scope from_ = Address::Scope::kPrivate;
  bool exempt_ = true;  // no redirect yet, or it leads to one of `known_`
  bool known_host_ = true;
};

}  // namespace ocsp_plus::net
