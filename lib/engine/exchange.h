// Getting one response for one certificate: its responders in order, the failing ones left out, under one deadline;
// before that, where it has none, its issuer (engine/issuer_exchange.h), under a deadline of its own.
// An exchange in flight is this object; destroying it cancels DNS, socket and timers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ports.h"
#include "engine/catalog.h"
#include "engine/methods.h"
#include "engine/responder_health.h"
#include "engine/settings.h"
#include "engine/tls_clients.h"
#include "engine/work_queue.h"
#include "net/fetch.h"

namespace ocsp_plus::engine {

// What an answer came to, in the eyes of whoever judges it.
enum class Answer {
  kAccepted,  // the exchange is over
  kEnded,     // it was good once: an old copy, maybe of a cache on the way; the host is asked once more, past caches
  kRefused,   // of no use for this certificate, but the host does its work; the next responder is asked
  kHostTrouble,  // try_later, a portal's page, garbage: counts against the host; the next responder is asked
};

// What a verdict that refuses a response says of the host it came from.
Answer answer_for(Reason reason);

class IssuerExchange;
class Issuers;

class Exchange {
 public:
  struct Environment {
    const Clock& clock;
    Random& random;
    net::Transport& transport;
    TlsClients& tls;
    ResponderHealth& health;
    WorkQueue& work_queue;  // each answer waits for its own to be judged
    const Settings& settings;
    net::Trace trace = {};       // of each fetch
    Issuers* issuers = nullptr;  // nullptr: no target comes without an issuer
    Methods* methods = nullptr;  // nullptr: nothing is remembered
  };
  // Judges an answer; the reason for refusing one goes into `why`.
  using Judge = std::function<Answer(const net::FetchResponse& response, std::size_t responder, Error* why)>;

  // What is held came with these from that responder: it need not send the same again. The judge gets to see a
  // response that is not_modified() then.
  struct Known {
    std::size_t responder = 0;
    net::Validators validators;
  };

  static constexpr std::size_t kNobody = UINT32_MAX;
  struct Failure {
    net::Fetch::Failure error;  // of the responder asked last
    std::size_t responder = 0;  // index into Target::responders; kNobody: it was the issuer that was not to be had
  };
  struct End {
    std::optional<Failure> failure;  // nothing: a response was accepted
    std::vector<std::string> hosts;  // host keys of all that were asked: their standing may have changed
  };
  using Done = std::function<void(End)>;

  // Whom to ask for a target now; where nobody, whom it has to wait for.
  struct Choice {
    ResponderHealth::Permit permit = ResponderHealth::Permit::kFailing;
    std::size_t responder = 0;
  };
  static Choice choose(const ResponderHealth& health, const Target& target, const std::vector<bool>& asked,
                       const Clock& clock);

  // Asks `first`. REQUIRES: target.stapleable(), and that choose() permitted it. Callbacks come from the loop, `done`
  // once; it may destroy the exchange. Everything borrowed outlives the exchange.
  Exchange(const Environment& environment, const Target& target, std::size_t first, std::optional<Known> known,
           Judge judge, Done done);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

 private:
  // How a responder is asked.
  struct RequestVariant {
    crypto::CertIdHash hash = crypto::CertIdHash::kSha1;
    net::Method method = net::Method::kGet;
    bool past_caches = false;
  };
  static constexpr int kMostRequests = 3;  // to one URL: the other method, the other hash, past caches
  void get_issuer();
  net::FetchRequest request_to(std::size_t responder, crypto::CertIdHash hash) const;
  void ask(std::size_t responder);
  void ask(RequestVariant variant);
  bool may_ask_again() const;
  void record_method(bool read);
  void on_outcome(net::Fetch::Outcome outcome);
  void judge_answer(const net::FetchResponse& response);
  Millis time_for_one() const;
  bool ask_by_other_method();
  bool ask_by_other_hash(bool refused, bool answered);
  void ask_next_or_end();
  void end(std::optional<Failure> failure);

  Environment environment_;
  const Target& target_;
  Judge judge_;
  Done done_;
  Millis deadline_;
  std::vector<bool> asked_;
  std::vector<std::string> hosts_asked_;
  bool counted_ = true;        // the fetch in flight is settled with ResponderHealth
  std::uint32_t started_ = 0;  // what ResponderHealth said when it started
  std::optional<Known> known_;
  RequestVariant variant_;          // of the fetch in flight
  bool asked_past_caches_ = false;  // once is enough
  // Of this responder.
  bool asked_by_other_hash_ = false;
  bool asked_by_other_method_ = false;
  int requests_ = 0;
  bool hash_refused_ = false;
  net::Method usual_ = net::Method::kGet;  // by the length of the URL
  net::Method first_method_ = net::Method::kGet;
  std::optional<Failure> said_;  // its own OCSP response; an error of HTTP by the other method does not outdo it
  std::size_t responder_ = 0;
  Failure failure_;
  std::unique_ptr<IssuerExchange> issuer_;
  std::unique_ptr<net::Fetch> fetch_;
  std::unique_ptr<WorkQueue::Ticket> job_;  // of an answer that is to be judged
};

// A fetch from `host` that was started with that number ended in a way that counts against it, or against the proxy:
// it is left alone for a while, where it is time to.
void host_failed(const Exchange::Environment& environment, const std::string& host, std::uint32_t started,
                 const net::Fetch::Failure& error);

}  // namespace ocsp_plus::engine
