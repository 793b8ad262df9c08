#include "admin/control.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "admin/query.h"
#include "base/log.h"
#include "base/text.h"
#include "store/entry_state.h"
#include "store/lease.h"

namespace ocsp_plus::admin {
namespace {

constexpr std::size_t kHostsNamed = 3;

// The fate of a certificate that a request names.
enum class Fate { kFetched, kNoIssuer, kNoResponder, kFile, kEnded, kTooSoon, kTooMany, kFates };
constexpr auto kFates = static_cast<std::size_t>(Fate::kFates);

// A certificate loaded per connection is in the zone only.
Fate fate_of(const store::PerConnectionState& loaded) {
  return !loaded.has_issuer ? Fate::kNoIssuer : loaded.unsupported ? Fate::kNoResponder : Fate::kFetched;
}

Fate fate_of(const View& view, const engine::Target& target) {
  if (target.ended(view.now)) {
    return Fate::kEnded;
  }
  if (!target.verifiable()) {
    return Fate::kNoIssuer;
  }
  if (!target.responders.empty()) {
    return Fate::kFetched;
  }
  return target.files.empty() ? Fate::kNoResponder : Fate::kFile;
}

// The certificates that a request names, by their fate, and whom the fetched ones wait for.
class Tally {
 public:
  explicit Tally(const View& view) : view_(view), hosts_(*view.zone) {}

  // `name`: of the certificate, for people.
  void add(Fate fate, std::string_view name) {
    name_ = name;
    ++counts_[static_cast<std::size_t>(fate)];
  }
  void add(Fate fate, const engine::Target& target) {
    add(fate, target.certificate.label());
    const auto way = fate == Fate::kFetched ? failing_way(hosts_, target) : std::nullopt;
    if (way.has_value()) {
      ++waiting_;
      failing_.insert(fmt::format("{} ({})", way->host, token(way->health.reason)));
    }
  }

  // 202 if something is fetched; else the status that says best why nothing is.
  Answer answer() const {
    const int status = count(Fate::kFetched) != 0   ? 202
                       : count(Fate::kTooMany) != 0 ? 503
                       : count(Fate::kTooSoon) != 0 ? 429
                                                    : 404;
    return {status, numbers() + waiting() + std::string(worker())};
  }

 private:
  std::size_t count(Fate fate) const { return counts_[static_cast<std::size_t>(fate)]; }

  std::string numbers() const {
    const std::size_t all = std::accumulate(counts_.begin(), counts_.end(), std::size_t{0});
    const std::size_t fetched = count(Fate::kFetched);
    if (all == 1) {
      return fmt::format("certificate {} will {}be fetched{}", quoted(name_), fetched == 0 ? "not " : "",
                         reasons(": ", false));
    }
    return fetched == all ? fmt::format("{} certificates will be fetched", all)
           : fetched == 0 ? fmt::format("none of {} certificates will be fetched{}", all, reasons(": ", true))
                          : fmt::format("{} of {} certificates will be fetched{}", fetched, all,
                                        reasons("; the others: ", true));
  }

  // Why some are not fetched; empty if all are.
  std::string reasons(std::string_view begin, bool counted) const {
    const std::array<std::string, kFates> kReasons = {
        "",
        "issuer not known",
        "no responder",
        "only from a file, which is read when it changes",
        "expired itself",
        fmt::format("fetched less than {} ago", to_span(view_.settings.retry.min)),
        "too many requests wait, try again in a second"};
    std::string text;
    for (std::size_t fate = 1; fate < kFates; ++fate) {
      if (counts_[fate] != 0) {
        text += fmt::format("{}{}{}", text.empty() ? begin : ", ", kReasons[fate],
                            counted ? fmt::format(" ({})", counts_[fate]) : "");
      }
    }
    return text;
  }

  std::string waiting() const {
    if (waiting_ == 0) {
      return {};
    }
    std::string text = fmt::format("; {} wait{} for an answer of", waiting_, waiting_ == 1 ? "s" : "");
    std::size_t named = 0;
    for (auto host = failing_.begin(); host != failing_.end() && named < kHostsNamed; ++host, ++named) {
      text += (named == 0 ? " " : ", ") + *host;
    }
    if (named < failing_.size()) {
      text += fmt::format(" and {} more", failing_.size() - named);
    }
    return text + (failing_.size() == 1 ? ", which fails and is tried now" : ", which fail and are tried now");
  }

