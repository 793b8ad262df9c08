#include "engine/profile.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "engine/catalog.h"

namespace ocsp_plus::engine {
namespace {

constexpr std::size_t kMaxUrls = 4;  // of a certificate's own responders, those after them are left out

}  // namespace

// Nothing secret hangs on it: the configuration is the operator's.
std::uint64_t profile_key(const std::vector<std::string_view>& servers, std::uint64_t ordinal) {
  std::uint64_t sum = kFnvBasis ^ ordinal;
  for (const std::string_view name : servers) {
    sum = fnv1a("\xff", fnv1a(name, sum));
  }
  return sum;
}

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

Profile chain_profile(const Profile& of) {
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
  return profile;
}

}  // namespace ocsp_plus::engine
