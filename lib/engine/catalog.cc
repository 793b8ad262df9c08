#include "engine/catalog.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "crypto/certificate_message.h"
#include "crypto/issuer_document.h"
#include "store/zone_registry.h"

namespace ocsp_plus::engine {
namespace {

// Longer than the staples of today's CAs, which have up to 5 kB with a signer's certificate of RSA 4096.
constexpr std::size_t kUsualStaple = 8192;

// Appends what `into` lacks.
template <typename Value, typename More = std::vector<Value>>
void join(std::vector<Value>* into, const More& more) {
  for (const auto& value : more) {
    if (std::find(into->begin(), into->end(), value) == into->end()) {
      into->emplace_back(value);
    }
  }
}

std::unique_ptr<Remarks> first_remarks(const ServerCertificate& from) {
  auto remarks = std::make_unique<Remarks>();
  remarks->file = from.file;
  remarks->server = from.place;
  return remarks;
}

}  // namespace

bool names_issuer_url(const crypto::Certificate& certificate) {
  const auto& urls = certificate.ca_issuers_urls;
  return std::any_of(urls.begin(), urls.end(),
                     [](const std::string& text) { return net::Url::parse(text).has_value(); });
}

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
  RETURN_IF_ERROR(url);
  if (known_hosts_.insert(url->host_key()).second) {
    hosts_.push_back(url->host_key());
  }
  return urls_.emplace(std::string(text), std::make_unique<net::Url>(std::move(*url))).first->second.get();
}

// Returns each URL once.
Result<std::vector<const net::Url*>> Catalog::intern_urls(const std::vector<std::string_view>& texts) {
  std::vector<const net::Url*> urls;
  for (const std::string_view text : texts) {
    auto url = intern_url(text);
    RETURN_IF_ERROR(url);
    join(&urls, std::array{*url});
  }
  return urls;
}

std::vector<x509_st*> Catalog::anchors_of(const Target& target) const {
  for (const auto& [certificates, anchors] : anchors_) {
    if (anchors.get() == target.responder_anchors) {
      return certificates;
    }
  }
  return {nullptr};
}

