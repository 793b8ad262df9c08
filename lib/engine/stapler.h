// What a handshake gets: a staple, none, another module's, or a refusal. The one place that decides it; the server
// hands over what it knows of the connection and does what it is told.
//
//   certificate \ held      nothing valid     good      revoked
//   the configuration's     without           staple    staple, or without where revoked ones are omitted
//   unusable                without           without   without
//   loaded per connection   without           staple    staple, or without where revoked ones are omitted
//
// Without a staple the server's `require` decides: refuse; else another module's response stays, unless ours was sent
// or is omitted; else none. A certificate loaded per connection that nobody fetches for, or whose issuer nobody
// knows, is offered to the lease holder (store/discovery_queue.h), whatever this handshake gets.
//
// In the handshake: no lock, no parsing of the response, one allocation. One object for each process of a
// configuration.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/catalog.h"
#include "engine/recent_offers.h"
#include "engine/settings.h"
#include "store/staple_zone.h"

namespace ocsp_plus::engine {

// A server of the configuration, as its handshakes see it.
struct Server {
  // What a handshake needs of it: one cache line.
  struct alignas(64) Certificate {
    x509_st* leaf = nullptr;                    // by whose address it is found; borrowed from the server's SSL_CTX
    Catalog::Index number = Catalog::kNoIndex;  // of its target; kNoIndex: unusable, it never gets a staple
    bool must_staple = false;
    CertificateId id = {};  // of one that is usable
  };
  Certificate& add();
  // nullptr: it is none of the configuration's, but was loaded for the connection.
  const Certificate* find(const x509_st* leaf) const noexcept;
  // Of a certificate that the server shows, whichever it is. Errors as crypto::certificate_id().
  Result<CertificateId> id_of(x509_st* leaf) const;

  Certificate first;  // most servers have no other: a handshake finds it without another place in memory
  std::vector<Certificate> others;
  std::uint64_t profile = 0;  // Profile::key
  Require require = Require::kOff;
  bool omit_revoked = false;
};

// The connection of a handshake, during the call.
class Connection {
 public:
  virtual ~Connection() = default;
  // The certificates sent beside the leaf, at most `most`; how many there are. Borrowed for the call.
  virtual std::size_t chain(x509_st** to, std::size_t most) = 0;
  // Takes the response over. false: it does not, and the bytes are still the caller's.
  virtual bool staple(unsigned char* der, std::size_t size) = 0;
};

// A client's hello that asks for a status.
struct Hello {
  x509_st* leaf = nullptr;    // what the server shows
  bool foreign = false;       // another module has set a response for the connection
  std::uintptr_t memory = 0;  // Decision::memory of the same connection's earlier hello; 0: this is the first
  UnixSeconds now = 0;        // the second of the handshake
  Millis monotonic = 0;       // may lag
  std::uint32_t worker = 0;   // whose counters
  store::StapleZone::Allocate allocate = nullptr;  // of what Connection::staple() gets
  store::StapleZone::Release release = nullptr;
};

enum class Outcome { kStapled, kNone, kForeign, kRefused };

struct Decision {
  Outcome outcome = Outcome::kNone;
  // To be remembered with the connection. Never 0: a hello that has to be repeated (RFC 8446 section 4.1.4) comes
  // twice but is one handshake.
  std::uintptr_t memory = 0;
  std::string line;  // for the log, at level error; empty: none is due
};

// What a connection remembers of its handshake.
struct Remembered {
  Outcome outcome = Outcome::kNone;
  bool revoked = false;     // the response that was sent said so
  UnixSeconds expires = 0;  // of that response
};
// REQUIRES: `memory` is a Decision's.
Remembered recall(std::uintptr_t memory) noexcept;

class Stapler {
 public:
  static constexpr Seconds kBetweenLines = 60;  // of one kind in the log

  // `zone` is nothing until it is open; by then `entries` has those of all targets. What is given outlives the
  // object.
  Stapler(const Catalog& catalog, const Settings& settings, const std::optional<store::StapleZone>& zone,
          const std::vector<store::EntryIndex>& entries)
      : catalog_(catalog), settings_(settings), zone_(zone), entries_(entries) {}

  Decision decide(const Server& server, const Hello& hello, Connection* connection) noexcept;

  // What is left of a handshake in whose course decide() was not called, because another module's status callback was
  // in its place. kRefused: the connection must not be used.
  Decision settle(const Server& server, const Hello& hello) noexcept;

  // A status callback that another module had replaced was put back.
  void count_replaced(std::uint32_t worker) const noexcept;

 private:
  // The entry of a certificate in the zone, if it has any.
  struct Subject {
    const Server::Certificate* configured = nullptr;
    store::EntryIndex entry = store::kNoEntry;
    CertificateId id = {};
    bool unknown = false;  // nobody fetches for it yet, or could: its issuer is not known
  };
  struct Refusals {
    UnixSeconds told = 0;
    std::uint64_t count = 0;  // since then
  };
  enum Cause : std::size_t { kNothingHeld, kCallbackTaken };

  Subject identify(const Server& server, const Hello& hello) const noexcept;
  void note_use(const Server& server, Subject* subject, UnixSeconds now) const;
  bool copy(const Subject& subject, const Hello& hello, store::StapleZone::Copy* held) const noexcept;
  Decision staple(const Hello& hello, const Subject& subject, const store::StapleZone::Copy& held) const noexcept;
  Decision without(const Server& server, const Hello& hello, const Subject& subject, bool foreign,
                   Cause cause) noexcept;
  void count(const Hello& hello, Outcome outcome, store::EntryIndex entry) const noexcept;
  void offer(const Server& server, const Hello& hello, const Subject& subject, Connection* connection) noexcept;
  std::string refusal_line(const Hello& hello, Cause cause) noexcept;

  const Catalog& catalog_;
  const Settings& settings_;
  const std::optional<store::StapleZone>& zone_;
  const std::vector<store::EntryIndex>& entries_;  // by Catalog::Index
  std::unique_ptr<RecentOffers> recent_offers_;    // made when it is first needed
  std::array<Refusals, 2> refusals_ = {};          // by cause
};

}  // namespace ocsp_plus::engine
