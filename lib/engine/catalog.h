// Everything that the configuration names: certificates, their issuers and responders. Built once per configuration,
// in the master; workers share its pages, since only the lease holder changes it afterwards, in its own process: it
// sets the issuers that it fetches (engine/missing_issuers.h).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "crypto/certificate.h"
#include "crypto/trust_anchors.h"
#include "engine/issuer_pool.h"
#include "engine/profile.h"
#include "net/url.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// How to fetch a missing issuer, and to recognize it.
struct IssuerLookup {
  crypto::X509Ptr leaf;
  CertificateId reference = {};       // crypto::issuer_reference()
  std::vector<const net::Url*> urls;  // caIssuers, in order, at least one; owned by the target's owner
};
constexpr std::size_t kMaxIssuerUrls = 4;  // further URLs are ignored

// Returns whether one of its caIssuers URLs can be fetched: ldap is usual, and cannot.
bool names_issuer_url(const crypto::Certificate& certificate);

// Begins Target::health_suffix; never part of a host key.
constexpr char kHealthSuffix = '#';

// Remarks on a certificate that findings() may report once all servers are added (engine/findings.h).
struct Remarks {
  std::string file;                             // ServerCertificate::file of the first server
  std::string server;                           // place of the first server
  std::optional<std::string> required_by;       // place of the first server that refuses handshakes without a staple
  std::optional<std::string> other_responders;  // place of the first server that names other responders
  std::optional<std::string> other_anchors;     // place of the first server that names other anchors for them
  std::string ignored_url;                      // the first AIA URL that cannot be used, and why; empty: none
  // Why the issuer that was found cannot be used and counts as not found; empty: no such issuer.
  std::string issuer_unusable;
  // The fault of a candidate that has the issuer's name, if no server names a better one.
  crypto::IssuerFault issuer_fault = crypto::IssuerFault::kAbsent;
  // The longest Certificate message with it that has no room for every usual staple (crypto/certificate_message.h):
  // bytes, and the server's place; 0: none.
  std::size_t message = 0;
  std::string message_server;
};

// A certificate to be stapled, whatever the number of servers that use it.
struct Target {
  crypto::Certificate certificate;
  IssuerPtr issuer;                             // nullptr: none was found
  crypto::X509Ptr leaf;                         // without an issuer, until settle_issuers(); else nullptr
  CertificateId issuer_reference = {};          // becomes IssuerLookup::reference; zero: the issuer is not fetched
  std::unique_ptr<IssuerLookup> issuer_lookup;  // from settle_issuers() on; nullptr: the issuer is not fetched
  std::vector<const net::Url*> responders;      // in order, owned by the catalog; empty: none is known
  std::vector<const net::Url*> named;           // the responders that an ocsp_plus_responder names
  // Trust anchors for https responders, owned by the catalog; nullptr: the system's.
  const crypto::TrustAnchors* responder_anchors = nullptr;
  std::vector<std::string> files;             // paths of responses made elsewhere (ocsp_plus_file)
  std::set<std::string> servers;              // names of the servers that use it
  bool servers_joined = false;                // at least one server's directives are joined
  bool ca = false;                            // servers send it after their own certificates, and none as its own
  bool required = false;                      // a server refuses handshakes without its staple
  Seconds refresh = 0;                        // RefreshBound::within: the shortest of its servers'
  store::EntryIndex entry = store::kNoEntry;  // set when the zone is open
  std::unique_ptr<Remarks> remarks;           // nullptr: a server loads it per connection

  // A server loads it per connection (discovery.h). A tenant may have made it, so only public addresses are asked,
  // unless the operator vouches for it (public_only), and its responders' health is counted by its issuer
  // (health_suffix): tenants cannot make a host look failing for others.
  bool per_connection = false;
  bool public_only = false;
  std::string health_suffix;

