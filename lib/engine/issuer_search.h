// The search for the issuer of one certificate, a verification of its signature at a time; and the queue in which all
// searches of a process wait for theirs. A thousand candidates of one name, which anybody can make, take as many
// verifications, so whoever serves handshakes beside does one in a turn of the loop (engine/work_queue.h).
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

  // Among `offered`, in their order as crypto::rank_issuers() has it, and then the pool's candidates. `id` is the
  // leaf's. The pool outlives the object; of the certificates it keeps references. After `most` verifications it
  // gives up; what did not verify is remembered, so another search goes on from there.
  IssuerSearch(IssuerPool& pool, const CertificateId& id, x509_st* leaf, const std::vector<x509_st*>& offered,
               std::size_t most = SIZE_MAX);

  // Verifies once, if that is left to do; passes over what is known not to verify. kFound, kNone: it is over.
  // Throws std::bad_alloc where there is no memory to tell; the same step can be tried again.
  Step step();
  // All steps at once, for a process that serves nobody meanwhile.
  Step finish();

  std::size_t steps() const { return steps_; }  // verifications so far
  // nullptr: not found.
  const IssuerPtr& found() const { return found_; }
  bool is_new() const { return is_new_; }  // found, and the pool did not have it

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

// Searches take their steps in turn: a new one needs a few before the thousandth of another. What comes to nothing is
// followed by a rest, so that those who make it up cost a part of this process's time, whatever a verification with
// their keys takes.
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

  // All of them outlive the object.
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
  unsigned in_vain_ = 0;  // verifications since the last rest
  Millis since_ = 0;      // the first of them
  Millis stepped_ = 0;    // the last step
};

}  // namespace ocsp_plus::engine
