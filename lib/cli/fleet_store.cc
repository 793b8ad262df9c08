#include "cli/fleet_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/store_calls.h"
#include "crypto/digest.h"
#include "engine/schedule.h"
#include "engine/sharing.h"
#include "store/entry_state.h"

namespace ocsp_plus::cli {
namespace {

using net::SharedStore;
using Kind = SharedStore::Found::Kind;

constexpr Millis kSecond = 1000;
constexpr int kMostJudged = 3;            // useless responses, until the store is left alone
constexpr unsigned kMostBegun = 1 << 20;  // a command that somebody waits for is not held back

// Whether a response with this verdict would replace the other one, by the gate's rules.
bool replaces(const engine::Verified& held, const crypto::Verdict& verdict, engine::Moment moment,
              const engine::Settings& settings) {
  store::BlobHeader header = {};
  header.this_update = held.verdict.this_update;
  header.expires = held.verdict.expires;
  header.cert_status = static_cast<std::uint8_t>(held.verdict.cert_status);
  return engine::decide(header, verdict, settings.policy.clock_skew, moment) == engine::Action::kPublish;
}

std::string said(const Error& error) {
  return fmt::format("{}, {}", meaning(error.reason), error.detail);
}

}  // namespace

FleetStore::FleetStore(Services services, std::unique_ptr<engine::ShareAccess> access)
    : services_(std::move(services)), access_(std::move(access)) {}

Result<std::unique_ptr<FleetStore>> FleetStore::open(Services services, const engine::ShareSettings& share) {
  auto access = engine::ShareAccess::open(services.loop, services.clock, share, services.settings.max_response);
  RETURN_IF_ERROR(access);
  std::unique_ptr<FleetStore> made(new FleetStore(std::move(services), std::move(*access)));
  made->connect();
  return made;
}

void FleetStore::connect() {
  services_.step("connecting to the shared store " + access_->options.places.front().to_string());
  store_ = SharedStore::create(services_.loop, services_.clock, services_.random, *access_->resolver,
                               access_->options, nullptr);
  services_.loop.run_until([this] { return store_->state() != SharedStore::State::kConnecting; },
                           services_.settings.timeout);
  if (!store_->up()) {
    const auto status = store_->status();
    trouble_ =
        said(status.last_error.value_or(Error{Reason::kStoreTimeout, status.place + ": not connected in time"}));
    services_.step("shared store: " + trouble_);
  }
}

// `waited`: for another node. Who waits longer wants a lease of a higher number, as a node does.
Result<SharedStore::Found> FleetStore::look(const engine::Target& target, Millis waited) {
  SharedStore::Wanted wanted;
  wanted.host = target.host(0);
  wanted.leases = 1;
  wanted.lease_time = services_.settings.timeout + engine::kLeaseMargin;
  wanted.most_begun = kMostBegun;
  SharedStore::Item item;
  item.id = target.certificate.id;
  item.known = judged_;
  item.lease = waited == 0 ? 0 : engine::lease_number(waited, services_.random.next());
  item.past_note = true;  // somebody wants it now
  wanted.items.push_back(item);
  auto found = complete<std::vector<SharedStore::Found>>(
      services_.loop, [&](auto callback) { return store_->look(wanted, std::move(callback)); });
  RETURN_IF_ERROR(found);
  return std::move(found->front());
}

FleetStore::Judged FleetStore::judge(const engine::Target& target, ByteView response, engine::Verified* verified) {
  *verified = engine::verify(target, response, store::Source::kShared, {services_.clock.now(), false},
                             services_.settings.policy);
  judged_ = crypto::sha1(response);
  const Reason reason = verified->verdict.reason;
  services_.step(fmt::format("the shared store has {} bytes: {}", response.size(), token(reason)));
  if (engine::is_acceptable(verified->verdict)) {
    return Judged::kUsable;
  }
  return engine::concerns_this_node(reason) ? Judged::kNotForUs : Judged::kOfNoUse;
}

void FleetStore::pause(Millis time) {
  bool over = false;
  const auto timer = services_.loop.timer([&over] { over = true; });
  timer->arm(time);
  services_.loop.run_until([&over] { return over; }, kNever);
}

// Looks, and looks again while another node asks the responder. Nothing: there is no response to judge.
std::optional<Bytes> FleetStore::response_there(const engine::Target& target, Millis began) {
  while (true) {
    const Millis waited = services_.clock.monotonic() - began;
    auto found = look(target, waited);
    if (!found) {
      trouble_ = said(found.error());
      return std::nullopt;
    }
    switch (found->kind) {
      case Kind::kResponse:
        return std::move(found->response);
      case Kind::kElsewhere:
        if (waited >= services_.settings.timeout) {
          return std::nullopt;
        }
        services_.step("another node asks the responder");
        pause(std::clamp<Millis>(found->wait, 1, kSecond - waited % kSecond));
        break;
      case Kind::kLease:
        lease_ = std::move(found->lease);
        return std::nullopt;
      case Kind::kNoWrites: {
        const auto error = store_->status().last_error;
        trouble_ = error ? said(*error) : std::string("it takes no writes");
        return std::nullopt;
      }
      default:
        return std::nullopt;
    }
  }
}

std::optional<engine::Verified> FleetStore::take(const engine::Target& target) {
  if (!store_->up() || target.issuer == nullptr) {
    return std::nullopt;
  }
  const Millis began = services_.clock.monotonic();
  for (int useless = 0; useless < kMostJudged; ++useless) {
    const auto response = response_there(target, began);
    if (!response.has_value()) {
      return std::nullopt;
    }
    engine::Verified verified{{}, false, {}, store::Source::kShared, {}};
    const Judged judged = judge(target, *response, &verified);
    may_replace_ = judged != Judged::kNotForUs && judged_.has_value();
    if (judged == Judged::kUsable) {
      const crypto::Verdict& verdict = verified.verdict;
      if (!engine::is_refresh_due(services_.clock.now(), {verdict.this_update, verdict.expires},
                                  target.certificate.id)) {
        return verified;
      }
      services_.step("it is time to ask again");
      old_ = std::move(verified);
    }
  }
  return std::nullopt;
}

// The responder may hand out what is no newer than the response that the store has.
bool FleetStore::old_is_kept(const engine::Target& target, engine::Verified* verified) {
  if (!old_.has_value() || replaces(*old_, verified->verdict, verified->moment, services_.settings)) {
    return false;
  }
  if (old_->response != verified->response) {
    *verified = *old_;
  }
  release(target);
  return true;
}

bool FleetStore::publish(const engine::Target& target, engine::Verified* verified) {
  if (old_is_kept(target, verified)) {
    return true;
  }
  if (!store_->up()) {
    const auto error = store_->status().last_error;
    trouble_ = trouble_.empty() && error ? said(*error) : trouble_;
    return false;
  }
  const UnixSeconds now = services_.clock.now();
  SharedStore::Publication publication;
  publication.id = target.certificate.id;
  publication.host = target.host(0);
  publication.lease = std::exchange(lease_, std::nullopt);
  publication.response = verified->response;
  publication.keep = saturating_sub(verified->verdict.expires, now) * 1000;
  for (int tries = 0; tries < kMostJudged; ++tries) {
    publication.replaces = may_replace_ ? judged_ : std::nullopt;
    const auto published = complete<SharedStore::Published>(
        services_.loop, [&](auto callback) { return store_->publish(publication, std::move(callback)); });
    if (!published) {
      trouble_ = said(published.error());
      return false;
    }
    if (published->stored) {
      services_.step("published in the shared store");
      trouble_.clear();
      return true;
    }
    publication.lease.reset();
    engine::Verified other{{}, false, {}, store::Source::kShared, {}};
    const Judged judged = judge(target, published->other, &other);
    may_replace_ = judged != Judged::kNotForUs && judged_.has_value();
    if (judged == Judged::kUsable && replaces(*verified, other.verdict, {now, false}, services_.settings)) {
      *verified = std::move(other);
      trouble_.clear();
      return true;
    }
    if (!may_replace_) {
      trouble_ = fmt::format("{}: it has a response that only other nodes may be able to use ({}), and keeps it",
                             place(), meaning(other.verdict.reason));
      return false;
    }
  }
  trouble_ = place() + ": other nodes change its response all the time";
  return false;
}

void FleetStore::release(const engine::Target& target) {
  if (!lease_ || !store_->up()) {
    return;
  }
  const SharedStore::Settlement settlement = {target.certificate.id, target.host(0), std::move(*lease_), 0, false};
  lease_.reset();
  (void)complete<bool>(services_.loop,
                       [&](auto callback) { return store_->settle(settlement, std::move(callback)); });
}

}  // namespace ocsp_plus::cli
