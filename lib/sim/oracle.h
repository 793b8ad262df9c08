// What must be true of every handshake, judged from the fault script and the CA's table alone: the oracle never looks
// at the engine's state.
//
// (a) What is served stands in the table, for that certificate, with that status, and has not ended by the node's
// wall
//     clock; when it is first served, its thisUpdate is at most 300 s ahead of that clock.
// (b) What could have been had and kept is served. `sure` is the time until which the node must have something to
//     staple for a certificate, whatever it did within its rules. It is derived window by window: in a window an
//     honest responder is reachable, the node's clock is right and its worker is alive, without interruption.
//       - Whoever holds a response until E at a time u of the window tries again by (u + E) / 2, and has the answer
//         kSlack later. So at a time b of the window everything that ends before 2 * (b - kSlack) - u was replaced by
//         what the responder had at u.
//       - Whoever holds nothing tries at least once in the upper bound of ocsp_plus_retry, and in ten minutes where
//         the responder was not reached, or failed itself.
//       - A start that waits serves from its first handshake on what was honest and reachable all the while, also
//         where the responder hangs for another certificate.
//     `sure` survives reloads, kills and outages, and a restart if the directory worked for the last minute before it
//     and power was not cut. Where the start helper was killed, or the clock was wrong at the start, what was kept is
//     served some seconds later: as soon as a worker has looked, and the clock is right.
//     Of a certificate that a server loads per connection all this is true from the time on when the node must have
//     taken it: a handshake has shown it to a worker whose configuration does not name it, in a window that had been
//     open for so long that what was handed over before it came to nothing (thirty seconds), and the window is open
//     kSlack later. Where nothing beside it is its issuer, the window is one of the server that has it as well; where
//     it does not say which that is, nothing is due. While somebody floods the node with forged ones nothing new is
//     due, but what is held stays, unless the zone is too small for all of them and it was not in use.
//     After a restart it is as after the start helper was killed: when it has been taken again, a worker looks.
// (e) Once a true revocation was served, or has reached a node that then lived on for two seconds, no older good
//     response is served, through restarts too as far as in (b), and also where the disk was full.
// (f) A start asks again within five minutes for whatever was not confirmed by an honest answer within the last hour.
// (g) Nobody is asked for a certificate that has ended.
// (h) A certificate that the CA has not signed gets no staple.
// (i) Where nothing is served, the handshake is refused if the server requires a staple, else another module's
// response
//     goes out if there is one. Where the server omits what says revoked, neither goes out of a certificate of which
//     a true revocation has reached the node. Each handshake is counted once, as what it was.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/ca.h"
#include "sim/machine.h"
#include "sim/node.h"
#include "sim/script.h"

namespace ocsp_plus::sim {

class Oracle {
 public:
  Oracle(const Machine& machine, const Script& script, const Ca& ca) : machine_(machine), script_(script), ca_(ca) {}

  // --- what happens in the world ---
  void start_begins(bool new_zone);
  void start_ended(const std::set<LeafNumber>& served, bool helper_killed);
  void stopped(bool power_cut);
  void interrupted();        // a worker was killed
  void conditions_change();  // the script's next span or happening has begun
  void asked(LeafNumber leaf);
  void delivered(LeafNumber leaf, const Signed& response);

  // --- certificates that servers load per connection ---
  void shown(LeafNumber leaf);     // to a worker whose configuration does not name it
  void lost(LeafNumber leaf);      // nothing is promised of it until it has been shown again
  void lost_loaded();              // likewise of all that are not configured
  void disowned(LeafNumber leaf);  // a configuration has named it, which then did not come into force
  void flood_begins(const std::set<LeafNumber>& in_use);  // all the while
  void flood_ended();
  void clock_set(UnixSeconds before);  // by the wall clock

  // --- what a handshake got ---
  void judge(LeafNumber leaf, const Node::Staple& staple);

  std::int64_t judged() const { return judged_; }
  std::int64_t bare() const { return bare_; }      // handshakes without a staple that nobody could have had
  std::int64_t strict() const { return strict_; }  // handshakes for which a staple was due
  std::int64_t strict_loaded() const { return strict_loaded_; }  // of them: with one loaded per connection
  std::int64_t refused() const { return refused_; }
  std::int64_t omitted() const { return omitted_; }            // once a revocation had reached the node
  const std::string& violation() const { return violation_; }  // the first; empty: none

 private:
  struct Known {
    UnixSeconds sure = 0;
    std::optional<UnixSeconds> open;     // since when the window is open
    bool in_zone = false;                // ever since the zone was made
    std::optional<UnixSeconds> revoked;  // thisUpdate of a revocation that was seen
    std::optional<UnixSeconds> revoked_soon;
    Millis revoked_from = 0;
    bool told_revoked = false;  // a true revocation has ever reached the node
    UnixSeconds newest = 0;     // the latest thisUpdate that was served
    UnixSeconds confirmed = 0;  // the last honest answer
    // What is due lies in the directory and nobody has looked at it yet. Excused until then; 0: until the clock is
    // right.
    bool late = false;
    Millis late_until = 0;
    // Of one that a server loads, and that the newest configuration does not name.
    bool loaded = false;
    bool taken = false;                 // the node must know it by now
    std::optional<UnixSeconds> handed;  // within this window; it must know it kSlack later
    unsigned shows = 0;                 // within this window
    Millis last_show = 0;
    UnixSeconds last_shown = 0;
    bool again = false;                      // not yet since the last start with a new zone
    std::optional<UnixSeconds> taken_again;  // after that, within a window that has been open ever since that start
  };

  bool good(LeafNumber leaf, Millis from, Millis to, bool starting = false) const;
  Seconds longest_pause(UnixSeconds opened) const;
  UnixSeconds sure_at(LeafNumber leaf, const Known& known, UnixSeconds at) const;
  void close(LeafNumber leaf, Known* known);
  bool disk_was_good(Millis span) const;
  void judge_order(LeafNumber leaf, Known* known, const Signed& served);
  void judge_missing(LeafNumber leaf, Known* known);
  void judge_outcome(LeafNumber leaf, const Node::Staple& staple);
  void judge_asked_again(LeafNumber leaf, const Known& known);
  void clock_is_right(Known* known) const;
  std::vector<LeafNumber> in_care() const;
  void look_at_window(LeafNumber leaf, Known* known);
  void take(Known* known);
  bool disk_was(Millis span, bool (*fine)(DiskFault)) const;
  static void forget(Known* known);
  void untake(Known* known) const;
  void complain(LeafNumber leaf, const std::string& what);
  Seconds slack() const;
  unsigned shows_needed() const;

  const Machine& machine_;
  const Script& script_;
  const Ca& ca_;
  std::map<LeafNumber, Known> known_;
  std::set<LeafNumber> served_;
  std::set<const Signed*> accepted_;
  bool up_ = false;
  bool new_zone_ = false;
  bool flooded_ = false;
  Millis zone_began_ = 0;
  Millis start_began_ = 0;
  std::optional<UnixSeconds> booted_;  // the last start with a new zone, with a clock that was right
  std::int64_t judged_ = 0, bare_ = 0, strict_ = 0, strict_loaded_ = 0, refused_ = 0, omitted_ = 0;
  std::string violation_;
};

}  // namespace ocsp_plus::sim
