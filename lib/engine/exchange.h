// Gets one response for one certificate: asks its responders in order, skipping failing ones, under one deadline,
// until one sends a response that verifies. If the issuer is missing it is fetched first (engine/issuer_exchange.h),
// under a deadline of its own. The caller decides what to do with the response.
//
// An exchange in flight is this object; destroying it cancels DNS, socket and timers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "engine/admit.h"
#include "engine/host_call.h"

namespace ocsp_plus::engine {

class IssuerExchange;

class Exchange {
 public:
  // The validators with which a responder sent the held response: it need not send the same response again.
  struct HeldValidators {
    std::size_t responder = 0;
    net::Validators validators;
    UnixSeconds this_update = 0;
    UnixSeconds produced_at = 0;

    bool belong_to(const store::BlobHeader& held) const {
      return held.this_update == this_update && held.produced_at == produced_at;
    }
  };

  struct Accepted {
    std::size_t responder = 0;  // index into Target::responders
    net::FetchResponse response;
    std::optional<Verified> verified;  // nothing: "not modified", the held response stays
  };
  static constexpr std::size_t kNoResponder = UINT32_MAX;
  struct Failure {
    net::Fetch::Failure error;  // the error of the responder asked last
    std::size_t responder = 0;  // index into Target::responders; kNoResponder: the issuer could not be fetched
    std::optional<crypto::Verdict> verdict = {};  // on its response, if it sent one
  };
  struct End {
    tl::expected<Accepted, Failure> result;
    bool past_caches = false;        // the answer was asked for past HTTP caches, which had held it for too long
    std::vector<std::string> hosts;  // host keys of all that were asked: their health may have changed
  };
  using Done = std::function<void(End)>;

  // The responder to ask for a target now or, where none permits it, the one to wait for.
  struct Choice {
    ResponderHealth::Permit permit = ResponderHealth::Permit::kFailing;
    std::size_t responder = 0;
  };
  static Choice choose(const ResponderHealth& health, const Target& target, const std::vector<bool>& asked,
                       const Clock& clock);

  // Asks the responder that choose() names. An answer by GET that is older than `oldest` s according to HTTP is asked
  // for once more, past the caches on the way (RFC 9111 section 5.2.1.4); 0: as old as it is. The response's
  // thisUpdate does not count: it may have been made in advance. REQUIRES: target.stapleable(); with `held`, that
  // services.gate is set. `done` is called from the loop, once; it may destroy the exchange. Everything borrowed
  // outlives the exchange; `services` is copied.
  Exchange(const ExchangeServices& services, Target& target, std::optional<HeldValidators> held, Seconds oldest,
           Done done);
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
  static constexpr int kMostRequests = 3;  // to one URL: other method, other hash, past caches
  // Verdict on the host that sent a refused response.
  enum class Meaning {
    kHostWorks,    // the response is of no use for this certificate, but the host works
    kStaleCopy,    // it was good once: perhaps a copy from a cache on the way
    kHostTrouble,  // try_later, a portal's page, garbage
  };
  static Meaning meaning_of(Reason reason);

  void get_issuer();
  void ask_one();
  net::FetchRequest request_to(std::size_t responder, crypto::CertIdHash hash) const;
  void ask(std::size_t responder);
  void ask(RequestVariant variant) { ask(variant, request_to(responder_, variant.hash)); }
  void ask(RequestVariant variant, net::FetchRequest request);
  bool may_ask_again() const;
  void record_method(bool read);
  void on_outcome(net::Fetch::Outcome outcome);
  void on_failure(net::Fetch::Failure error);
  void on_response(const net::FetchResponse& response);
  bool is_old(const net::FetchResponse& response) const;
  void accept(Accepted accepted);
  void take_copy();
  void refuse(const net::FetchResponse& response, Error why, Meaning meaning);
  Millis time_for_one() const;
  bool ask_by_other_method();
  bool ask_by_other_hash(bool refused, bool answered);
  void ask_next_or_end();
  void end(tl::expected<Accepted, Failure> result);

  ExchangeServices services_;
  Target& target_;
  Done done_;
  Millis deadline_;
  std::vector<bool> asked_;
  std::vector<std::string> hosts_asked_;
  std::optional<HostCall> call_;  // the last one
  std::optional<HeldValidators> held_;
  RequestVariant variant_;          // the fetch in flight has it
  bool asked_past_caches_ = false;  // once is enough
  const Seconds oldest_;
  std::optional<Accepted> copy_;  // the answer that a cache had held for too long, until a newer one comes
  // State of the current responder.
  bool asked_by_other_hash_ = false;
  bool asked_by_other_method_ = false;
  int requests_ = 0;
  bool hash_refused_ = false;
  net::Method usual_ = net::Method::kGet;  // by the URL's length
  net::Method first_method_ = net::Method::kGet;
  // The responder's own OCSP response; an HTTP error by the other method does not replace it.
  std::optional<Failure> said_;
  std::size_t responder_ = 0;
  Failure failure_;
  std::unique_ptr<IssuerExchange> issuer_;
  std::unique_ptr<net::Fetch> fetch_;
  std::unique_ptr<WorkQueue::Ticket> job_;  // the verification of an answer
};

}  // namespace ocsp_plus::engine
