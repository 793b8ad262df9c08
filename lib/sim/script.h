// The fault script, drawn from a run's seed. The oracle knows the world from here only.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "ocsp_plus/ocsp_plus.h"
#include "sim/ca.h"
#include "sim/chains.h"
#include "sim/prng.h"

namespace ocsp_plus::sim {

// kOnlyPost, kOnlyGet: honest, but answers the other method with 405.
enum class Deed {
  kHonest,
  kSlow,
  kHang,
  kRefuse,
  kReset,
  kNoDns,
  kHttpError,
  kRetryAfter,
  kReplay,
  kLie,
  kOnlyPost,
  kOnlyGet
};

// A responder's behaviour for a span of time; outside of all spans it is honest.
struct Conduct {
  Millis from = 0, to = 0;
  Deed deed = Deed::kHonest;
  Lie lie = Lie::kGarbage;
  WrongIssuer wrong = WrongIssuer::kGarbage;  // for the issuers' server
  LeafNumber only = SIZE_MAX;                 // for this certificate only; SIZE_MAX: for all
  Seconds retry_after = 0;
};

// Of each responder (one or two), in order of time, without overlap.
using Conducts = std::vector<std::vector<Conduct>>;

// The CA certificates that servers send after their own.
struct SentCas {
  std::vector<ServerChain> servers;  // of the servers in turn; empty: none sends any
  bool stapleable = false;           // the library sends staples of certificates after the leaf
  // Of their issuers: one responder each.
  Practice lower, upper;
  Conducts lower_responders, upper_responders;
};

enum class DiskFault { kNone, kFull, kReadOnly, kGone };
struct DiskSpan {
  Millis from = 0, to = 0;
  DiskFault fault = DiskFault::kNone;
};

// What befalls the shared store of a fleet.
enum class StoreDeed {
  // While it lasts, for some nodes:
  kDown,      // refuses connections, and ends those it has
  kHang,      // answers nothing; what it was asked it does at the end
  kSlow,      // does what it is asked, but answers after two seconds
  kAuth,      // refuses to let a node log in
  kReadOnly,  // refuses to write: a replica, out of memory, no permission
  // For all nodes, again and again while it lasts:
  kNewsLost,
  kFlush,
  kEvict,     // forgets one certificate
  kFailover,  // loses its last writes
  kLeases,    // an attacker holds all leases, for ever
  kNotes,     // an attacker says that nobody need ask for a week
  kPoison,    // an attacker writes a response that is of no use, or any bytes
  kNews,      // news are repeated or invented
  kNewsFlood,
  kLast = kNewsFlood
};

struct StoreSpan {
  Millis from = 0, to = 0;
  StoreDeed deed = StoreDeed::kDown;
  std::uint32_t nodes = UINT32_MAX;  // a bit for each
  Millis step = 1000;                // how often it is repeated
  bool of_some() const { return deed <= StoreDeed::kReadOnly; }
};

enum class Incident {
  kClock,       // `number`: error of the wall clock from now on, in seconds
  kKill,        // kills the designated worker within `number` points, while it holds the lock if `flag`
  kKillHelper,  // the same for the next start helper
  kReload,      // replaces `number` certificates
  kFailedReload,
  kRestart,   // graceful; the zone is lost, the directory stays; down for `number` ms; as another user if `flag`
  kCrash,     // the same, but every process is killed at once
  kPowerCut,  // the same, and recently written files are damaged
  kRevoke,    // the CA revokes the certificate at position `number` of the configuration
  // For certificates that servers load per connection:
  kAdopt,         // a reload that adds the one at position `number`; it fails if `flag`
  kRelease,       // a reload that removes one of them
  kKillOffering,  // kills the next worker that meets one within `number` points
  kKillTaking,    // as kKill, within `number` points after the worker was handed one
  kRevokeLoaded,  // as kRevoke
  // For CA certificates that servers send after their own:
  kRenewCas,  // a reload in which servers send the `number`th next lower one; if `flag`, the next reload or start
              // does
  kRevokeCa,  // their issuer revokes one that the server at position `number` % 8 of the configuration may staple
};

struct Happening {
  Millis at = 0;
  Incident what = Incident::kReload;
  std::int64_t number = 0;
  bool flag = false;
};

// A certificate that a server loads per connection.
struct Shown {
  LeafNumber leaf = 0;
  Chain chain = Chain::kComplete;
  Millis from = 0, to = 0;
};

// A client that causes handshakes with forged certificates, one after the other.
struct Flood {
  Millis from = 0, step = 0;
  std::size_t count = 0;
  Seconds life = 0;           // remaining validity of the certificates
  std::size_t insisting = 0;  // how many of them lead to a request
  Millis to() const { return from + step * static_cast<Millis>(count); }
};

struct Script {
  std::uint64_t seed = 0;
  Millis length = 0;
  Practice practice;
  Seconds retry_min = 5, retry_max = 3600;
  Millis startup_wait = 5000;
  Seconds offset = 0;  // of the wall clock at the start
  std::uint32_t workers = 1;
  std::size_t certificates = 3;
  Conducts responders;
  std::vector<DiskSpan> disk;
  std::vector<Happening> happenings;  // in order of time
  bool calm = false;

  bool loads = false;                  // a server may load certificates per connection
  bool trusts = false;                 // and its operator has configured the CA
  bool small_zone = false;             // too small for a whole flood
  std::vector<Shown> shown;            // each certificate with one chain
  std::vector<Flood> floods;           // in order of time
  std::vector<Conduct> issuer_server;  // the server of the caIssuers URLs

  SentCas cas;

  // Of all servers.
  op_require_t require = OP_REQUIRE_OFF;
  bool omits = false;   // responses that say revoked
  Seconds refresh = 0;  // ocsp_plus_refresh; 0: auto

  bool lies = false, jumps = false, kills = false;

  // Of a node of a fleet; what befalls the store is in the first node's script.
  bool shares = false;
  std::vector<StoreSpan> store;

  static Script draw(std::uint64_t seed);
  // The scripts of the nodes of a fleet: practice, length and certificates are the same in all.
  static std::vector<Script> draw_fleet(std::uint64_t seed);
  const StoreSpan* store_span(std::size_t node,
                              Millis at) const;  // of some nodes, this among them; nullptr: it works
  // Returns how a responder that is asked for the certificate behaves; nullptr: it is honest.
  const Conduct* conduct(LeafNumber leaf, std::size_t responder, Millis at) const;
  const Conducts& responders_of(LeafNumber leaf) const;  // those of the certificate's issuer
  Practices practices() const { return {practice, cas.lower, cas.upper}; }
  // Returns the chain of a leaf's server after `renewals` of kRenewCas.
  ServerChain chain_of(LeafNumber leaf, std::int64_t renewals) const;
  const Conduct* issuer_conduct(Millis at) const;  // likewise
  // Returns whether a server loads the certificate without its issuer.
  bool seeks_issuer(LeafNumber leaf) const;
  DiskFault disk_fault(Millis at) const;
  std::string summary() const;                   // one line
  std::vector<std::string> description() const;  // the whole scenario, for people

 private:
  static Script draw_world(Prng& prng, std::uint64_t seed);
};

const char* name_of(Deed deed);
const char* name_of(Incident incident);
const char* name_of(DiskFault fault);
const char* name_of(StoreDeed deed);

}  // namespace ocsp_plus::sim
