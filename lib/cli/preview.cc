#include "cli/preview.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "admin/snapshot.h"
#include "base/poll_loop.h"
#include "base/random.h"
#include "engine/catalog.h"
#include "engine/startup.h"
#include "store/shared_stats.h"
#include "store/staple_zone.h"

namespace ocsp_plus::cli {
namespace {

using admin::InventoryServer;
using Outcome = Expected::Outcome;

constexpr Millis kReachTime = 5000;

// This process alone has the zone.
class FreeLock : public SharedLock {
 public:
  bool try_lock() override { return true; }
  void unlock() override {}
};

class ZoneMemory {
 public:
  explicit ZoneMemory(std::size_t size)
      : base_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
        size_(size) {}
  ~ZoneMemory() {
    if (base_ != MAP_FAILED) {
      munmap(base_, size_);
    }
  }
  ZoneMemory(const ZoneMemory&) = delete;
  ZoneMemory& operator=(const ZoneMemory&) = delete;

  Result<store::StapleZone> format() const {
    return base_ == MAP_FAILED ? fail(Reason::kOutOfMemory)
                               : store::StapleZone::format(base_, size_, store::StapleZone::Memory::kZeroed);
  }

 private:
  void* base_;
  std::size_t size_;
};

// A row before the engine has run.
struct Row {
  Expected expected;
  const engine::Target* target = nullptr;  // nullptr: the certificate cannot be used
};

// The configuration's catalog, filled as the module fills it.
class Replay {
 public:
  explicit Replay(const admin::Inventory& inventory) : inventory_(inventory) {}

  Result<void> run() {
    for (const InventoryServer& server : inventory_.servers) {
      if (!server.preload) {
        RETURN_IF_ERROR(catalog_.add_profile(server.common));
      }
      for (const InventoryServer::Shown& shown : server.certificates) {
        RETURN_IF_ERROR(add(server, shown));
      }
    }
    catalog_.settle_issuers(inventory_.settings.issuer_fetch);
    return {};
  }

  engine::Catalog& catalog() { return catalog_; }
  std::vector<Row>& rows() { return rows_; }

 private:
  Result<void> add(const InventoryServer& server, const InventoryServer::Shown& shown) {
    engine::ServerCertificate certificate = server.common;
    certificate.leaf = shown.leaf;
    certificate.chain = shown.chain;
    certificate.file = shown.file;
    const auto added = catalog_.add(certificate);
    RETURN_IF_ERROR(added);
    if (added->target == nullptr) {
      add_row(server, shown, nullptr);
      rows_.back().expected.certificate = crypto::label_of(shown.leaf);
      rows_.back().expected.must_staple = crypto::demands_staple(shown.leaf);
      return {};
    }
    add_row(server, shown, added->target);
    if (inventory_.settings.sends_chain) {
      for (const engine::Target* link : added->links) {
        add_row(server, shown, link);
        rows_.back().expected.ca = true;
      }
    }
    return {};
  }

  void add_row(const InventoryServer& server, const InventoryServer::Shown& shown, const engine::Target* target) {
    Row row;
    row.expected.server = &server;
    row.expected.file = shown.file;
    row.target = target;
    if (target != nullptr) {
      row.expected.certificate = std::string(target->certificate.label());
      row.expected.id = to_hex(target->certificate.id);
      row.expected.must_staple = target->certificate.must_staple;
    }
    rows_.push_back(std::move(row));
  }

