// Issuers that nobody named: fetched by the caIssuers URLs of their certificates
// (engine/issuer_exchange.h), kept beside the responses in the cache directory, and shared through the pool of all
// issuers (engine/issuer_pool.h).
//
// Gives a Target its issuer, in this process only. What it gives has always been verified: the name, and the
// signature on the certificate itself.
//
// Of certificates that are loaded per connection nothing is kept in the directory: their number is not the operator's
// choice.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"
#include "engine/catalog.h"
#include "engine/disk_cache.h"
#include "engine/issuer_search.h"
#include "net/fetch.h"

namespace ocsp_plus::engine {

class Issuers {
 public:
  // An issuer was fetched from `url` for `target`, and was not known before.
  using Fetched = std::function<void(const Target& target, const net::Url& url)>;

  // All of them outlive the object. `disk_cache`: nullptr where nothing is kept.
  Issuers(const Catalog& catalog, IssuerSearches& searches, DiskCache* disk_cache = nullptr,
          Fetched fetched = nullptr);
  Issuers(const Issuers&) = delete;
  Issuers& operator=(const Issuers&) = delete;

  // Looks once through the catalog for certificates whose issuer is known by now or lies in the cache directory. To
  // be called at each tick.
  void tick();

  // Where the issuer of `target` may be without a fetch: among those that are known, and in the cache directory.
  // REQUIRES: target.issuer_lookup.
  IssuerSearch search(const Target& target) const;
  // As search() and then give(), at once, for a process that serves nobody meanwhile. Whether it was found.
  bool find(const Target& target);
  // Likewise from a document that lay somewhere; what is of no use is passed over.
  bool take_kept(const Target& target, ByteView document);

  void give(const Target& target, const IssuerSearch& found);
  // Besides it was fetched from `url`: it is kept, and told where it is new.
  void give_fetched(const Target& target, const IssuerSearch& found, const net::Url& url);

  IssuerPool& pool() const { return catalog_.issuers(); }
  IssuerSearches& searches() const { return searches_; }

  // What went wrong with a host last, for a configured target: for those who do not ask it because of that.
  void remember_failure(const std::string& host, const net::Fetch::Failure& failure) { failures_[host] = failure; }
  const net::Fetch::Failure* last_failure(const std::string& host) const;

 private:
  bool finish(const Target& target, IssuerSearch search);

  const Catalog& catalog_;
  DiskCache* disk_cache_;
  IssuerSearches& searches_;
  Fetched fetched_;
  std::map<std::string, net::Fetch::Failure> failures_;  // by host key
  std::size_t next_ = 0;                                 // the target that look() is at
  std::unique_ptr<IssuerSearches::Ticket> ticket_;       // for it
};

// The search among the certificates of a document, and those that are known. `certificates` as
// crypto::read_issuer_document() has them.
IssuerSearch search_document(IssuerPool& pool, const Target& target,
                             const std::vector<crypto::X509Ptr>& certificates);

}  // namespace ocsp_plus::engine
