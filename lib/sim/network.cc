#include "sim/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "net/resolver.h"
#include "sim/machine.h"

namespace ocsp_plus::sim {
namespace {

Network* network = nullptr;

// The store counts leases given in two seconds; a request begins when its node has the answer.
constexpr Millis kBegunLately = 1800;

net::Fetch::Outcome failure(Reason reason, const char* detail, std::optional<UnixSeconds> retry_after = {},
                            unsigned status = 0) {
  net::Fetch::Failure failure;
  failure.status = status;
  failure.reason = reason;
  failure.detail = detail;
  failure.retry_after = retry_after;
  return tl::unexpected<net::Fetch::Failure>(std::move(failure));
}

class SimFetch : public net::Fetch {
 public:
  SimFetch(EventLoop& loop, const Clock& clock, const net::FetchRequest& request, Callback callback)
      : clock_(clock),
        callback_(std::move(callback)),
        plan_(network->begin(request)),
        started_(clock.monotonic()),
        timeout_(request.timeout),
        timer_(loop.timer([this] { over(); })) {
    timer_->arm(std::min(plan_.after, timeout_));
  }

 private:
  void over() {
    const Millis took = clock_.monotonic() - started_;
    Outcome outcome = [&]() -> Outcome {
      const Shield shield;
      return plan_.after > timeout_ ? failure(Reason::kTimeout, "simulated time-out") : network->finish(plan_, took);
    }();
    const Callback callback = std::move(callback_);
    callback(std::move(outcome));  // may destroy this
  }

  const Clock& clock_;
  Callback callback_;
  const Network::Plan plan_;
  const Millis started_;
  const Millis timeout_;
  std::unique_ptr<Timer> timer_;
};

class SimResolver : public net::Resolver {
 public:
  std::unique_ptr<Query> resolve(const std::string&, std::uint16_t, Callback) override { return nullptr; }
};

}  // namespace

Network::Network(std::vector<const Script*> scripts, Ca& ca, Prng prng)
    : scripts_(std::move(scripts)),
      ca_(ca),
      prng_(prng),
      requests_(scripts_.size()),
      issuer_requests_(scripts_.size()) {
  network = this;
}

Network::~Network() {
  network = nullptr;
}

Network& Network::here() {
  return *network;
}

// URLs are http://r<responder>.example/<leaf>, http://i.example/<leaf> for issuers, and
// http://c<tier>.example/<number> for CA certificates, each of which has one responder.
Network::Plan Network::begin(const net::FetchRequest& request) {
  const Shield shield;
  Plan plan;
  plan.issuer = request.url.host[0] == 'i';
  plan.responder = request.url.host[0] == 'r' ? static_cast<std::size_t>(request.url.host[1] - '0') : 0;
  plan.leaf = std::stoul(request.url.target.substr(1));
  plan.get = request.method.value_or(net::usual_method(request)) == net::Method::kGet;
  const std::size_t node = Machine::here().node();
  ++counts_.requests;
  ++(plan.issuer ? issuer_requests_ : requests_)[node][plan.leaf];
  if (on_request) {
    on_request(plan.leaf);
  }
  if (keep_times_) {
    times_.push_back(Machine::here().monotonic());
  }
  const Millis now = Machine::here().monotonic();
  auto& begun = begun_[request.url.host];
  begun.push_back(now);
  while (begun.front() <= now - kBegunLately) {
    begun.pop_front();
  }
  most_begun_ = std::max(most_begun_, begun.size());
  const Script& script = *scripts_[node];
  const Conduct* conduct = plan.issuer ? script.issuer_conduct(now) : script.conduct(plan.leaf, plan.responder, now);
  if (conduct != nullptr && (conduct->only == SIZE_MAX || conduct->only == plan.leaf)) {
    plan.deed = conduct->deed;
    plan.lie = conduct->lie;
    plan.wrong = conduct->wrong;
    plan.retry_after = conduct->retry_after;
  }
  plan.after = plan.deed == Deed::kHang   ? kNever
               : plan.deed == Deed::kSlow ? prng_.between(2000, 15000)
                                          : prng_.between(5, 400);
  return plan;
}

net::Fetch::Outcome Network::finish(const Plan& plan, Millis took) {
  const UnixSeconds wall = Machine::here().wall();
  const UnixSeconds now = Machine::here().true_time();
  const char* const said = plan.issuer ? name_of(plan.wrong) : name_of(plan.lie);
  Machine::here().say(fmt::format(
      "  {} {}{} certificate {}", plan.issuer ? "the issuers' server" : fmt::format("responder {}", plan.responder),
      name_of(plan.deed), plan.deed == Deed::kLie ? fmt::format(" ({})", said) : "", plan.leaf));
  switch (plan.deed) {
    case Deed::kHonest:
    case Deed::kSlow:
      break;
    case Deed::kHang:
      return failure(Reason::kTimeout, "simulated");
    case Deed::kRefuse:
      ++counts_.failures;
      return failure(Reason::kConnectRefused, "simulated");
    case Deed::kReset:
      ++counts_.failures;
      return failure(Reason::kConnectionReset, "simulated");
    case Deed::kNoDns:
      ++counts_.failures;
      return failure(Reason::kDnsFailed, "simulated");
    case Deed::kHttpError:
      ++counts_.failures;
      return failure(Reason::kHttpStatus, "simulated", {}, 503);
    case Deed::kRetryAfter:
      ++counts_.failures;
      return failure(Reason::kHttpStatus, "simulated", wall + plan.retry_after, 503);
    case Deed::kOnlyPost:
    case Deed::kOnlyGet:
      if (plan.get != (plan.deed == Deed::kOnlyGet)) {
        return failure(Reason::kHttpStatus, "simulated", {}, 405);
      }
      break;
    case Deed::kReplay:
      return answer(plan, ca_.old_answer(Pki::get().meant(plan.leaf), now), took);
    case Deed::kLie:
      return lie(plan, took);
  }
  ++counts_.good;
  if (plan.issuer) {
    return answer(plan, Pki::get().issuer(plan.leaf).der(), took);
  }
  // For a forged certificate the responder answers for the twin with the same serial.
  const LeafNumber meant = Pki::get().meant(plan.leaf);
  const Bytes& honest = ca_.answer(meant, now);
  if (meant == plan.leaf) {
    on_honest(plan.leaf, *ca_.find(honest));
  }
  return answer(plan, honest, took);
}

net::Fetch::Outcome Network::lie(const Plan& plan, Millis took) {
  ++counts_.lies;
  if (plan.issuer) {
    return answer(plan, document_of(plan.wrong, plan.leaf), took);
  }
  ++counts_.kinds[plan.lie];
  return answer(plan, ca_.lie(plan.lie, Pki::get().meant(plan.leaf), Machine::here().true_time()), took);
}

net::Fetch::Outcome Network::answer(const Plan&, Bytes body, Millis took) {
  net::FetchResponse response;
  response.http.head.status = 200;
  response.http.head.date = Machine::here().true_time();
  response.http.body = std::move(body);
  response.took = took;
  return response;
}

}  // namespace ocsp_plus::sim

// --- the replaced functions ---

namespace ocsp_plus::net {

std::unique_ptr<Fetch> Fetch::start(Transport& transport, FetchRequest request, Callback callback) {
  return std::make_unique<sim::SimFetch>(transport.loop, transport.clock, request, std::move(callback));
}

Result<std::unique_ptr<Resolver>> Resolver::create(EventLoop&, const Clock&, ResolverOptions) {
  return std::make_unique<sim::SimResolver>();
}

}  // namespace ocsp_plus::net
