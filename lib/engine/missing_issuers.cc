#include "engine/missing_issuers.h"

#include <utility>

#include "crypto/issuer_document.h"

namespace ocsp_plus::engine {
namespace {

// Known candidates verified before the issuer is fetched: tenants may bring thousands.
constexpr std::size_t kMostKnown = 16;

}  // namespace

IssuerSearch search_document(IssuerPool& pool, const Target& target,
                             const std::vector<crypto::X509Ptr>& certificates) {
  std::vector<x509_st*> offered;
  offered.reserve(certificates.size());
  for (const crypto::X509Ptr& certificate : certificates) {
    offered.push_back(certificate.get());
  }
  return IssuerSearch(pool, target.certificate.id, target.issuer_lookup->leaf.get(), offered,
                      offered.size() + kMostKnown);
}

MissingIssuers::MissingIssuers(Catalog& catalog, IssuerSearches& searches, DiskCache* disk_cache, Fetched fetched)
    : catalog_(catalog), disk_cache_(disk_cache), searches_(searches), fetched_(std::move(fetched)) {}

void MissingIssuers::tick() {
  if (ticket_ != nullptr) {
    return;
  }
  const auto& targets = catalog_.targets();
  while (next_ < targets.size() && (targets[next_]->issuer != nullptr || targets[next_]->issuer_lookup == nullptr)) {
    ++next_;
  }
  if (next_ == targets.size()) {
    return;
  }
  Target& target = *targets[next_++];
  ticket_ = searches_.begin(search(target), [this, &target](const IssuerSearch& search) {
    ticket_.reset();
    if (search.found() != nullptr && target.issuer == nullptr) {
      give(target, search);
    }
    tick();
  });
}

IssuerSearch MissingIssuers::search(const Target& target) const {
  const auto kept =
      disk_cache_ != nullptr && !target.per_connection ? disk_cache_->load_issuer(target) : std::nullopt;
  std::vector<crypto::X509Ptr> certificates;
  if (kept.has_value()) {
    if (auto read = crypto::read_issuer_document(*kept)) {
      certificates = std::move(*read);
    }
  }
  return search_document(pool(), target, certificates);
}

bool MissingIssuers::find(Target& target) {
  return finish(target, search(target));
}

bool MissingIssuers::take_kept(Target& target, ByteView document) {
  const auto certificates = crypto::read_issuer_document(document);
  return certificates && finish(target, search_document(pool(), target, *certificates));
}

bool MissingIssuers::finish(Target& target, IssuerSearch search) {
  if (search.finish() != IssuerSearch::Step::kFound) {
    return false;
  }
  give(target, search);
  return true;
}

void MissingIssuers::give(Target& target, const IssuerSearch& found) {
  target.issuer = found.found();
}

void MissingIssuers::give_fetched(Target& target, const IssuerSearch& found, const net::Url& url) {
  give(target, found);
  if (!found.is_new()) {
    return;  // another search has given it already
  }
  if (disk_cache_ != nullptr && !target.per_connection) {
    if (Bytes der = crypto::der_of(found.found()->certificate()); !der.empty()) {
      disk_cache_->keep_issuer(target, std::move(der));
    }
  }
  if (fetched_) {
    fetched_(target, url);
  }
}

const net::Fetch::Failure* MissingIssuers::last_failure(const std::string& host) const {
  const auto found = failures_.find(host);
  return found == failures_.end() ? nullptr : &found->second;
}

}  // namespace ocsp_plus::engine
