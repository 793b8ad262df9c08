#include "engine/catalog.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "crypto/issuer_document.h"

namespace ocsp_plus::engine {
namespace {

bool is_required(const Mention& mention, bool must_staple) {
  return mention.require == Mention::Require::kOn ||
         (mention.require == Mention::Require::kMustStaple && must_staple);
}

}  // namespace

std::vector<std::string> Target::named_hosts() const {
  std::vector<std::string> hosts;
  hosts.reserve(named.size());
  for (const net::Url* url : named) {
    hosts.push_back(url->host_key());
  }
  return hosts;
}

Result<const net::Url*> Catalog::intern_url(std::string_view text) {
  const auto found = urls_.find(text);
  if (found != urls_.end()) {
    return found->second.get();
  }
  auto url = net::Url::parse(text);
  if (!url) {
    return tl::unexpected<Error>(url.error());
  }
  if (known_hosts_.insert(url->host_key()).second) {
    hosts_.push_back(url->host_key());
  }
  return urls_.emplace(std::string(text), std::make_unique<net::Url>(std::move(*url))).first->second.get();
}

std::vector<x509_st*> Catalog::anchors_of(const Target& target) const {
  for (const auto& [certificates, anchors] : anchors_) {
    if (anchors.get() == target.responder_anchors) {
      return certificates;
    }
  }
  return {nullptr};
}

// Of several servers, the anchors of each are trusted: those of the system for one that names none, because what it
// would reach alone it has to reach beside others as well.
Result<void> Catalog::join_anchors(Target* target, const std::vector<x509_st*>& more) {
  std::vector<x509_st*> all = target->servers_joined ? anchors_of(*target) : std::vector<x509_st*>();
  for (x509_st* certificate : more) {
    if (std::find(all.begin(), all.end(), certificate) == all.end()) {
      all.push_back(certificate);
    }
  }
  if (all == std::vector<x509_st*>{nullptr}) {
    return {};
  }
  std::unique_ptr<crypto::TrustAnchors>& anchors = anchors_[all];
  if (anchors == nullptr) {
    std::vector<crypto::X509Ptr> certificates;
    for (x509_st* certificate : all) {
      if (certificate != nullptr) {
        certificates.push_back(crypto::up_ref(certificate));
      }
    }
    auto made = crypto::TrustAnchors::of(certificates, certificates.size() < all.size());
    if (!made) {
      anchors_.erase(all);
      return tl::unexpected<Error>(made.error());
    }
    anchors = std::make_unique<crypto::TrustAnchors>(std::move(*made));
  }
  target->responder_anchors = anchors.get();
  return {};
}

void Catalog::join(std::vector<const net::Url*>* into, const std::vector<const net::Url*>& more) {
  for (const net::Url* url : more) {
    if (std::find(into->begin(), into->end(), url) == into->end()) {
      into->push_back(url);
    }
  }
}

Result<std::vector<const net::Url*>> Catalog::responders_of(const Mention& mention,
                                                            const crypto::Certificate& certificate,
                                                            std::vector<std::string>* ignored) {
  std::vector<const net::Url*> responders;
  for (std::string_view text : mention.responders) {
    auto url = intern_url(text);
    if (!url) {
      return tl::unexpected<Error>(url.error());
    }
    join(&responders, {*url});
  }
  if (!mention.responders.empty()) {
    return responders;
  }
  for (const std::string& text : certificate.ocsp_urls) {
    if (auto url = intern_url(text)) {
      join(&responders, {*url});
    } else {
      ignored->push_back(fmt::format("{}: {}", quoted(text), url.error().detail));
    }
  }
  return responders;
}

Catalog::Added Catalog::add_unusable(const Mention& mention, const Error& error) {
  Added added;
  added.unusable = error.detail;
  // One that cannot even be hashed is told anew for each server.
  const auto id = crypto::certificate_id(mention.leaf);
  added.known = id && !unusable_.insert(*id).second;
  added.required = is_required(mention, crypto::demands_staple(mention.leaf));
  return added;
}

// Where none can be used the leaf is kept: its issuer may be fetched.
Result<void> Catalog::find_issuer(const Mention& mention, Target* entry, Added* added) {
  if (x509_st* const certificate = crypto::find_issuer(mention.leaf, mention.issuers)) {
    auto issuer = issuers_.intern(certificate);
    if (issuer) {
      entry->issuer = std::move(*issuer);
      entry->leaf.reset();
      return {};
    }
    if (issuer.error().reason == Reason::kOutOfMemory) {
      return tl::unexpected<Error>(issuer.error());
    }
    added->issuer_unusable = issuer.error().detail;
  }
  added->issuer_fault = crypto::why_no_issuer(mention.leaf, mention.issuers);
  entry->leaf = crypto::up_ref(mention.leaf);
  const std::vector<std::string>& urls = entry->certificate.ca_issuers_urls;
  if (std::none_of(urls.begin(), urls.end(),
                   [](const std::string& text) { return net::Url::parse(text).has_value(); })) {
    return {};
  }
  const auto reference = crypto::issuer_reference(mention.leaf);
  if (!reference && reference.error().reason == Reason::kOutOfMemory) {
    return tl::unexpected<Error>(reference.error());
  }
  added->issuer_lookup = reference.has_value();
  if (reference) {
    entry->issuer_reference = *reference;
  } else {
    added->issuer_unusable = reference.error().detail;
    entry->leaf.reset();
  }
  return {};
}

namespace {

void join_names(const Mention& mention, Target* entry) {
  for (const std::string_view file : mention.files) {
    if (std::find(entry->files.begin(), entry->files.end(), file) == entry->files.end()) {
      entry->files.emplace_back(file);
    }
  }
  for (const std::string_view server : mention.servers) {
    entry->servers.emplace(server);
  }
}

}  // namespace

Result<Catalog::Added> Catalog::add(const Mention& mention) {
  auto certificate = crypto::describe(mention.leaf);
  if (!certificate && certificate.error().reason == Reason::kUnreadable) {
    return add_unusable(mention, certificate.error());
  }
  if (!certificate) {
    return tl::unexpected<Error>(certificate.error());
  }
  Added added;
  auto responders = responders_of(mention, *certificate, &added.ignored);
  if (!responders) {
    return tl::unexpected<Error>(responders.error());
  }

  const auto known = by_id_.find(certificate->id);
  added.known = known != by_id_.end();
  added.index = added.known ? known->second : static_cast<Index>(targets_.size());
  if (!added.known) {
    auto fresh = std::make_unique<Target>();
    fresh->certificate = std::move(*certificate);
    const CertificateId& id = fresh->certificate.id;
    targets_.push_back(std::move(fresh));
    try {
      by_id_.emplace(id, added.index);
    } catch (...) {
      targets_.pop_back();
      throw;
    }
  }

  Target& entry = target(added.index);
  if (entry.issuer == nullptr) {
    if (auto found = find_issuer(mention, &entry, &added); !found) {
      return tl::unexpected<Error>(found.error());
    }
  }
  const std::vector<x509_st*> mine =
      mention.responder_anchors.empty() ? std::vector<x509_st*>{nullptr} : mention.responder_anchors;
  added.anchors_differ = entry.servers_joined && anchors_of(entry) != mine;
  if (auto joined = join_anchors(&entry, mine); !joined) {
    return tl::unexpected<Error>(joined.error());
  }
  entry.servers_joined = true;
  join_names(mention, &entry);
  added.required = is_required(mention, entry.certificate.must_staple);
  entry.required = entry.required || added.required;
  added.differs = added.known && entry.responders != *responders;
  join(&entry.responders, *responders);
  if (!mention.responders.empty()) {
    join(&entry.named, *responders);
  }
  return added;
}

// Other schemes than http and https (ldap is usual) are no fault; there may be nobody to ask, then.
void Catalog::settle_issuers(bool fetch) {
  for (const auto& target : targets_) {
    if (!fetch || target->leaf == nullptr) {
      target->leaf.reset();
      continue;
    }
    auto lookup = std::make_unique<IssuerLookup>();
    for (const std::string& text : target->certificate.ca_issuers_urls) {
      if (const auto url = intern_url(text); url && lookup->urls.size() < kMaxIssuerUrls) {
        join(&lookup->urls, {*url});
      }
    }
    lookup->reference = target->issuer_reference;
    lookup->leaf = std::move(target->leaf);
    target->issuer_lookup = lookup->urls.empty() ? nullptr : std::move(lookup);
  }
}

}  // namespace ocsp_plus::engine
