// What a run's seed makes happen: the fault script. Everything the oracle knows about the world stands here.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "ocsp_plus/ocsp_plus.h"
#include "sim/ca.h"
#include "sim/prng.h"

namespace ocsp_plus::sim {

// kOnlyPost, kOnlyGet: honest, but the other method is answered 405.
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

// For a span of time a responder does this; outside of all spans it is honest.
struct Conduct {
  Millis from = 0, to = 0;
  Deed deed = Deed::kHonest;
  Lie lie = Lie::kGarbage;
  WrongIssuer wrong = WrongIssuer::kGarbage;  // of the issuers' server
  LeafNumber only = SIZE_MAX;                 // towards this certificate alone; SIZE_MAX: towards all
  Seconds retry_after = 0;
};

enum class DiskFault { kNone, kFull, kReadOnly, kGone };
struct DiskSpan {
  Millis from = 0, to = 0;
  DiskFault fault = DiskFault::kNone;
};

enum class Incident {
  kClock,       // `number`: seconds by which the wall clock is wrong from now on
  kKill,        // the designated worker dies within `number` instants, while it holds the lock if `flag`
  kKillHelper,  // the next start helper dies so
  kReload,      // `number`: certificates exchanged
  kFailedReload,
  kRestart,   // graceful; the zone is lost, the directory stays; down for `number` ms; as another user if `flag`
  kCrash,     // likewise, but every process is killed at once
  kPowerCut,  // likewise, and files that were just written are torn
  kRevoke,    // the CA revokes the certificate at position `number` of the configuration
  // Of certificates that servers load per connection:
  kAdopt,         // a reload whose configuration names the one at position `number`; it fails if `flag`
  kRelease,       // a reload whose configuration names one of them no more
  kKillOffering,  // the next worker that meets one dies within `number` instants
  kKillTaking,    // the designated worker, within `number` instants after it was handed one; as kKill
  kRevokeLoaded,  // as kRevoke
};

struct Happening {
  Millis at = 0;
  Incident what = Incident::kReload;
  std::int64_t number = 0;
  bool flag = false;
};

// A server loads this certificate for its connections.
struct Shown {
  LeafNumber leaf = 0;
  Chain chain = Chain::kComplete;
  Millis from = 0, to = 0;
};

// Somebody shows forged certificates, one after the other.
struct Flood {
  Millis from = 0, step = 0;
  std::size_t count = 0;
  Seconds life = 0;           // of the certificates, from then on
  std::size_t insisting = 0;  // of them: those for which somebody is asked
  Millis to() const { return from + step * static_cast<Millis>(count); }
};

struct Script {
  std::uint64_t seed = 0;
  Millis length = 0;
  Practice practice;
  Seconds retry_min = 5, retry_max = 3600;
  Millis startup_wait = 5000;
  std::uint32_t workers = 1;
  std::size_t certificates = 3;
  std::vector<std::vector<Conduct>> responders;  // of one or two responders, in order of time, without overlap
  std::vector<DiskSpan> disk;
  std::vector<Happening> happenings;  // in order of time
  bool calm = false;

  bool loads = false;                  // a server may load certificates per connection
  bool trusts = false;                 // and its operator has named the CA
  bool small_zone = false;             // so that not all of a flood have room
  std::vector<Shown> shown;            // each certificate with one chain
  std::vector<Flood> floods;           // in order of time
  std::vector<Conduct> issuer_server;  // where certificates say that their issuer is

  // Of all servers.
  op_require_t require = OP_REQUIRE_OFF;  // no certificate has Must-Staple
  bool omits = false;                     // responses that say revoked

  bool lies = false, jumps = false, kills = false;

  static Script draw(std::uint64_t seed);
  const Conduct* conduct(std::size_t responder, Millis at) const;  // nullptr: honest
  const Conduct* issuer_conduct(Millis at) const;                  // likewise
  // Whether a server loads the certificate without its issuer.
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

}  // namespace ocsp_plus::sim
