// Issuers that the configuration lacks: fetched from the caIssuers URLs of their certificates
// (engine/issuer_exchange.h), kept beside the responses in the cache directory, and shared through the issuer pool
// (engine/issuer_pool.h).
//
// Gives a Target its issuer, in this process only. Every issuer it gives is verified: its name, and the certificate's
// signature with its key.
//
// For certificates loaded per connection nothing is kept in the directory: the operator does not choose their number.
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

class MissingIssuers {
 public:
  // A new issuer was fetched from `url` for `target`.
  using Fetched = std::function<void(const Target& target, const net::Url& url)>;

  // All references outlive the object. `disk_cache`: nullptr: nothing is kept.
  MissingIssuers(Catalog& catalog, IssuerSearches& searches, DiskCache* disk_cache = nullptr,
                 Fetched fetched = nullptr);
  MissingIssuers(const MissingIssuers&) = delete;
  MissingIssuers& operator=(const MissingIssuers&) = delete;

  // Goes once through the catalog for certificates whose issuer is known by now or is in the cache directory. Call it
  // at each tick.
  void tick();

  // A search for the issuer of `target` without a fetch: among the known issuers and in the cache directory.
  // REQUIRES: target.issuer_lookup.
  IssuerSearch search(const Target& target) const;
  // search() and give() at once, for a process that serves no clients meanwhile. Returns whether the issuer was
  // found.
  bool find(Target& target);
  // find() among the certificates of a document from the cache directory; useless contents are skipped.
  bool take_kept(Target& target, ByteView document);

  // Sets the target's issuer to the one that `found` has found, in this process only. Nothing is kept or logged.
  // REQUIRES: found.found() is not nullptr, and the search was for this target.
  void give(Target& target, const IssuerSearch& found);
  // give() for an issuer that was fetched from `url`; a new one is also kept in the directory and logged.
  void give_fetched(Target& target, const IssuerSearch& found, const net::Url& url);

  IssuerPool& pool() const { return catalog_.issuers(); }
  IssuerSearches& searches() const { return searches_; }

  // The last failure of a host for a configured target: the error of certificates that skip the host because of it.
  void remember_failure(const std::string& host, const net::Fetch::Failure& failure) { failures_[host] = failure; }
  const net::Fetch::Failure* last_failure(const std::string& host) const;

 private:
  bool finish(Target& target, IssuerSearch search);

  Catalog& catalog_;
  DiskCache* disk_cache_;
  IssuerSearches& searches_;
  Fetched fetched_;
  std::map<std::string, net::Fetch::Failure> failures_;  // by host key
  std::size_t next_ = 0;                                 // the target that tick() is at
  std::unique_ptr<IssuerSearches::Ticket> ticket_;       // its search
};

// A search among the certificates of a document, as crypto::read_issuer_document() returns them, and the known
// issuers.
IssuerSearch search_document(IssuerPool& pool, const Target& target,
                             const std::vector<crypto::X509Ptr>& certificates);

}  // namespace ocsp_plus::engine
