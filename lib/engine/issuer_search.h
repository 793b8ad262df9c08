// Searches for the issuer of one certificate, one signature verification at a time; and the queue in which all
// searches of a process wait for their turn. Anyone can make a thousand candidates with one name, which take a
// thousand verifications, so a process that serves handshakes does one in a turn of the loop (engine/work_queue.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "base/ports.h"
#include "crypto/certificate.h"
#include "engine/issuer_pool.h"
#include "engine/work_queue.h"

namespace ocsp_plus::engine {

class IssuerSearch {
 public:
  enum class Step { kFound, kMore, kNone };

  // Searches `offered`, in the order of crypto::rank_issuers(), then the pool's candidates. `id` is the leaf's. The
  // pool outlives the object; the object keeps references to the certificates. Gives up after `most` verifications;
  // mismatches are remembered, so another search continues from there.
  IssuerSearch(IssuerPool& pool, const CertificateId& id, x509_st* leaf, const std::vector<x509_st*>& offered,
               std::size_t most = SIZE_MAX);

  // Verifies once, if any candidate is left; skips known mismatches. kFound, kNone: the search is over. Throws
  // std::bad_alloc where lack of memory leaves the answer open; the same step can be tried again.
  Step step();
  // All steps at once, for a process that serves no clients meanwhile.
  Step finish();

  std::size_t steps() const { return steps_; }  // verifications so far
  // nullptr: not found.
  const IssuerPtr& found() const { return found_; }
  bool is_new() const { return is_new_; }  // found, and new to the pool

 private:
  IssuerPool* pool_;
  CertificateId id_;
  crypto::X509Ptr leaf_;
  std::vector<crypto::X509Ptr> candidates_;
  std::size_t next_ = 0;
  std::size_t steps_ = 0;
  std::size_t most_;
  IssuerPtr found_;
  bool is_new_ = false;
};

// Searches take turns: a new one gets its first steps before another takes its thousandth. After searches that find
// nothing there is a rest, so that useless searches cost only a part of this process's time, however long a
// verification with their keys takes.
class IssuerSearches {
 public:
  // Called from the loop, once.
  using Done = std::function<void(const IssuerSearch& search)>;

  // A search in the queue. Destroying it gives the search up; the queue must outlive it.
  class Ticket {
   public:
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    const IssuerSearch& search() const { return search_; }

   private:
    friend class IssuerSearches;
    Ticket(IssuerSearches& queue, IssuerSearch search, Done done);

    IssuerSearches& queue_;
    IssuerSearch search_;
    Done done_;
    std::list<Ticket*>::iterator at_;  // queue_.waiting_.end(): it is over
  };

  // All references outlive the object.
  IssuerSearches(EventLoop& loop, const Clock& clock, WorkQueue& work_queue);

  // `done` may destroy the ticket.
  std::unique_ptr<Ticket> begin(IssuerSearch search, Done done);

 private:
  void go_on();
  void step();

  const Clock& clock_;
  WorkQueue& work_queue_;
  std::list<Ticket*> waiting_;  // the first is next
  std::unique_ptr<WorkQueue::Ticket> job_;
  std::unique_ptr<Timer> rest_;
  bool resting_ = false;
  unsigned in_vain_ = 0;  // verifications that found nothing since the last rest
  Millis since_ = 0;      // monotonic; the first of them
  Millis stepped_ = 0;    // monotonic; the last step
};

}  // namespace ocsp_plus::engine
