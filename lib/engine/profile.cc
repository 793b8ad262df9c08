// The part of Catalog that knows servers which load certificates per connection.
#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "engine/catalog.h"

namespace ocsp_plus::engine {
namespace {

constexpr std::size_t kMaxUrls = 4;  // of a certificate's own responders, those after them are left out

// Nothing secret hangs on it: the configuration is the operator's.
std::uint64_t key_of(const std::vector<std::string_view>& servers, std::uint64_t ordinal) {
  std::uint64_t sum = kFnvBasis ^ ordinal;
  for (const std::string_view name : servers) {
    sum = fnv1a("\xff", fnv1a(name, sum));
  }
  return sum;
}

}  // namespace

bool Profile::vouches_for(const CertificateId& issuer) const {
  return std::find(trusted_ids.begin(), trusted_ids.end(), issuer) != trusted_ids.end();
}

void set_responders(const Profile* profile, Target* target, std::vector<std::unique_ptr<net::Url>>* urls) {
  target->public_only = true;
  if (profile != nullptr) {
    target->ca = profile->ca;
    target->required = requires_staple(profile->require, target->certificate.must_staple);
    target->refresh = profile->refresh;
    target->responders = profile->responders;
    target->named = profile->responders;
    target->responder_anchors = profile->responder_anchors;
    target->public_only =
        profile->responders.empty() && !(target->issuer != nullptr && profile->vouches_for(target->issuer->id()));
  }
  if (!target->responders.empty()) {
    return;
  }
  for (const std::string& text : target->certificate.ocsp_urls) {
    auto url = net::Url::parse(text);
    if (url && target->responders.size() < kMaxUrls) {
      urls->push_back(std::make_unique<net::Url>(std::move(*url)));
      target->responders.push_back(urls->back().get());
    }
  }
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
  // Servers of the same names, on other ports most likely, are told apart by their order.
  std::uint64_t ordinal = 0;
  do {
    profile.key = key_of(server.servers, ordinal++);
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
    profile.chain_key = add_chain_profile(profile);
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

// CA certificates have responders of their own, and no handshake is refused for want of their staples.
std::uint64_t Catalog::add_chain_profile(const Profile& of) {
  Profile profile;
  profile.key = fnv1a("chain", of.key);
  profile.ca = true;
  profile.responder_anchors = of.responder_anchors;
  for (const crypto::X509Ptr& trusted : of.trusted) {
    profile.trusted.push_back(crypto::up_ref(trusted.get()));
  }
  profile.trusted_ids = of.trusted_ids;
  profile.servers = of.servers;
  profile.refresh = of.refresh;
  const std::uint64_t key = profile.key;
  profiles_.emplace(key, std::move(profile));
  return key;
}

const Profile* Catalog::profile(std::uint64_t key) const {
  const auto found = profiles_.find(key);
  return found == profiles_.end() ? nullptr : &found->second;
}

}  // namespace ocsp_plus::engine