  bool stapleable() const { return verifiable() && !responders.empty(); }            // a fetch may get a response
  bool verifiable() const { return issuer != nullptr || issuer_lookup != nullptr; }  // maybe after a fetch
  bool has_source() const { return !responders.empty() || !files.empty(); }          // of responses
  // The issuer is fetched on the way to a responder only.
  bool issuer_may_come() const { return issuer != nullptr || (issuer_lookup != nullptr && !responders.empty()); }
  bool supported() const { return issuer_may_come() && has_source(); }  // there may be a response
  bool staple_required() const { return required || (certificate.must_staple && !ca); }
  bool ended(UnixSeconds now) const { return now >= certificate.not_after; }
  // Returns the key by which ResponderHealth counts the host of a URL of this certificate's.
  std::string host(const net::Url& url) const { return url.host_key() + health_suffix; }
  std::string host(std::size_t responder) const { return host(*responders[responder]); }
  // Returns the hosts that a redirect may lead to even at a private address (net/redirect.h).
  std::vector<std::string> named_hosts() const;
};

// One server's directives for one of its certificates; without `leaf` and `files`, for those that it loads per
// connection. Everything is borrowed for the call.
struct ServerCertificate {
  x509_st* leaf = nullptr;
  std::string_view file;                     // path of the certificate; for people
  std::vector<x509_st*> issuers;             // candidates, in order of preference
  std::vector<x509_st*> chain;               // sent after the leaf; candidates after `issuers`
  std::vector<std::string_view> responders;  // ocsp_plus_responder; empty: the certificate's own
  std::vector<x509_st*> responder_anchors;   // ocsp_plus_responder_trusted_certificate; empty: the system's
  std::vector<std::string_view> files;       // ocsp_plus_file
  std::vector<std::string_view> servers;     // the server's names
  std::string_view place;                    // the server's place in the configuration, "file:line"; for people
  Require require = Require::kOff;
  Seconds refresh = 0;        // ocsp_plus_refresh; 0: auto
  bool staple_chain = false;  // ocsp_plus_chain: what is sent after the leaf is stapled too, where that can be
};

// Certificates sent after a leaf that may be stapled: no more have an issuer that is sent as well.
constexpr std::size_t kMaxLinks = 8;

// A certificate that cannot be described and so never gets a staple, as one server has it.
struct UnusableCertificate {
  std::string label;
  std::string file;
  std::string server;
  std::string why;
  bool must_staple = false;
  bool required = false;  // the server refuses handshakes without a staple
};

// Certificates whose server has `staple_chain` and sends CA certificates, none of which may be stapled, since the
// issuer of the first is not among them.
struct LooseChains {
  std::size_t count = 0;
  // The first one.
  std::string leaf;     // its label
  std::string missing;  // the issuer's name
  std::string file;
  std::string server;
};

// A trusted certificate that cannot be used as an issuer.
struct IgnoredTrusted {
  std::string why;
  std::string server;
};

class Catalog {
 public:
  struct Added {
    Target* target = nullptr;    // nullptr: the certificate is unusable (UnusableCertificate)
    std::vector<Target*> links;  // targets of the chain's first certificates, which may be stapled with the leaf
  };

  // Adds a server's certificate, and with `staple_chain` those after it. All servers of a certificate share one
  // target, which joins their directives; a CA's has its own responders, and what a server says of it as a leaf
  // replaces them. kUrlMalformed, kUrlScheme: an ocsp_plus_responder; kInternal: OpenSSL makes no store of the
  // anchors; kOutOfMemory. Nothing in a certificate is an error, since TLS works without a staple: what cannot be
  // used is ignored and remarked.
  Result<Added> add(const ServerCertificate& certificate);

  // Ends the adding of certificates. `fetch`: missing issuers may be fetched from the certificates' caIssuers URLs.
  // Call it once; before it no issuer is fetched.
  void settle_issuers(bool fetch);

