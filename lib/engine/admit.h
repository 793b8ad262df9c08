// The one gate: nothing enters the zone but through here, whatever its source, and everything is verified here with
// our own copy of the certificate and its issuer.
//
//   held \ new     good, newer    good, same or older   revoked            unknown          error, garbage, …
//   none           publish        publish               publish            keep none        keep none
//   good, valid    publish        keep                  publish            keep             keep
//   good, ended    publish        keep none             publish            keep none        keep none
//   not yet valid  publish        publish               publish            keep none        keep none
//   revoked        if newer       keep                  keep the newer     keep             keep
//   revoked, ended if newer       keep none             publish            keep none        keep none
//
// Newer is a later thisUpdate; between two of the same kind, also the same thisUpdate with a later end. Not yet valid
// is what our clock, set back since, finds in the future, where the responder's clock confirms ours: it cannot be
// stapled for a long time, so it must not keep out what can.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/ports.h"
#include "crypto/verify.h"
#include "engine/catalog.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

enum class Action { kRefuse, kKeep, kPublish };

// Whether a verdict lets a response in at all: good or revoked.
bool is_acceptable(const crypto::Verdict& verdict);

// Whether a held response may be stapled at `now`: neither ended nor, by more than `clock_skew`, yet to begin.
bool is_current(const store::BlobHeader& held, Seconds clock_skew, UnixSeconds now);

// Where a response came from.
struct Origin {
  Origin(store::Source from, UnixSeconds confirmed = 0)
      : source(from), confirmed_at(confirmed) {}  // NOLINT: implicit
  store::Source source;
  UnixSeconds confirmed_at;  // when the responder last said so; 0: nobody knows, and its thisUpdate counts
};

// What the gate takes for the time.
struct Moment {
  UnixSeconds now = 0;
  bool confirmed = false;  // by the clock of the responder that sent the response
};

// The table above: what a new verdict does to what is held (no value: nothing was ever held). Pure.
Action decide(const std::optional<store::BlobHeader>& held, const crypto::Verdict& verdict, Seconds clock_skew,
              Moment moment);

// The verdict on a response that an earlier holder has left in the zone; nothing where that may not be stapled. By
// `policy`, but a CertID under SHA-256 alone will do, since an earlier configuration may have asked for it.
// REQUIRES: target.issuer is set.
std::optional<crypto::Verdict> verify_left(const Target& target, ByteView response, crypto::VerifyPolicy policy,
                                           UnixSeconds now);

// Whether what is held may be stapled at `now`: good or revoked, and in time.
bool is_staplable(const store::BlobHeader& held, UnixSeconds now, Seconds clock_skew);

// A response as it was verified: all that Gate::commit() needs of it.
struct Verified {
  Bytes response;    // without what followed it
  bool cut = false;  // something did
  crypto::Verdict verdict;
  Origin origin;
  Moment moment;
};

// Verifies the response that `octets` begin with (crypto::cut_trailing()). Takes some tenths of a millisecond and
// changes nothing. REQUIRES: target.issuer is set.
Verified verify(const Target& target, ByteView octets, Origin origin, Moment moment,
                const crypto::VerifyPolicy& policy);

struct Admission {
  crypto::Verdict verdict;
  Action action = Action::kRefuse;
  // kOk: `action` was carried out. kZoneBusy: offer it again soon. Else it was not: kZoneFull; kLeaseLost;
  // kInvalidArgument where a newer configuration has given the entry to another certificate or issuer key.
  Reason stored = Reason::kOk;
  bool status_changed = false;  // the response held before said another one
};

class DiskCache;
class Report;

class Gate {
 public:
  // `zone` is copied (a handle); `writer` and `disk_cache` must outlive the gate. What is published is kept in
  // `disk_cache`, unless it came from there as it is; nullptr: nothing is kept.
  Gate(const store::StapleZone& zone, store::ZoneWriter& writer, const crypto::VerifyPolicy& policy,
       DiskCache* disk_cache = nullptr);

  // verify() and commit(). REQUIRES: as both.
  Admission admit(const Target& target, ByteView octets, Origin origin, Moment moment);
  // Compares a verified response with what is held at `now`, and publishes and keeps it where it is the better one.
  // Verifies nothing: where the zone was busy it may be repeated. One that has ended since is refused (kExpired).
  // REQUIRES: target.entry is registered. An issuer that was fetched becomes the entry's. What says the same as what
  // is held confirms that.
  Admission commit(const Target& target, const Verified& verified, UnixSeconds now);
  // Whether commit() would leave something that can be stapled: what is held may have ended, and be newer all the
  // same.
  bool would_leave_staple(const Target& target, const Verified& verified) const;
  // Shows the gate what the cache directory holds for a target; what is held already is not verified again. kOk: it
  // was taken, or there is nothing. kZoneBusy: offer it again soon. Else it is of no use, or there is no room;
  // `report`, where somebody shall hear of that. REQUIRES: as admit(); there is an disk_cache.
  Reason admit_kept(const Target& target, UnixSeconds now, Report* report = nullptr);
  // The responder has confirmed the response that is held, at `time`. An earlier time changes nothing.
  void confirm(const Target& target, const store::BlobHeader& held, Origin origin, UnixSeconds now);
  UnixSeconds confirmed_at(const Target& target, const store::BlobHeader& held, UnixSeconds now) const {
    return zone_.confirmed_at(target.entry, held, now);
  }

  // The response that is held for a target, valid or not.
  std::optional<store::BlobHeader> held(const Target& target) const;
  // The same, if a handshake at `now` would get it.
  std::optional<store::BlobHeader> stapled(const Target& target, UnixSeconds now) const;

 private:
  Reason publish(const Target& target, const Verified& verified, UnixSeconds now);
  void keep(const Target& target, store::Source source);

  store::StapleZone zone_;
  store::ZoneWriter& writer_;
  crypto::VerifyPolicy policy_;
  DiskCache* disk_cache_;
};

}  // namespace ocsp_plus::engine