  std::string_view worker() const {
    const bool held = store::lease_holder(*view_.zone).pid > 0;
    return held || count(Fate::kFetched) == 0 ? "" : "; no worker fetches now, the next one will";
  }

  const View& view_;
  store::HostTable hosts_;
  std::array<std::size_t, kFates> counts_ = {};
  std::string name_;  // the last certificate's
  std::size_t waiting_ = 0;
  std::set<std::string> failing_;
};

Answer refresh_all(const View& view) {
  if (!store::request_refresh_all(*view.zone, view.monotonic)) {
    return {429, "all certificates were asked for less than a minute ago: wait, or refresh one by its name or id"};
  }
  Tally tally(view);
  for (const auto& target : view.catalog.targets()) {
    tally.add(fate_of(view, *target), *target);
  }
  for (store::EntryIndex entry = 0; entry < view.zone->entries_used(); ++entry) {
    if (const auto loaded = store::per_connection_state(*view.zone, entry)) {
      tally.add(fate_of(*loaded), to_hex(view.zone->id(entry)));
    }
  }
  return tally.answer();
}

// Requests one that can be fetched.
Fate request(const View& view, store::EntryIndex entry) {
  const UnixSeconds last = store::read_attempt(*view.zone, entry).at;
  if (last <= view.now && saturating_sub(view.now, last) < view.settings.retry.min) {
    return Fate::kTooSoon;
  }
  return store::request_refresh(*view.zone, entry) ? Fate::kFetched : Fate::kTooMany;
}

void request(const View& view, const engine::Target& target, Tally* tally) {
  const Fate fate = fate_of(view, target);
  tally->add(fate == Fate::kFetched ? request(view, target.entry) : fate, target);
}

Answer refresh_one(const View& view, const CertificateId& id) {
  Tally tally(view);
  const auto found = view.catalog.by_id().find(id);
  if (found != view.catalog.by_id().end()) {
    request(view, *found->second, &tally);
    return tally.answer();
  }
  const store::EntryIndex entry = view.zone->find(id);
  const auto loaded = store::per_connection_state(*view.zone, entry);
  if (!loaded.has_value()) {
    return {404, "no server uses that certificate: the status document lists their ids"};
  }
  const Fate fate = fate_of(*loaded);
  tally.add(fate == Fate::kFetched ? request(view, entry) : fate, to_hex(id));
  return tally.answer();
}

bool bears(const engine::Target& target, const std::string& name) {
  const auto same = [&name](const std::string& other) { return equals_ignoring_case(name, other); };
  const auto& names = target.certificate.names;
  return std::any_of(names.begin(), names.end(), same) || same(target.certificate.subject) ||
         std::any_of(target.servers.begin(), target.servers.end(), same);
}

Answer refresh_named(const View& view, const std::string& name) {
  Tally tally(view);
  bool any = false;
  for (const auto& target : view.catalog.targets()) {
    if (bears(*target, name)) {
      any = true;
      request(view, *target, &tally);
    }
  }
  return any ? tally.answer()
             : Answer{404,
                      fmt::format("no certificate or server has the name {}: write it as the status document does"
                                  "; certificates loaded per connection go by their id",
                                  quoted(name))};
}

}  // namespace

Answer refresh(const View& view, std::string_view args) {
  const auto what = argument(args, "refresh");
  if (!what.has_value() || what->empty()) {
    return {400, "the argument is missing: refresh=all, refresh=<name> or refresh=<certificate id>"};
  }
  if (!view.zone.has_value()) {
    return {404, "no certificate is stapled here: \"ocsp_plus on\" is in no server with a certificate"};
  }
  if (*what == "all") {
    return refresh_all(view);
  }
  const auto id = parse_id(*what);
  return id.has_value() ? refresh_one(view, *id) : refresh_named(view, *what);
}

}  // namespace ocsp_plus::admin
