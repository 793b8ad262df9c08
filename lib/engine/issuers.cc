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
  if (Owned* owned = known(target)) {
    give(target, owned);
    return true;
  }
  const auto kept = archive_ != nullptr && !target.loaded ? archive_->load_issuer(target) : std::nullopt;
  return kept.has_value() && take_kept(target, *kept);
}

bool Issuers::take_kept(const Target& target, ByteView document) {
  const auto owned = adopt(target, document);
  if (owned) {
    give(target, *owned);
  }
  return owned.has_value();
}

Result<void> Issuers::take(const Target& target, ByteView document, const net::Url& url) {
  Owned* owned = known(target);  // somebody else may have been faster
  const bool fresh = owned == nullptr;
  if (fresh) {
    const auto adopted = adopt(target, document);
    if (!adopted) {
      return tl::unexpected<Error>(adopted.error());
    }
    owned = *adopted;
  }
  give(target, owned);
  if (fresh && archive_ != nullptr && !target.loaded) {
    if (auto der = crypto::to_der(owned->issuer->certificate())) {
      archive_->keep_issuer(target, std::move(*der));
    }
  }
  if (fresh && fetched_) {
    fetched_(target, url);
  }
  return {};
}

void Issuers::release(const Target& target) {
  const auto [begin, end] = issuers_.equal_range(target.sought->reference);
  for (auto it = begin; it != end; ++it) {
    if (it->second.issuer.get() == target.issuer) {
      target.issuer = nullptr;
      if (--it->second.users == 0) {
        issuers_.erase(it);
      }
      return;
    }
  }
}

const net::Fetch::Failure* Issuers::last_failure(const std::string& host) const {
  const auto found = failures_.find(host);
  return found == failures_.end() ? nullptr : &found->second;
}

Issuers::Owned* Issuers::known(const Target& target) {
  const auto [begin, end] = issuers_.equal_range(target.sought->reference);
  for (auto it = begin; it != end; ++it) {
    if (crypto::has_issued(it->second.issuer->certificate(), target.sought->leaf.get())) {
      return &it->second;
    }
  }
  return nullptr;
}

Result<Issuers::Owned*> Issuers::adopt(const Target& target, ByteView document) {
  auto certificate = crypto::issuer_from(document, target.sought->leaf.get());
  if (!certificate) {
    return tl::unexpected<Error>(certificate.error());
  }
  auto issuer = crypto::Issuer::create(certificate->get());
  if (!issuer) {
    return tl::unexpected<Error>(issuer.error());
  }
  return &issuers_.emplace(target.sought->reference, Owned{std::move(*issuer)})->second;
}

void Issuers::give(const Target& target, Owned* owned) {
  if (!target.loaded) {
    given_.push_back(&target);
  }
  ++owned->users;
  target.issuer = owned->issuer.get();
}

}  // namespace ocsp_plus::engine
