// Decides what a handshake gets: a staple, none, another module's response, or a refusal. The server passes what it
// knows of the connection and carries the decision out.
//
//   certificate \ held      nothing valid     good      revoked
//   the configuration's     without           staple    staple, or without where revoked ones are omitted
//   unusable                without           without   without
//   loaded per connection   without           staple    staple, or without where revoked ones are omitted
//
// The leaf's good staple takes along those of the certificates after it that the server staples as well
// (ocsp_plus_chain): on TLS 1.3, in order up to the first that has none, or that is revoked, where revoked ones are
// sent; and in all not more than kMostWithChain. A gap would make clients take a response for another certificate's,
// and some refuse the connection over one that is bad. Nothing else depends on them. After a certificate of the
// configuration they are known beforehand (Catalog); after one loaded per connection each handshake finds them, by
// the same rule: none is a root, and the issuer of each is sent after it.
//
// On TLS 1.3 a staple is left out if it would make the Certificate message longer than Java accepts
// (crypto/certificate_message.h), unless the certificate or the server demands one.
//
// A handshake without a staple is refused if the server's `require` says so; else another module's response stays,
// unless ours was sent or is omitted; else it gets none. A certificate loaded per connection that the zone does not
// have, or has without an issuer, is offered to the lease holder (store/discovery_queue.h), whatever this handshake
// gets.
//
// A decision takes no lock, does not parse the response and allocates once for each staple. Each process of a
// configuration has one Stapler.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/catalog.h"
#include "engine/offers.h"
#include "engine/settings.h"
#include "store/counters.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// A configured server, as far as its handshakes depend on it.
struct Server {
  static constexpr std::uint16_t kAnyStaple = UINT16_MAX;
  // Staples that a handshake with the certificate may get: none, its own, those of Server::chains as well.
  enum class Staples : std::uint8_t { kNone, kOwn, kChain };
  // All that a handshake needs of a certificate: with the server's address it fills a cache line (capi/config.h).
  struct Certificate {
    x509_st* leaf = nullptr;         // the key of find(); borrowed from the server's SSL_CTX
    const Target* target = nullptr;  // nullptr: the certificate is unusable and never gets a staple
    CertificateId id = {};           // the target's
    store::EntryIndex entry = store::kNoEntry;
    bool must_staple = false;
    Staples staples = Staples::kOwn;
    // Bytes of the longest staple that a Certificate message of TLS 1.3 has room for.
    std::uint16_t room = kAnyStaple;
  };
  // A certificate sent after a leaf that is stapled with it.
  struct Link {
    const Target* target = nullptr;  // nullptr: the leaf was loaded for the connection
    CertificateId id = {};
    store::EntryIndex entry = store::kNoEntry;
  };
  struct LinkedChain {
    x509_st* leaf = nullptr;
    std::vector<x509_st*> certificates;  // all that are sent after the leaf; another module may have others sent
    std::vector<Link> links;             // the first of these
    std::size_t message = 0;             // bytes of the Certificate message without staples
  };
  // `target`: nullptr, as above. `chain`: sent after the leaf. `links`: the targets of its first certificates, which
  // are stapled with the leaf, at most kMaxLinks.
  void add(x509_st* leaf, const Target* target, const std::vector<x509_st*>& chain,
           const std::vector<Target*>& links = {});
  // The zone is open: takes the entries over from the targets.
  void take_entries();
  // Returns the configured certificate; nullptr: `leaf` was loaded for the connection.
  const Certificate* find(const x509_st* leaf) const noexcept;
  // Returns the id of a certificate that the server shows, configured or not. Errors as crypto::certificate_id().
  Result<CertificateId> id_of(x509_st* leaf) const;

  Certificate first;  // most servers have no other: a handshake finds it without another place in memory
  std::vector<Certificate> others;
  std::vector<LinkedChain> chains;
  std::uint64_t profile = 0;        // Profile::key
  std::uint64_t chain_profile = 0;  // Profile::chain_key
  Require require = Require::kOff;
  bool omit_revoked = false;
};

// A response on its way to a connection, in memory of Hello::allocate.
struct Staple {
  unsigned char* der = nullptr;
  std::size_t size = 0;
};

// The connection of a handshake; valid during decide().
class Connection {
 public:
  virtual ~Connection() = default;
  // Writes the certificates sent beside the leaf, at most `most`, and returns their number. Borrowed for the call.
  virtual std::size_t chain(x509_st** to, std::size_t most) = 0;
  // Takes the leaf's response and those of the certificates after it, in their order. Returns how many of them are
  // sent: all, or the leaf's alone, and then releases the others. 0: none, and all are still the caller's.
  virtual std::size_t staple(const Staple* staples, std::size_t count) = 0;
};

// A client's hello that asks for a status.
struct Hello {
  x509_st* leaf = nullptr;    // the server's certificate
  bool tls13 = false;         // the handshake is of TLS 1.3
  bool foreign = false;       // another module has set a response for the connection
  std::uintptr_t memory = 0;  // Decision::memory of the same connection's earlier hello; 0: this is the first
  UnixSeconds now = 0;        // wall clock
  Millis monotonic = 0;       // may lag
  std::uint32_t worker = 0;   // its counters count the handshake
  store::StapleZone::Allocate allocate = nullptr;  // allocates the response for Connection::staple()
  store::StapleZone::Release release = nullptr;
};

