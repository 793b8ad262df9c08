// Judges responses from the shared store, one at a time, each in a turn of its own: the gate verifies them like any
// other. Part of engine/sharing.h.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "engine/admit.h"
#include "engine/context.h"
#include "engine/report.h"
#include "engine/roster.h"
#include "engine/sharing_tally.h"
#include "engine/work_queue.h"
#include "net/shared_store.h"

namespace ocsp_plus::engine {

// Whether a refusal of the gate says something about this node (its library, its clock, its policy) rather than about
// the response: in a shared store the response stays, since other nodes may be able to staple it.
bool concerns_this_node(Reason reason);

class SharedResponses {
 public:
  using Entry = store::EntryIndex;

  enum class Judged {
    kCommitted,
    kSame,      // no newer than the held one
    kRefused,   // the gate refuses it for what it is
    kNotForUs,  // refused for what this node is
    kNoRoom,    // good, but it did not get into the zone
    kLost,      // another process holds the lease of the zone: what waits is not judged
  };
  struct Response {
    Entry entry = 0;
    Bytes response;
    bool publication = false;  // the store has it in place of one that this node published
  };
  // `digest`: of the response; nothing for want of memory.
  using OnJudged = std::function<void(const Response&, Judged judged, const std::optional<net::Sha1>& digest)>;

  // Everything outlives the object.
  SharedResponses(const Context& context, Report& report, WorkQueue& work_queue, Gate& gate, Roster& roster,
                  SharingTally& tally, OnJudged on_judged);

  // Calls back in a later turn of the loop. Responses are judged in the order in which they came.
  void judge(Response response);
  // The certificate is about to be removed: what waits for it is not judged any more.
  void end(Entry entry);
  std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    Response response;
    std::optional<Verified> verified;  // the zone was busy
  };

  void queue();
  void next();
  std::optional<Judged> judge_one(Waiting* waiting);

  Context context_;
  Report& report_;
  WorkQueue& work_queue_;
  Gate& gate_;
  Roster& roster_;
  SharingTally& tally_;
  OnJudged on_judged_;
  std::deque<Waiting> waiting_;
  std::unique_ptr<WorkQueue::Ticket> turn_;  // nullptr: nothing waits for a turn
  std::unique_ptr<Timer> busy_timer_;        // while the zone is busy
};

}  // namespace ocsp_plus::engine
