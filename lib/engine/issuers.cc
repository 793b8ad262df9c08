#include "engine/issuers.h"

#include <utility>

#include "crypto/issuer_document.h"

namespace ocsp_plus::engine {

Issuers::Issuers(const Catalog& catalog, Archive* archive, Fetched fetched)
    : catalog_(catalog), archive_(archive), fetched_(std::move(fetched)) {}

Issuers::~Issuers() {
  for (const Target* target : given_) {
    target->issuer = nullptr;
  }
}

void Issuers::look(std::size_t budget) {
  const auto& targets = catalog_.targets();
  for (; budget > 0 && next_ < targets.size(); ++next_) {
    const Target& target = *targets[next_];
    if (target.issuer == nullptr && target.sought != nullptr) {
      find(target);
      --budget;
    }
  }
}

bool Issuers::find(const Target& target) {
  if (const crypto::Issuer* issuer = known(target)) {
    give(target, issuer);
    return true;
  }
  const auto kept = archive_ != nullptr ? archive_->load_issuer(target) : std::nullopt;
  return kept.has_value() && take_kept(target, *kept);
}

bool Issuers::take_kept(const Target& target, ByteView document) {
  const auto issuer = adopt(target, document);
  if (issuer) {
    give(target, *issuer);
  }
  return issuer.has_value();
}

Result<void> Issuers::take(const Target& target, ByteView document, const net::Url& url) {
  const crypto::Issuer* issuer = known(target);  // somebody else may have been faster
  const bool fresh = issuer == nullptr;
  if (fresh) {
    const auto adopted = adopt(target, document);
    if (!adopted) {
      return tl::unexpected<Error>(adopted.error());
    }
    issuer = *adopted;
  }
  give(target, issuer);
  if (fresh && archive_ != nullptr) {
    if (auto der = crypto::to_der(issuer->certificate())) {
      archive_->keep_issuer(target, std::move(*der));
    }
  }
  if (fresh && fetched_) {
    fetched_(target, url);
  }
  return {};
}

const Error* Issuers::last_failure(const std::string& host) const {
  const auto found = failures_.find(host);
  return found == failures_.end() ? nullptr : &found->second;
}

const crypto::Issuer* Issuers::known(const Target& target) const {
  const auto [begin, end] = issuers_.equal_range(target.sought->reference);
  for (auto it = begin; it != end; ++it) {
    if (crypto::has_issued(it->second->certificate(), target.sought->leaf.get())) {
      return it->second.get();
    }
  }
  return nullptr;
}

Result<const crypto::Issuer*> Issuers::adopt(const Target& target, ByteView document) {
  auto certificate = crypto::issuer_from(document, target.sought->leaf.get());
  if (!certificate) {
    return tl::unexpected<Error>(certificate.error());
  }
  auto issuer = crypto::Issuer::create(certificate->get());
  if (!issuer) {
    return tl::unexpected<Error>(issuer.error());
  }
  return issuers_.emplace(target.sought->reference, std::move(*issuer))->second.get();
}

void Issuers::give(const Target& target, const crypto::Issuer* issuer) {
  given_.push_back(&target);
  target.issuer = issuer;
}

}  // namespace ocsp_plus::engine