  // Gives each target its entry in the zone. Returns the generation of this configuration; errors as
  // store::register_all(). REQUIRES: settle_issuers().
  Result<std::uint32_t> take_entries(const store::StapleZone& zone, SharedLock& lock);

  // Adds the profile of a server that may load certificates per connection, and with `staple_chain` that of the CA
  // certificates sent after them; `server.issuers` are those that the operator trusts. Errors as add().
  Result<const Profile*> add_profile(const ServerCertificate& server);
  // Returns the profile of that key; nullptr: this configuration has none.
  const Profile* profile(std::uint64_t key) const;
  const std::map<std::uint64_t, Profile>& profiles() const { return profiles_; }

  const std::vector<std::unique_ptr<Target>>& targets() const { return targets_; }
  const std::map<CertificateId, Target*>& by_id() const { return by_id_; }
  // Returns the host keys of all responders, each once, in the order of the configuration.
  const std::vector<std::string>& hosts() const { return hosts_; }
  bool names_host(const std::string& host_key) const { return known_hosts_.count(host_key) != 0; }
  // Returns all issuers of this process: those of the configuration, and those that the lease holder adds.
  IssuerPool& issuers() { return issuers_; }

  // Remarks for findings(), beside those of the targets.
  const std::vector<UnusableCertificate>& unusable() const { return unusable_; }             // those to be reported
  const std::optional<IgnoredTrusted>& ignored_trusted() const { return ignored_trusted_; }  // the first
  const std::optional<std::string>& requires_all() const { return requires_all_; }  // the first with Require::kOn
  // The place of the first server with staple_chain.
  const std::optional<std::string>& staples_chains() const { return staples_chains_; }
  const LooseChains& loose_chains() const { return loose_chains_; }

 private:
  Result<const net::Url*> intern_url(std::string_view text);
  Result<std::vector<const net::Url*>> intern_urls(const std::vector<std::string_view>& texts);
  void add_unusable(const ServerCertificate& from, const Error& error);
  Result<Target*> add_target(crypto::Certificate certificate, const ServerCertificate& from, bool ca);
  Result<void> join_server(const ServerCertificate& from, const std::vector<const net::Url*>& responders,
                           Target* target);
  Result<std::vector<Target*>> add_chain(const ServerCertificate& from);
  Result<void> trust(const ServerCertificate& server, Profile* profile);
  Target& intern_target(crypto::Certificate certificate, const ServerCertificate& from);
  Result<void> find_issuer(const ServerCertificate& from, Target* entry);
  static void measure_message(const ServerCertificate& from, Remarks* remarks);
  std::vector<x509_st*> anchors_of(const Target& target) const;
  Result<void> join_anchors(Target* target, const std::vector<x509_st*>& more);
  Result<std::vector<const net::Url*>> responders_of(const ServerCertificate& from,
                                                     const crypto::Certificate& certificate, std::string* ignored);

  std::vector<std::unique_ptr<Target>> targets_;
  std::map<std::uint64_t, Profile> profiles_;
  std::map<x509_st*, CertificateId> trusted_ids_;  // kept alive by the profiles
  std::map<CertificateId, Target*> by_id_;
  std::vector<UnusableCertificate> unusable_;
  std::set<CertificateId> unusable_ids_;  // added so far
  std::optional<IgnoredTrusted> ignored_trusted_;
  std::optional<std::string> requires_all_;
  std::optional<std::string> staples_chains_;
  LooseChains loose_chains_;
  std::map<std::string, std::unique_ptr<net::Url>, std::less<>> urls_;
  IssuerPool issuers_;
  std::vector<std::string> hosts_;
  std::set<std::string> known_hosts_;
  // Anchors by their certificates, which they keep alive; nullptr stands for the system's. Servers with the same
  // certificates share them.
  std::map<std::vector<x509_st*>, std::unique_ptr<crypto::TrustAnchors>> anchors_;
};

}  // namespace ocsp_plus::engine