enum class Outcome { kStapled, kNone, kForeign, kRefused };

struct Decision {
  Outcome outcome = Outcome::kNone;
  // The caller keeps it with the connection and passes it in Hello::memory: a hello that has to be repeated (RFC 8446
  // section 4.1.4) comes twice but is one handshake. Never 0.
  std::uintptr_t memory = 0;
  // Line to log at level error, the Stapler's until its next decision; nullptr: none.
  const std::string* line = nullptr;
};

// The contents of Decision::memory.
struct Remembered {
  Outcome outcome = Outcome::kNone;
  bool revoked = false;     // kStapled: the response says so
  UnixSeconds expires = 0;  // kStapled: the response's end
  std::size_t chain = 0;    // kStapled: the staples of certificates after the leaf
};
// REQUIRES: `memory` is a Decision's.
Remembered recall(std::uintptr_t memory) noexcept;

class Stapler {
 public:
  static constexpr Seconds kBetweenLines = 60;  // between two log lines of one cause
  // Bytes of a Certificate message with staples after the leaf's: half of what Java accepts, because nobody needs
  // them who could not do without.
  static constexpr std::size_t kMostWithChain = 16384;

  // `zone` is empty until it is open. All references outlive the object.
  Stapler(const Catalog& catalog, const Settings& settings, const std::optional<store::StapleZone>& zone)
      : catalog_(catalog), settings_(settings), zone_(zone) {}

  // Decides, counts and staples a handshake.
  Decision decide(const Server& server, const Hello& hello, Connection* connection) noexcept;

  // Decides and counts, after the handshake, one in which another module's status callback ran instead of decide().
  // Returns the earlier decision if there was one. kRefused: the connection must be closed.
  Decision settle(const Server& server, const Hello& hello) noexcept;

  // Counts a status callback that another module had replaced and that was put back.
  void count_replaced(std::uint32_t worker) const noexcept;

 private:
  // The handshake's certificate and its entry in the zone.
  struct Subject {
    const Server::Certificate* configured = nullptr;  // nullptr: loaded for the connection
    store::EntryIndex entry = store::kNoEntry;
    CertificateId id = {};
    bool unknown = false;      // the zone has no entry of it, or one without an issuer
    bool unsupported = false;  // loaded for the connection: it can never have a staple
  };
  struct Unlogged {
    UnixSeconds logged = 0;
    std::uint64_t count = 0;  // since then
  };
  // Why a handshake got no staple.
  enum Cause : std::size_t { kNothingHeld, kCallbackTaken, kMessageTooLarge };

  // Links of a chain; `storage` is only used where the leaf was loaded for the connection.
  struct Links {
    const Server::Link* first = nullptr;
    std::size_t count = 0;
    std::size_t message = 0;  // bytes of the Certificate message without staples
    std::array<Server::Link, kMaxLinks> storage;
  };

  // Inline, in the one file that calls them: a handshake takes few steps, and each call costs as much as a step.
  inline Subject identify(const Server& server, const Hello& hello) const noexcept;
  void look_up(std::uint64_t profile, const CertificateId& id, UnixSeconds now, Subject* subject) const noexcept;
  void note_use(std::uint64_t profile, Subject* subject, UnixSeconds now) const;
  static bool must_staple(const Subject& subject, x509_st* leaf) noexcept;
  bool leaves_out(const Server& server, const Hello& hello, const Subject& subject, std::size_t staple,
                  Connection* connection) const noexcept;
  [[gnu::always_inline]] inline bool copy(const Subject& subject, const Hello& hello,
                                          store::StapleZone::Copy* held) noexcept;
  [[gnu::noinline]] Decision staple_with_chain(const Server& server, const Hello& hello, const Subject& subject,
                                               const store::StapleZone::Copy& held, Connection* connection) noexcept;
  void find_links(const Server& server, const Hello& hello, const Subject& subject, Connection* connection,
                  Links* links) noexcept;
  inline Decision stapled(const Hello& hello, const Subject& subject, const store::StapleZone::Copy& held,
                          std::size_t chain) const noexcept;
  Decision without(const Server& server, const Hello& hello, const Subject& subject, bool foreign,
                   Cause cause) noexcept;
  inline void count(const Hello& hello, store::Handshake::Kind what, store::EntryIndex entry) const noexcept;
  const std::string* line(const Hello& hello, Cause cause) noexcept;

  const Catalog& catalog_;
  const Settings& settings_;
  const std::optional<store::StapleZone>& zone_;
  Offers offers_;
  std::array<Unlogged, 3> unlogged_ = {};  // by cause
  std::string line_;                       // Decision::line
  // Place of the last copied response by entry, modulo the size: a hint for the prefetch.
  std::array<std::uint32_t, 4096> places_ = {};
};

}  // namespace ocsp_plus::engine