  const admin::Inventory& inventory_;
  engine::Catalog catalog_;
  std::vector<Row> rows_;
};

void set_none(Expected* expected, Outcome outcome, std::string_view reason, std::string detail) {
  expected->outcome = outcome;
  expected->reason = std::string(reason);
  expected->detail = std::move(detail);
}

void set_held(Expected* expected, const admin::CertificateStatus& status) {
  const bool revoked = status.state == admin::State::kRevoked;
  expected->outcome = !revoked                                          ? Outcome::kGood
                      : expected->server->omit_revoked && !expected->ca ? Outcome::kOmitted
                                                                        : Outcome::kRevoked;
  expected->source = std::string(status.held->source);
  expected->expires = status.held->expires;
}

void set_unsupported(Expected* expected, const admin::CertificateStatus& status) {
  const Reason reason = status.reason.value_or(Reason::kNoResponder);
  std::string detail;
  if (reason == Reason::kNoResponder) {
    detail = "it names no OCSP responder, and neither ocsp_plus_responder nor ocsp_plus_file is set";
  } else if (reason == Reason::kNoIssuer) {
    detail =
        "its issuer is not known; append it to the certificate's file, or name it in ocsp_plus_trusted_certificate";
  } else {
    detail = "the responder that it names cannot be used, " + quoted(status.target->certificate.ocsp_urls.front()) +
             "; name one in ocsp_plus_responder";
  }
  set_none(expected, Outcome::kUnsupported, token(reason), std::move(detail));
}

void set_missing(Expected* expected, const admin::CertificateStatus& status, Millis timeout) {
  const auto& attempt = status.last_attempt;
  const bool is_under_way = attempt.has_value() && attempt->reason == Reason::kNotChecked;
  if (!attempt.has_value() || is_under_way || attempt->reason == Reason::kOk) {
    set_none(expected, Outcome::kNone, token(Reason::kTimeout),
             fmt::format("no answer within {} s; --timeout gives more", timeout / 1000));
  } else {
    set_none(expected, Outcome::kNone, token(attempt->reason),
             attempt->detail.empty() ? std::string(meaning(attempt->reason)) : attempt->detail);
  }
}

void judge(const admin::Inventory& inventory, const Row& row, const admin::CertificateStatus* status, Millis timeout,
           Expected* expected) {
  if (!inventory.origin.unfit.empty()) {
    set_none(expected, Outcome::kUnsupported, token(Reason::kNotSendable), inventory.origin.unfit);
  } else if (status == nullptr) {
    set_none(expected, Outcome::kUnsupported, token(Reason::kUnreadable), "the certificate cannot be read");
  } else if (status->staplable) {
    set_held(expected, *status);
  } else if (status->state == admin::State::kEnded) {
    set_none(expected, Outcome::kEnded, "ended",
             "the certificate itself expired at " + to_rfc3339(row.target->certificate.not_after));
  } else if (status->state == admin::State::kUnsupported) {
    set_unsupported(expected, *status);
  } else {
    set_missing(expected, *status, timeout);
  }
  if (status != nullptr && status->last_attempt.has_value()) {
    expected->responder = status->last_attempt->responder;
  }
  if (!expected->ca && !expected->stapled() &&
      engine::requires_staple(expected->server->common.require, expected->must_staple)) {
    expected->outcome = Outcome::kRefused;
  }
}

// The hosts that responders are asked through.
std::vector<std::string> hosts_of(const engine::Catalog& catalog, const engine::Settings& settings) {
  return settings.proxy.has_value() ? std::vector<std::string>{settings.proxy->url.host_key()} : catalog.hosts();
}

Result<std::vector<Reach>> reach(PollLoop& loop, const Clock& clock, const engine::Settings& settings,
                                 const std::vector<std::string>& hosts) {
  auto resolver = net::Resolver::create(loop, clock, settings.resolver);
  RETURN_IF_ERROR(resolver);
  return reach_hosts(loop, **resolver, hosts, kReachTime);
}

}  // namespace

bool Expected::wanting() const {
  // Nobody can give a staple for a leaf without OCSP. All else that stands in a leaf's way can be mended.
  const bool may_be_missing =
      outcome == Outcome::kUnsupported && !must_staple && (ca || reason == token(Reason::kNoResponder));
  return !may_be_missing && outcome != Outcome::kGood;
}

std::string_view token(Expected::Outcome outcome) {
  constexpr std::array<std::string_view, 7> kTokens = {"good",        "revoked", "omitted", "none",
                                                       "unsupported", "ended",   "refused"};
  return kTokens[static_cast<std::size_t>(outcome)];
}

Result<Preview> make_preview(const admin::Inventory& inventory, Millis timeout, LogSink& log) {
  Replay replay(inventory);
  RETURN_IF_ERROR(replay.run());
  engine::Catalog& catalog = replay.catalog();
  const ZoneMemory memory(store::default_size(catalog.targets().size()));
  std::optional<store::StapleZone> zone;
  auto formatted = memory.format();
  RETURN_IF_ERROR(formatted);
  zone = *formatted;
  FreeLock lock;
  const auto generation = catalog.take_entries(*zone, lock);
  RETURN_IF_ERROR(generation);

  const engine::Settings& settings = inventory.settings;
  SystemClock clock;
  PollLoop loop(clock);
  SystemRandom random;
  {
    engine::Startup startup(loop, {loop, clock, random, log, lock, *zone, catalog, settings},
                            {getpid(), 0, *generation}, [] {});
    // The preview hears each responder out, and does not wait for one that has answered that there is no response.
    RETURN_IF_ERROR(startup.run({timeout, timeout, false}));
  }

  Preview preview;
  const admin::View view = {catalog, settings, zone, clock.now(), clock.monotonic()};
  const store::HostTable hosts(*zone);
  for (const Row& row : replay.rows()) {
    preview.handshakes.push_back(row.expected);
    std::optional<admin::CertificateStatus> status;
    if (row.target != nullptr) {
      status = admin::certificate_status(view, hosts, *row.target, row.target->verifiable());
    }
    judge(inventory, row, status.has_value() ? &*status : nullptr, timeout, &preview.handshakes.back());
  }
  preview.clock_skew = admin::overview(view).clock_skew;
  auto reached = reach(loop, clock, settings, hosts_of(catalog, settings));
  RETURN_IF_ERROR(reached);
  preview.responders = std::move(*reached);
  return preview;
}

}  // namespace ocsp_plus::cli
