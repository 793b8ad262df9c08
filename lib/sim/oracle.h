// The invariants of every handshake, checked against the fault script and the CA's table alone: the oracle never
// looks at the engine's state.
//
// (a) A staple is in the table, for that certificate, with that status, and has not expired by the node's wall clock.
//     When it is first served, its thisUpdate is at most 300 s ahead of that clock.
// (b) A staple that the node could have fetched and kept is served. `sure` is the time until which the node must have
//     a staple for a certificate, whatever it did within its rules. It is derived window by window: in a window an
//     honest responder is reachable, the node's clock is right and its worker is alive, without interruption.
//       - A node that holds a response until E at a time u of the window tries again by (u + E) / 2, and has the
//         answer kSlack later. So at a time b of the window every response that ends before 2 * (b - kSlack) - u was
//         replaced by what the responder had at u.
//       - A node that holds nothing tries at least once in the upper bound of ocsp_plus_retry, and every ten minutes
//         if the responder was unreachable or failed itself.
//       - A start that waits serves from its first handshake on what was honest and reachable throughout, even if the
//         responder hangs for another certificate.
//     `sure` survives reloads, kills and outages, and a restart if the directory worked for the last minute before it
//     and power was not cut. If the start helper was killed, or the clock was wrong at the start, kept responses are
//     served some seconds later: once a worker has read them and the clock is right.
//     For a certificate that a server loads per connection all this applies from the time at which the node must have
//     taken it: a handshake shows it to a worker that does not have it configured, in a window open for thirty
//     seconds, after which earlier unsuccessful hand-overs are repeated, and the window is still open kSlack later.
//     If its issuer is not in the chain, the issuers' server must be reachable in the window too; without a caIssuers
//     URL nothing is due. During a flood of forged certificates nothing new is due, but held responses stay, unless
//     the zone is too small for all and the certificate was not in use. After a restart the rule of a killed start
//     helper applies: a worker reads the response after taking the certificate again.
// (e) After a true revocation was served, or has reached a node that then lived on for two seconds, no older good
//     response is served, also after restarts under the conditions of (b), and even if the disk was full.
// (f) Within five minutes a start fetches every response that was not confirmed by an honest answer within the last
//     hour.
// (g) No request is made for an expired certificate.
// (h) A certificate that the CA has not signed gets no staple.
// (i) Without a staple the handshake is refused if the server requires one; otherwise another module's response, if
//     set, is sent. If the server omits revoked responses, neither is sent for a certificate after a true revocation
//     has reached the node. Each handshake is counted once, by its outcome.
//
// Of a node of a fleet, whose letters go on:
// (k) (b) holds whatever happens to the shared store, with its windows moved by the patience of engine/schedule.h: a
//     node with a valid response waits for the others for three eighths of what is left of it, and a node with
//     nothing for a note and then a lease. That a start serves from its first handshake on, and (f), are not
//     demanded: another node may be asking.
// (l) Once a node has published a revocation, every node that reaches the store serves no older good response after
//     15 seconds. Not where the store, the node or its clock had trouble in the minute before, or until then.
// (o) Under ocsp_plus_refresh no good response is served once a revocation at the responder is older than the bound
//     and kSlack, in a window that was open as long. What a responder refuses, or asks for by Retry-After, may take
//     longer.
// (p) Where the server, the library and TLS 1.3 staple the CA certificates sent after the leaf, their staples follow
//     the leaf's, which is good: in their order, without a gap, up to the first that is a root, whose issuer is not
//     sent after it, or that has no valid staple. Each is judged as a leaf's, by (a), (b), (e), (f), (l) and (o) with
//     its own issuer's responder, so the list is as long as it could be. One that says revoked is the last, and is
//     not sent where revoked ones are omitted. One that no server has configured may be missing at any time.
//     Elsewhere nothing follows the leaf's staple. What is judged of leaves does not depend on any of this; and a
//     start waits for no CA certificate.
// The others, (j), (m) and (n), are in run.cc.
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

  // --- events of the world ---
  void start_begins(bool new_zone);
  void start_ended(const std::set<LeafNumber>& configured, bool helper_killed);
  void stopped(bool power_cut);
  void interrupted();        // a worker was killed
  void conditions_change();  // the script's next span or happening begins
  void asked(LeafNumber leaf);
  void delivered(LeafNumber leaf, const Signed& response);
  void fleet_knows(LeafNumber leaf, const Signed& revocation);  // it is in the store
  void fleet_is_troubled();

  // --- certificates that servers load per connection ---
  void shown(LeafNumber leaf);                            // to a worker that does not have it configured
  void lost(LeafNumber leaf);                             // no staple is due until it is shown again
  void lost_loaded();                                     // the same for all that are not configured
  void disowned(LeafNumber leaf);                         // a failed configuration contained it
  void flood_begins(const std::set<LeafNumber>& in_use);  // `in_use`: shown throughout the flood
  void flood_ended();
  void clock_set(UnixSeconds before);  // wall clock

  // --- results of handshakes ---
  void judge(LeafNumber leaf, const Node::Staple& staple);

  std::int64_t judged() const { return judged_; }
  std::int64_t bare() const { return bare_; }                    // handshakes without a staple when none was due
  std::int64_t strict() const { return strict_; }                // handshakes for which a staple was due
  std::int64_t strict_loaded() const { return strict_loaded_; }  // of these, with a certificate loaded per connection
  std::int64_t refused() const { return refused_; }
  std::int64_t omitted() const { return omitted_; }  // after a revocation had reached the node
  // Handshakes with staples after the leaf's: all, those that were to have as many as the chain allows, those with a
  // leaf loaded per connection, and those that end with a revoked one.
  struct Chained {
    std::int64_t count = 0, due = 0, loaded = 0, revoked = 0;
  };
  const Chained& chained() const { return chained_; }
  // How long it took until a revocation was served, in an open window: how often that was seen, the sum, the longest.
  struct Noticed {
    std::int64_t count = 0;
    Seconds sum = 0, longest = 0;
  };
  const Noticed& noticed() const { return noticed_; }
  const std::string& violation() const { return violation_; }  // the first; empty: none

 private:
  struct LeafRecord {
    UnixSeconds sure = 0;
    std::optional<UnixSeconds> open;     // start of the open window
    bool in_zone = false;                // ever since the zone was created
    std::optional<UnixSeconds> revoked;  // thisUpdate of the latest revocation seen
    std::optional<UnixSeconds> revoked_soon;
    Millis revoked_from = 0;
    // The same of (l).
    std::optional<UnixSeconds> known_soon;
    Millis known_from = 0;
    bool told_revoked = false;  // a true revocation has reached the node
    UnixSeconds newest = 0;     // the latest thisUpdate served
    UnixSeconds confirmed = 0;  // the last honest answer
    // The due response is in the directory, but no worker has read it yet. Excused until late_until; 0: until the
    // clock is right.
    bool late = false;
    Millis late_until = 0;
    // For a certificate that a server loads and that is not in the newest configuration.
    bool loaded = false;
    bool taken = false;                 // the node must have taken it by now
    std::optional<UnixSeconds> handed;  // within this window; the node must have taken it kSlack later
    unsigned shows = 0;                 // within this window
    Millis last_show = 0;
    UnixSeconds last_shown = 0;
    bool again = false;                      // not taken yet since the last start with a new zone
    std::optional<UnixSeconds> taken_again;  // taken after that start, in a window open ever since
  };

  bool good(LeafNumber leaf, Millis from, Millis to, bool starting = false) const;
  bool failures_pass(LeafNumber leaf, UnixSeconds opened) const;
  Seconds longest_pause(LeafNumber leaf, UnixSeconds opened) const;
  UnixSeconds sure_at(LeafNumber leaf, const LeafRecord& record, UnixSeconds at) const;
  void close(LeafNumber leaf, LeafRecord* record);
  bool disk_was_good(Millis span) const;
  bool judge_certificate(LeafNumber leaf, Node::Got status, const Bytes& der);
  void judge_chain(LeafNumber leaf, const Node::Staple& staple);
  void judge_order(LeafNumber leaf, LeafRecord* record, const Signed& served);
  void judge_bound(LeafNumber leaf, const LeafRecord& record, Node::Got status);
  void judge_missing(LeafNumber leaf, LeafRecord* record);
  void judge_outcome(LeafNumber leaf, const Node::Staple& staple);
  void judge_asked_again(LeafNumber leaf, const LeafRecord& record);
  void clock_is_right(LeafRecord* record) const;
  std::vector<LeafNumber> in_care() const;
  void update_window(LeafNumber leaf, LeafRecord* record);
  void take(LeafRecord* record);
  bool disk_was(Millis span, bool (*fine)(DiskFault)) const;
  static void clear(LeafRecord* record);
  void reset_taken(LeafRecord* record) const;
  void complain(LeafNumber leaf, const std::string& what);
  Seconds slack() const;
  UnixSeconds replaced(UnixSeconds from, UnixSeconds at) const;
  unsigned shows_needed() const;

  const Machine& machine_;
  const Script& script_;
  const Ca& ca_;
  std::map<LeafNumber, LeafRecord> records_;
  std::set<LeafNumber> served_;  // by the newest configuration, with the CA certificates that it staples
  std::set<const Signed*> accepted_;
  bool up_ = false;
  bool new_zone_ = false;
  bool flooded_ = false;
  Millis zone_began_ = 0;
  Millis start_began_ = 0;
  std::optional<UnixSeconds> booted_;  // the last start with a new zone, with a clock that was right
  Chained chained_;
  std::int64_t judged_ = 0, bare_ = 0, strict_ = 0, strict_loaded_ = 0, refused_ = 0, omitted_ = 0;
  std::set<LeafNumber> seen_revoked_;
  Noticed noticed_;
  std::string violation_;
};

}  // namespace ocsp_plus::sim
