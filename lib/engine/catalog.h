// What the configuration named: certificates, who issued them and whom to ask. Built once per configuration, in the
// master; immutable afterwards, so that workers share its pages, but for issuers that are fetched (engine/issuers.h).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/certificate.h"
#include "crypto/trust_anchors.h"
#include "engine/issuer_pool.h"
#include "net/url.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// What it takes to fetch an issuer, and to know it again.
struct IssuerLookup {
  crypto::X509Ptr leaf;
  CertificateId reference = {};       // crypto::issuer_reference()
  std::vector<const net::Url*> urls;  // caIssuers; owned by the target's owner, in order, at least one
};
constexpr std::size_t kMaxIssuerUrls = 4;  // those after them are left out

// Begins Target::health_suffix; never part of a host key.
constexpr char kHealthSuffix = '#';

// One certificate that shall be stapled; however many servers use it.
struct Target {
  crypto::Certificate certificate;
  // nullptr: none was found. Then the lease's holder may fill it in, in its own process.
  mutable IssuerPtr issuer;
  crypto::X509Ptr leaf;                         // where it has none, until settle_issuers()
  CertificateId issuer_reference = {};          // likewise, of one that may be sought; IssuerLookup::reference
  std::unique_ptr<IssuerLookup> issuer_lookup;  // how to find it, after that; nullptr: no way
  std::vector<const net::Url*> responders;      // owned by the catalog, in order; empty: nobody to ask
  std::vector<const net::Url*> named;           // those of them that stand in an ocsp_plus_responder
  // Whom https responders are checked against; owned by the catalog; nullptr: the system's trust store.
  const crypto::TrustAnchors* responder_anchors = nullptr;
  std::vector<std::string> files;             // paths of responses made elsewhere (ocsp_plus_file)
  std::set<std::string> servers;              // names of the servers that use it
  bool servers_joined = false;                // what a first server says of it is in
  bool required = false;                      // a server refuses handshakes without its staple
  store::EntryIndex entry = store::kNoEntry;  // once the zone is open

  // Of one that a server loads per connection (discovery.h). It is not the operator's, so only public
  // addresses are asked for it, unless the operator has said otherwise; and the health of its responders is counted
  // beside that of everybody else's, by its issuer: whoever makes certificates cannot give a host a bad name.
  bool loaded = false;
  bool public_only = false;
  std::string health_suffix;

  bool stapleable() const { return verifiable() && !responders.empty(); }            // by fetching
  bool verifiable() const { return issuer != nullptr || issuer_lookup != nullptr; }  // maybe after a fetch
  bool staple_required() const { return required || certificate.must_staple; }
  bool ended(UnixSeconds now) const { return now >= certificate.not_after; }
  // By which a responder's health is counted.
  std::string host(std::size_t responder) const { return responders[responder]->host_key() + health_suffix; }
  // Whom a redirect may lead to wherever they are (net/redirect.h).
  std::vector<std::string> named_hosts() const;
};

// Which handshakes a server refuses for want of a staple.
enum class Require { kOff, kMustStaple, kOn };

// The one rule. `must_staple`: the certificate has the TLS feature extension (RFC 7633).
constexpr bool requires_staple(Require require, bool must_staple) {
  return require == Require::kOn || (require == Require::kMustStaple && must_staple);
}

// What one server says of one of its certificates; without `leaf` and `files`, of those that it will load per
// connection. Everything is borrowed for the call.
struct ServerCertificate {
  x509_st* leaf = nullptr;
  std::string_view file;                     // where the configuration has it from; for people
  std::vector<x509_st*> issuers;             // candidates, in order of preference
  std::vector<std::string_view> responders;  // ocsp_plus_responder; empty: the certificate's own
  std::vector<x509_st*> responder_anchors;   // ocsp_plus_responder_trusted_certificate; empty: the system's
  std::vector<std::string_view> files;       // ocsp_plus_file
  std::vector<std::string_view> servers;     // the server's names
  std::string_view place;                    // where the server stands, "file:line"; for people
  Require require = Require::kOff;
};

// What the operator may have to be told of a certificate once all servers are added (engine/findings.h).
struct Remarks {
  std::string file;                             // ServerCertificate::file of the first server
  std::string server;                           // its place
  std::optional<std::string> required_by;       // the place of the first server that refuses handshakes without
  std::optional<std::string> other_responders;  // of the first that names other responders than those before it
  std::optional<std::string> other_anchors;     // likewise of anchors for https responders
  std::string ignored_url;                      // the first AIA URL that cannot be used, and why; empty: none
  // Why an issuer that was found cannot be used, so that it counts as not found; empty: nothing the matter.
  std::string issuer_unusable;
  // Where no server has named one that fits: what is wrong with the one of its name.
  crypto::IssuerFault issuer_fault = crypto::IssuerFault::kAbsent;
};

// A certificate that cannot be described, so that it never gets a staple: what a server says of it.
struct UnusableCertificate {
  std::string label;
  std::string file;
  std::string server;
  std::string why;
  bool must_staple = false;
  bool required = false;  // the server refuses handshakes without
};

