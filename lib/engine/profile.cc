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
  for (const std::string_view server : servers) {
    sum = fnv1a("\xff", fnv1a(server, sum));
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
    target->required = profile->require == Mention::Require::kOn ||
                       (profile->require == Mention::Require::kMustStaple && target->certificate.must_staple);
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

Result<Catalog::AddedProfile> Catalog::add_profile(const Mention& mention) {
  Profile profile;
  AddedProfile added;
  for (const std::string_view text : mention.responders) {
    auto url = intern_url(text);
    if (!url) {
      return tl::unexpected<Error>(url.error());
    }
    join(&profile.responders, {*url});
  }
  Target bearer;
  if (auto joined = join_anchors(&bearer, mention.responder_anchors); !joined) {
    return tl::unexpected<Error>(joined.error());
  }
  profile.responder_anchors = bearer.responder_anchors;
  for (x509_st* certificate : mention.issuers) {
    auto known = trusted_ids_.find(certificate);
    if (known == trusted_ids_.end()) {
      const auto id = crypto::certificate_id(certificate);
      if (!id && id.error().reason == Reason::kOutOfMemory) {
        return tl::unexpected<Error>(id.error());
      }
      if (!id) {
        added.ignored = id.error().detail;
        continue;
      }
      known = trusted_ids_.emplace(certificate, *id).first;
    }
    profile.trusted.push_back(crypto::up_ref(certificate));
    profile.trusted_ids.push_back(known->second);
  }
  profile.servers.assign(mention.servers.begin(), mention.servers.end());
  profile.require = mention.require;
  // Servers of the same names, on other ports most likely, are told apart by their order.
  std::uint64_t ordinal = 0;
  do {
    profile.key = key_of(mention.servers, ordinal++);
  } while (profiles_.count(profile.key) != 0);
  added.key = profile.key;
  profiles_.emplace(added.key, std::move(profile));
  return added;
}

const Profile* Catalog::profile(std::uint64_t key) const {
  const auto found = profiles_.find(key);
  return found == profiles_.end() ? nullptr : &found->second;
}

}  // namespace ocsp_plus::engine
