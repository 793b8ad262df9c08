// Issuers that nobody named: fetched by the caIssuers URLs of their certificates
// (engine/issuer_exchange.h), kept beside the responses in the cache folder, and known here to whoever holds the
// lease.
//
// Gives a Target its issuer, in this process only, and takes it away again at its end: it owns all of them. What it
// gives has always been verified: name, key identifier, and the signature on the certificate itself.
//
// Of certificates that are loaded per connection nothing is kept in the folder, and what they were given goes with
// release(): their number is not the operator's choice.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"
#include "engine/archive.h"
#include "engine/catalog.h"
#include "net/fetch.h"

namespace ocsp_plus::engine {

class Issuers {
 public:
  // An issuer was fetched from `url` for `target`, and was not known before.
  using Fetched = std::function<void(const Target& target, const net::Url& url)>;

  // `catalog` and `archive` outlive the object; nullptr: nothing is kept.
  explicit Issuers(const Catalog& catalog, Archive* archive = nullptr, Fetched fetched = nullptr);
  ~Issuers();
  Issuers(const Issuers&) = delete;
  Issuers& operator=(const Issuers&) = delete;

  // Looks once through the catalog for certificates whose issuer lies in the cache folder, `budget` at a call.
  void look(std::size_t budget);
  // Gives `target` its issuer, if that is known by now, or lies in the cache folder. REQUIRES: target.sought.
  bool find(const Target& target);
  // Takes it from a document that was fetched. Errors as crypto::issuer_from(). REQUIRES: target.sought.
  Result<void> take(const Target& target, ByteView document, const net::Url& url);
  // Takes it from a document that lay somewhere; what is of no use is passed over.
  bool take_kept(const Target& target, ByteView document);
  // A loaded target's issuer is not used any more; it may be gone then. REQUIRES: target.loaded, target.sought.
  void release(const Target& target);

  // What went wrong with a host last, for a configured target: for those who do not ask it because of that.
  void remember_failure(const std::string& host, const net::Fetch::Failure& failure) { failures_[host] = failure; }
  const net::Fetch::Failure* last_failure(const std::string& host) const;

 private:
  struct Owned {
    std::unique_ptr<crypto::Issuer> issuer;
    std::size_t users = 0;
  };

  Owned* known(const Target& target);
  Result<Owned*> adopt(const Target& target, ByteView document);
  void give(const Target& target, Owned* owned);

  const Catalog& catalog_;
  Archive* archive_;
  Fetched fetched_;
  std::multimap<CertificateId, Owned> issuers_;          // by reference; CAs change their keys
  std::vector<const Target*> given_;                     // the configured ones
  std::map<std::string, net::Fetch::Failure> failures_;  // by host key
  std::size_t next_ = 0;                                 // where look() goes on
};

}  // namespace ocsp_plus::engine