// What a server says of certificates that it will load per connection.
struct Profile {
  std::uint64_t key = 0;                    // the same in the next configuration, while the server has the same names
  std::vector<const net::Url*> responders;  // ocsp_plus_responder; empty: the certificates' own
  const crypto::TrustAnchors* responder_anchors = nullptr;
  std::vector<crypto::X509Ptr> trusted;  // issuers that the operator has named
  std::vector<CertificateId> trusted_ids;
  std::vector<std::string> servers;
  Require require = Require::kOff;

  // Whether the operator has vouched for some of them.
  bool vouches() const { return !responders.empty() || !trusted.empty(); }
  bool vouches_for(const CertificateId& issuer) const;
};

// A certificate that the operator trusts, in which no issuer is found because it cannot be used.
struct IgnoredTrusted {
  std::string why;
  std::string server;
};

// Whom to ask for a certificate that was loaded, and from whence: by what its server says (nullptr: nobody knows the
// server any more), else by its own URLs, of which `urls` owns the first few then.
void set_responders(const Profile* profile, Target* target, std::vector<std::unique_ptr<net::Url>>* urls);

class Catalog {
 public:
  using Index = std::uint32_t;
  static constexpr Index kNoIndex = UINT32_MAX;

  struct Added {
    Index index = 0;           // of the target
    Target* target = nullptr;  // nullptr: the certificate cannot be described and never gets a staple
  };

  // One entry for a certificate, however many servers name it; what they say of it is joined. kUrlMalformed,
  // kUrlScheme for an ocsp_plus_responder; kInternal for anchors that cannot be made into a store; kOutOfMemory.
  // Nothing in the certificates is an error, since TLS may well be served with them: what cannot be used is left out
  // and remarked.
  Result<Added> add(const ServerCertificate& certificate);

  // All certificates were added: issuers that nobody named are not sought any more, or, with `fetch`, where the
  // certificates themselves say. To be called once; without it none is.
  void settle_issuers(bool fetch);

  // The server as one that may load certificates per connection; `issuers` are those that the operator trusts. Errors
  // as add().
  Result<const Profile*> add_profile(const ServerCertificate& server);
  // nullptr: this configuration has none of that key.
  const Profile* profile(std::uint64_t key) const;
  const std::map<std::uint64_t, Profile>& profiles() const { return profiles_; }

  const std::vector<std::unique_ptr<Target>>& targets() const { return targets_; }
  // Each certificate's number, in the order of their ids.
  const std::map<CertificateId, Index>& by_id() const { return by_id_; }
  // Host keys of all responders, each once, in the order of their first mention.
  const std::vector<std::string>& hosts() const { return hosts_; }
  // All issuers of this process: those of the configuration, and what the lease's holder adds to them.
  IssuerPool& issuers() const { return issuers_; }
  Target& target(Index index) { return *targets_[index]; }
  const Target& target(Index index) const { return *targets_[index]; }

  // For engine/findings.h, until they are forgotten.
  const std::vector<Remarks>& remarks() const { return remarks_; }                // by the target's index
  const std::vector<UnusableCertificate>& unusable() const { return unusable_; }  // those that have to be told of
  const std::optional<IgnoredTrusted>& ignored_trusted() const { return ignored_trusted_; }  // the first
  const std::optional<std::string>& requires_all() const { return requires_all_; }  // the first with Require::kOn
  void forget_remarks() { std::vector<Remarks>().swap(remarks_); }

 private:
  Result<const net::Url*> intern_url(std::string_view text);
  void add_unusable(const ServerCertificate& from, const Error& error);
  Index intern_target(crypto::Certificate certificate, const ServerCertificate& from);
  Result<void> find_issuer(const ServerCertificate& from, Target* entry, Remarks* remarks);
  std::vector<x509_st*> anchors_of(const Target& target) const;
  Result<void> join_anchors(Target* target, const std::vector<x509_st*>& more);
  // Adds what is not there yet.
  static void join(std::vector<const net::Url*>* into, const std::vector<const net::Url*>& more);
  Result<std::vector<const net::Url*>> responders_of(const ServerCertificate& from,
                                                     const crypto::Certificate& certificate, std::string* ignored);

  std::vector<std::unique_ptr<Target>> targets_;
  std::map<std::uint64_t, Profile> profiles_;
  std::map<x509_st*, CertificateId> trusted_ids_;  // kept alive by the profiles
  std::map<CertificateId, Index> by_id_;
  std::vector<Remarks> remarks_;  // by index; empty once they are forgotten
  std::vector<UnusableCertificate> unusable_;
  std::set<CertificateId> unusable_ids_;  // of those met so far
  std::optional<IgnoredTrusted> ignored_trusted_;
  std::optional<std::string> requires_all_;
  std::map<std::string, std::unique_ptr<net::Url>, std::less<>> urls_;
  mutable IssuerPool issuers_;
  std::vector<std::string> hosts_;
  std::set<std::string> known_hosts_;
  // By the certificates themselves, which the anchors keep alive: a file is read once, however many servers name it.
  // Null among them: those of the system as well.
  std::map<std::vector<x509_st*>, std::unique_ptr<crypto::TrustAnchors>> anchors_;
};

}  // namespace ocsp_plus::engine