// Trusts the anchors of all servers that share the certificate, the system's where one names none: each server must
// reach the responders that it would reach alone.
Result<void> Catalog::join_anchors(Target* target, const std::vector<x509_st*>& more) {
  std::vector<x509_st*> all = target->servers_joined ? anchors_of(*target) : std::vector<x509_st*>();
  join(&all, more);
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

Result<std::vector<const net::Url*>> Catalog::responders_of(const ServerCertificate& from,
                                                            const crypto::Certificate& certificate,
                                                            std::string* ignored) {
  if (!from.responders.empty()) {
    return intern_urls(from.responders);
  }
  std::vector<const net::Url*> responders;
  for (const std::string& text : certificate.ocsp_urls) {
    if (auto url = intern_url(text)) {
      join(&responders, std::array{*url});
    } else if (ignored->empty()) {
      *ignored = fmt::format("{}: {}", quoted(text), url.error().detail);
    }
  }
  return responders;
}

// Records a certificate once, and again for each server that would refuse handshakes with it. One that cannot be
// hashed is recorded for each server.
void Catalog::add_unusable(const ServerCertificate& from, const Error& error) {
  UnusableCertificate unusable;
  const auto id = crypto::certificate_id(from.leaf);
  const bool known = id && !unusable_ids_.insert(*id).second;
  unusable.must_staple = crypto::demands_staple(from.leaf);
  unusable.required = requires_staple(from.require, unusable.must_staple);
  if (known && !unusable.required) {
    return;
  }
  unusable.label = crypto::label_of(from.leaf);
  unusable.file = from.file;
  unusable.server = from.place;
  unusable.why = error.detail;
  unusable_.push_back(std::move(unusable));
}

// Sets the target's issuer; without a usable one it keeps the leaf, since the issuer may be fetched.
Result<void> Catalog::find_issuer(const ServerCertificate& from, Target* entry) {
  Remarks* const remarks = entry->remarks.get();
  const auto remark_unusable = [remarks](const Error& error) {
    if (remarks->issuer_unusable.empty()) {
      remarks->issuer_unusable = error.detail;
    }
  };
  std::vector<x509_st*> candidates = from.issuers;
  candidates.insert(candidates.end(), from.chain.begin(), from.chain.end());
  if (x509_st* const certificate = crypto::find_issuer(from.leaf, candidates)) {
    auto issuer = issuers_.intern(certificate);
    if (issuer) {
      entry->issuer = std::move(*issuer);
      entry->leaf.reset();
      entry->issuer_reference = {};
      return {};
    }
    if (issuer.error().reason == Reason::kOutOfMemory) {
      return tl::unexpected<Error>(issuer.error());
    }
    remark_unusable(issuer.error());
  }
  const crypto::IssuerFault fault = crypto::why_no_issuer(from.leaf, candidates);
  if (fault != crypto::IssuerFault::kAbsent) {
    remarks->issuer_fault = fault;
  }
  entry->leaf = crypto::up_ref(from.leaf);
  if (!names_issuer_url(entry->certificate)) {
    return {};
  }
  const auto reference = crypto::issuer_reference(from.leaf);
  if (!reference && reference.error().reason == Reason::kOutOfMemory) {
    return tl::unexpected<Error>(reference.error());
  }
  if (reference) {
    entry->issuer_reference = *reference;
  } else {
    remark_unusable(reference.error());
    entry->leaf.reset();
  }
  return {};
}

void Catalog::measure_message(const ServerCertificate& from, Remarks* remarks) {
  const std::size_t size = crypto::message_size(from.leaf, from.chain);
  if (size > remarks->message && crypto::staple_room(size) < kUsualStaple) {
    remarks->message = size;
    remarks->message_server = from.place;
  }
}

// Returns the certificate's target; a new one is empty but for the certificate.
Target& Catalog::intern_target(crypto::Certificate certificate, const ServerCertificate& from) {
  const auto known = by_id_.find(certificate.id);
  if (known != by_id_.end()) {
    return *known->second;
  }
  auto fresh = std::make_unique<Target>();
  fresh->certificate = std::move(certificate);
  fresh->remarks = first_remarks(from);
  Target& target = *fresh;
  const auto added = by_id_.emplace(target.certificate.id, &target).first;
  try {
    targets_.push_back(std::move(fresh));
  } catch (...) {
    by_id_.erase(added);
    throw;
  }
  return target;
}

Result<Catalog::Added> Catalog::add(const ServerCertificate& from) {
  auto certificate = crypto::describe(from.leaf);
  if (!certificate && certificate.error().reason == Reason::kUnreadable) {
    add_unusable(from, certificate.error());
    return Added();
  }
  RETURN_IF_ERROR(certificate);
  const auto target = add_target(std::move(*certificate), from, false);
  RETURN_IF_ERROR(target);
  Added added = {*target, {}};
  if (from.staple_chain) {
    auto links = add_chain(from);
    RETURN_IF_ERROR(links);
    added.links = std::move(*links);
  }
  return added;
}

// Adds what may be stapled of the certificates sent after the leaf: up to the first that is a root or whose issuer is
// not sent after it. A client takes a gap for the end of the list, or shifts what follows, and GnuTLS refuses the
// connection over a response that it cannot verify with what was sent.
Result<std::vector<Target*>> Catalog::add_chain(const ServerCertificate& from) {
  std::vector<Target*> links;
  ServerCertificate link = from;
  link.issuers.clear();
  link.responders.clear();
  link.require = Require::kOff;
  for (auto at = from.chain.begin(); at != from.chain.end() && links.size() < kMaxLinks; ++at) {
    link.leaf = *at;
    link.chain.assign(at + 1, from.chain.end());
    auto certificate = crypto::describe(link.leaf);
    if ((!certificate && certificate.error().reason == Reason::kUnreadable) ||
        (certificate && certificate->is_root)) {
      break;
    }
    RETURN_IF_ERROR(certificate);
    if (crypto::find_issuer(link.leaf, link.chain) == nullptr) {
      if (links.empty() && loose_chains_.count++ == 0) {
        loose_chains_ = {1, crypto::label_of(from.leaf), certificate->issuer, std::string(from.file),
                         std::string(from.place)};
      }
      break;
    }
    const auto target = add_target(std::move(*certificate), link, true);
    RETURN_IF_ERROR(target);
    if ((*target)->issuer == nullptr) {  // its key cannot be used
      break;
    }
    links.push_back(*target);
  }
  return links;
}

// `ca`: the certificate is sent after a leaf. What servers say of it as a leaf goes before.
Result<Target*> Catalog::add_target(crypto::Certificate certificate, const ServerCertificate& from, bool ca) {
  std::string ignored;
  auto responders = responders_of(from, certificate, &ignored);
  RETURN_IF_ERROR(responders);
  Target& target = intern_target(std::move(certificate), from);
  if (target.ca && !ca) {
    target.responders.clear();
    target.servers_joined = false;
    target.remarks = first_remarks(from);
  }
  if (target.issuer == nullptr) {
    RETURN_IF_ERROR(find_issuer(from, &target));
  }
  join(&target.files, from.files);
  target.servers.insert(from.servers.begin(), from.servers.end());
  if (ca && target.servers_joined && !target.ca) {
    return &target;
  }
  target.ca = ca;
  if (!target.servers_joined) {
    target.remarks->ignored_url = std::move(ignored);
  }
  RETURN_IF_ERROR(join_server(from, *responders, &target));
  return &target;
}

// Joins a server's directives to those of the servers before it.
Result<void> Catalog::join_server(const ServerCertificate& from, const std::vector<const net::Url*>& responders,
                                  Target* target) {
  const auto remark_if = [&from](bool so, std::optional<std::string>* place) {
    if (so && !place->has_value()) {
      *place = std::string(from.place);
    }
  };
  const std::vector<x509_st*> anchors =
      from.responder_anchors.empty() ? std::vector<x509_st*>{nullptr} : from.responder_anchors;
  const bool required = requires_staple(from.require, target->certificate.must_staple);
  Remarks* const remarks = target->remarks.get();
  remark_if(target->servers_joined && target->responders != responders, &remarks->other_responders);
  remark_if(target->servers_joined && anchors_of(*target) != anchors, &remarks->other_anchors);
  remark_if(required, &remarks->required_by);
  RETURN_IF_ERROR(join_anchors(target, anchors));
  measure_message(from, remarks);
  target->required = target->required || required;
  if (from.refresh != 0) {
    target->refresh = target->refresh == 0 ? from.refresh : std::min(target->refresh, from.refresh);
  }
  join(&target->responders, responders);
  if (!from.responders.empty()) {
    join(&target->named, responders);
  }
  target->servers_joined = true;
  return {};
}

Result<const Profile*> Catalog::add_profile(const ServerCertificate& server) {
  Profile profile;
  auto named = intern_urls(server.responders);
  RETURN_IF_ERROR(named);
  profile.responders = std::move(*named);
  Target bearer;
  RETURN_IF_ERROR(join_anchors(&bearer, server.responder_anchors));
  profile.responder_anchors = bearer.responder_anchors;
  RETURN_IF_ERROR(trust(server, &profile));
  profile.servers.assign(server.servers.begin(), server.servers.end());
  profile.require = server.require;
  profile.refresh = server.refresh;
  std::uint64_t ordinal = 0;
  do {
    profile.key = profile_key(server.servers, ordinal++);
  } while (profiles_.count(profile.key) != 0);
  const auto note_first = [&server](std::optional<std::string>* place) {
    if (!place->has_value()) {
      *place = std::string(server.place);
    }
  };
  if (profile.require == Require::kOn) {
    note_first(&requires_all_);
  }
  if (server.staple_chain) {
    note_first(&staples_chains_);
    Profile chain = chain_profile(profile);
    profile.chain_key = chain.key;
    profiles_.emplace(profile.chain_key, std::move(chain));
  }
  const std::uint64_t key = profile.key;
  return &profiles_.emplace(key, std::move(profile)).first->second;
}

// Adds the issuers that the operator trusts in the server, without those that cannot be used.
Result<void> Catalog::trust(const ServerCertificate& server, Profile* profile) {
  for (x509_st* certificate : server.issuers) {
    auto known = trusted_ids_.find(certificate);
    if (known == trusted_ids_.end()) {
      const auto id = crypto::certificate_id(certificate);
      if (!id && id.error().reason == Reason::kOutOfMemory) {
        return tl::unexpected<Error>(id.error());
      }
      if (!id) {
        if (!ignored_trusted_.has_value()) {
          ignored_trusted_ = IgnoredTrusted{id.error().detail, std::string(server.place)};
        }
        continue;
      }
      known = trusted_ids_.emplace(certificate, *id).first;
    }
    profile->trusted.push_back(crypto::up_ref(certificate));
    profile->trusted_ids.push_back(known->second);
  }
  return {};
}

const Profile* Catalog::profile(std::uint64_t key) const {
  const auto found = profiles_.find(key);
  return found == profiles_.end() ? nullptr : &found->second;
}

// URLs of other schemes (ldap is usual) are ignored; without any other the issuer is not fetched.
void Catalog::settle_issuers(bool fetch) {
  for (const auto& target : targets_) {
    if (!fetch || target->leaf == nullptr) {
      target->leaf.reset();
      continue;
    }
    auto lookup = std::make_unique<IssuerLookup>();
    for (const std::string& text : target->certificate.ca_issuers_urls) {
      if (const auto url = intern_url(text); url && lookup->urls.size() < kMaxIssuerUrls) {
        join(&lookup->urls, std::array{*url});
      }
    }
    lookup->reference = target->issuer_reference;
    lookup->leaf = std::move(target->leaf);
    target->issuer_lookup = lookup->urls.empty() ? nullptr : std::move(lookup);
  }
}

Result<std::uint32_t> Catalog::take_entries(const store::StapleZone& zone, SharedLock& lock) {
  std::vector<store::Registration> registrations;
  registrations.reserve(targets_.size());
  for (const auto& target : targets_) {
    registrations.push_back({target->certificate.id, target->issuer != nullptr
                                                         ? store::IssuerKey(target->issuer->key_sha256())
                                                         : store::kUnknownIssuer});
  }
  std::vector<store::EntryIndex> entries;
  auto generation = store::register_all(zone, lock, registrations, &entries);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    targets_[i]->entry = entries[i];
  }
  return generation;
}

}  // namespace ocsp_plus::engine
