// The gate: the only way into the zone for a response, whatever its source. It verifies everything itself, with our
// own copy of the certificate and its issuer.
//
//   held \ new     good, newer    good, same or older   revoked            unknown          error, garbage, …
//   none           publish        publish               publish            keep none        keep none
//   good, valid    publish        keep                  publish            keep             keep
//   good, ended    publish        keep none             publish            keep none        keep none
//   not yet valid  publish        publish               publish            keep none        keep none
//   revoked        if newer       keep                  keep the newer     keep             keep
//   revoked, ended if newer       keep none             publish            keep none        keep none
//
// Newer means a later thisUpdate or, between two responses of the same status, the same thisUpdate with a later end.
// A held response is not yet valid if our clock was set back since it was published, and the responder's clock
// confirms ours. It cannot be stapled for a long time, so it must not keep out one that can.
#pragma once

#include <optional>

#include "base/bytes.h"
#include "base/ports.h"
#include "crypto/verify.h"
#include "engine/catalog.h"
#include "store/entry_state.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

namespace ocsp_plus::engine {

enum class Action { kRefuse, kKeep, kPublish };

// Whether the gate accepts a response with this verdict at all: good or revoked.
bool is_acceptable(const crypto::Verdict& verdict);

// Whether a held response is valid at `now`: it has not ended, and begins at most `clock_skew` later.
bool is_current(const store::BlobHeader& held, Seconds clock_skew, UnixSeconds now);

// Source of a response, and when its responder confirmed it.
struct Origin {
  Origin(store::Source from, UnixSeconds confirmed = 0)
      : source(from), confirmed_at(confirmed) {}  // NOLINT: implicit
  store::Source source;
  UnixSeconds confirmed_at;  // when the responder last gave it; 0: unknown, its thisUpdate counts
};

// The time by which the gate decides.
struct Moment {
  UnixSeconds now = 0;
  bool confirmed = false;  // the clock of the responder that sent the response agrees
};

// The table above: what to do with a new response beside the held one (no value: none was ever held). Pure.
Action decide(const std::optional<store::BlobHeader>& held, const crypto::Verdict& verdict, Seconds clock_skew,
              Moment moment);

// The verdict on a response that an earlier lease holder left in the zone; nothing where it may not be stapled.
// Checked against `policy`, except that a CertID under SHA-256 always passes: an earlier configuration may have asked
// for it. REQUIRES: target.issuer is set.
std::optional<crypto::Verdict> verify_left(const Target& target, ByteView response, crypto::VerifyPolicy policy,
                                           UnixSeconds now);

// Whether the held response is valid at `now`, and good or revoked.
bool is_valid(const store::BlobHeader& held, UnixSeconds now, Seconds clock_skew);
// Whether it may be stapled: it is valid, and OpenSSL sends it.
bool is_staplable(const store::BlobHeader& held, UnixSeconds now, Seconds clock_skew);

// A verified response: all that Gate::commit() needs.
struct Verified {
  Bytes response;    // without trailing octets
  bool cut = false;  // there were trailing octets
  crypto::Verdict verdict;
  Origin origin;
  Moment moment;
};

// Verifies the response at the beginning of `octets` (crypto::cut_trailing()). Takes some tenths of a millisecond and
// changes nothing. REQUIRES: target.issuer is set.
Verified verify(const Target& target, ByteView octets, Origin origin, Moment moment,
                const crypto::VerifyPolicy& policy);

struct Admission {
  crypto::Verdict verdict;
  Action action = Action::kRefuse;
  // kOk: `action` was carried out. Otherwise it was not: kZoneBusy: call commit() again soon; kZoneFull; kLeaseLost;
  // kInvalidArgument: a newer configuration has given the entry to another certificate or issuer key.
  Reason stored = Reason::kOk;
  bool status_changed = false;  // the response held before had another status
};

class DiskCache;
class Report;

class Gate {
 public:
  // `zone` is copied (a handle); `writer` and `disk_cache` must outlive the gate. `disk_cache` keeps what the gate
  // publishes, unless the same bytes came from there; nullptr: nothing is kept.
  Gate(const store::StapleZone& zone, store::ZoneWriter& writer, const crypto::VerifyPolicy& policy,
       DiskCache* disk_cache = nullptr);

  // verify(), then commit(). The last response that found the zone busy is not verified again. REQUIRES: as both.
  Admission admit(const Target& target, ByteView octets, Origin origin, Moment moment);
  // Compares a verified response with the held one at `now`; publishes and keeps it if it is the better one, and
  // confirms the held one if both say the same. Verifies nothing, so it is cheap to repeat after kZoneBusy. Refuses a
  // response that has ended since (kExpired). A fetched issuer becomes the entry's. REQUIRES: target.entry is
  // registered.
  Admission commit(const Target& target, const Verified& verified, UnixSeconds now);
  // Whether commit() would leave a response that can be stapled: the held one may have ended and still be newer.
  bool would_leave_staple(const Target& target, const Verified& verified) const;
  // Admits what the cache directory holds for a target; a response that is held already is not verified again. kOk:
  // it was taken, or there is none. kZoneBusy: call again soon. Otherwise it is of no use, or there is no room;
  // `report`, if given, logs why. REQUIRES: as admit(); disk_cache is set.
  Reason admit_kept(const Target& target, UnixSeconds now, Report* report = nullptr);
  // Records that the responder confirmed the held response, at origin.confirmed_at. An earlier time changes nothing.
  void confirm(const Target& target, const store::BlobHeader& held, Origin origin, UnixSeconds now);
  UnixSeconds confirmed_at(const Target& target, const store::BlobHeader& held, UnixSeconds now) const {
    return store::read_confirmed_at(zone_, target.entry, held, now);
  }

  // The held response of a target, valid or not.
  std::optional<store::BlobHeader> held(const Target& target) const;
  // held(), if it may be stapled at `now`, or is a revocation that OpenSSL does not send: that is as good a reason to
  // ask no sooner.
  std::optional<store::BlobHeader> stapled(const Target& target, UnixSeconds now) const;
  // Returns when stapled() ends; 0: there is none.
  UnixSeconds stapled_until(const Target& target, UnixSeconds now) const;

 private:
  // A verified response that found the zone busy.
  struct Waiting {
    CertificateId id;
    IssuerPtr issuer;  // by which it was verified
    Verified verified;
  };

  bool is_waiting(const Target& target, ByteView octets) const;
  Reason publish(const Target& target, const Verified& verified, UnixSeconds now);
  void keep(const Target& target, store::Source source);

  store::StapleZone zone_;
  store::ZoneWriter& writer_;
  crypto::VerifyPolicy policy_;
  DiskCache* disk_cache_;
  std::optional<Waiting> waiting_;
};

}  // namespace ocsp_plus::engine
