#include "admin/json.h"

#include <algorithm>

#include "admin/document.h"
#include "base/printable.h"
#include "ocsp_plus/version.h"

namespace ocsp_plus::admin {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kNamesShown = 100;  // names of a certificate's servers, and the like

Json time_or_null(std::optional<UnixSeconds> time) {
  return time.has_value() ? Json(to_rfc3339(*time)) : Json();
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

Json last_attempt(const std::optional<LastAttempt>& attempt) {
  if (!attempt.has_value()) {
    return nullptr;
  }
  return {{"at", to_rfc3339(attempt->at)},
          {"result", token(attempt->reason)},
          {"detail", text_or_null(attempt->detail)},
          {"responder", text_or_null(attempt->responder)}};
}

Json family_json(const FamilyStatus& family) {
  return {{"last_ok", time_or_null(family.last_ok)},
          {"last_failed", time_or_null(family.last_failed)},
          {"failing_since", time_or_null(family.failing_since)}};
}

Json worker_json(const std::optional<Worker>& worker) {
  if (!worker.has_value()) {
    return nullptr;
  }
  return {{"pid", worker->pid},
          {"slot", worker->slot},
          {"since", to_rfc3339(worker->since)},
          {"heartbeat", to_rfc3339(worker->heartbeat)}};
}

Json cache_json(const Cache& cache) {
  return {{"path", text_or_null(cache.path)},
          {"state", cache.state},
          {"reason", cache.reason.has_value() ? Json(token(*cache.reason)) : Json()},
          {"since", time_or_null(cache.since)}};
}

Json share_json(const std::optional<Share>& share, const Overview& all) {
  if (!share.has_value()) {
    return nullptr;
  }
  Json error;
  if (share->reason.has_value()) {
    error = {{"reason", token(*share->reason)}, {"detail", text_or_null(share->detail)}};
  }
  const auto& counters = all.counters;
  return {{"place", text_or_null(share->place)},
          {"state", share->state},
          {"since", time_or_null(share->since)},
          {"last_error", error},
          {"looks", counters[store::Counter::kShareLooks]},
          {"hits", counters[store::Counter::kShareHits]},
          {"same", counters[store::Counter::kShareSame]},
          {"refused", counters[store::Counter::kShareRefused]},
          {"published", counters[store::Counter::kSharePublished]},
          {"leases", counters[store::Counter::kShareLeases]},
          {"waits", counters[store::Counter::kShareElsewhere]},
          {"alone", counters[store::Counter::kShareAlone]},
          {"errors", counters[store::Counter::kShareErrors]},
          {"latency_ms", share->latency.has_value() ? Json(*share->latency) : Json()}};
}

// Writes one member or certificate per line, for readers and line-based tools.
class JsonDocument : public Document {
 public:
  JsonDocument(const View& view, const Query& query)
      : view_(view), query_(query), runway_(view), selection_(view_, query_) {
    head_.content_type = "application/json";
    head_.varies = query.negotiated;
  }

  bool next(std::string* out) override {
    if (step_ == Step::kTop) {
      step_ = Step::kRunway;
      *out += top();
    }
    if (step_ == Step::kRunway) {
      if (runway_.next()) {
        return true;
      }
      step_ = Step::kCertificates;
      *out += runway() + "\"certificates\":[";
    }
    std::size_t budget = kPieceCertificates;
    while (out->size() < kPieceBytes) {
      const auto status = selection_.next(&budget);
      if (!status.has_value()) {
        break;
      }
      *out += any_ ? ",\n" : "\n";
      *out += dump(to_json(*status, view_.now));
      any_ = true;
    }
    if (!selection_.over()) {
      return true;
    }
    const auto page = selection_.next_page();
    *out += "\n],\n\"ended_early\":" + dump(selection_.ended_early()) +
            ",\n\"next\":" + (page.has_value() ? dump(to_hex(*page)) : "null") + "\n}\n";
    return false;
  }

 private:
  std::string top() const {
    const Overview all = overview(view_);
    std::string out = "{\n";
    const auto member = [&out](const char* name, const Json& value) { out += line(name, value); };
    member("version", OCSP_PLUS_VERSION);
    member("now", to_rfc3339(view_.now));
    member("zone", {{"name", view_.settings.zone_name},
                    {"size", all.zone_size},
                    {"used", all.zone_used},
                    {"entries", all.zone_entries}});
    member("worker", worker_json(all.worker));
    const auto& handshakes = all.handshakes;
    const std::uint64_t refused = handshakes[store::Handshake::kRefused];
    const std::uint64_t foreign = handshakes[store::Handshake::kForeign];
    const std::uint64_t missing = handshakes[store::Handshake::kMissing];
    const std::uint64_t stapled = handshakes[store::Handshake::kStapled];
    const std::uint64_t unsupported = handshakes[store::Handshake::kUnsupported];
    member("handshakes", {{"requested", stapled + missing + unsupported + refused + foreign},
                          {"stapled", stapled},
                          {"missing", missing},
                          {"unsupported", unsupported},
                          {"chain_stapled", handshakes[store::Handshake::kChainStapled]},
                          {"message_too_large", handshakes[store::Handshake::kTooLarge]},
                          {"refused", refused},
                          {"foreign", foreign}});
    member("callbacks_replaced", handshakes[store::Handshake::kReplaced]);
    const auto& counters = all.counters;
    const auto results = [&](store::Counter::Kind ok, store::Counter::Kind failed) {
      return Json{{"ok", counters[ok]}, {"failed", counters[failed]}};
    };
    Json fetches = results(store::Counter::kExchangesOk, store::Counter::kExchangesFailed);
    fetches["in_flight"] = all.in_flight;
    member("fetches", fetches);
    member("connections", {{"ipv4", results(store::Counter::kIpv4Ok, store::Counter::kIpv4Failed)},
                           {"ipv6", results(store::Counter::kIpv6Ok, store::Counter::kIpv6Failed)}});
    if (view_.zone.has_value()) {
      Json loaded;
      for (const auto& [name, number] : loaded_counts(view_)) {
        loaded[std::string(name)] = number;
      }
      member("loaded", loaded);
    }
    member("control", text_or_null(query_.control));
    member("cache", cache_json(cache_status(view_)));
    member("share", share_json(share_status(view_), all));
    member("clock_skew", all.clock_skew.has_value() ? Json(*all.clock_skew) : Json());
    Json unreadable = Json::array();
    for (const engine::UnusableCertificate& one : view_.catalog.unusable()) {
      if (unreadable.size() < kNamesShown) {
        unreadable.push_back(one.label);
      }
    }
    member("unreadable", unreadable);
    Json responders = Json::array();
    for (const ResponderStatus& responder : responder_statuses(view_)) {
      responders.push_back(to_json(responder));
    }
    member("responders", responders);
    return out;
  }

  std::string runway() const {
    Json all = Json::array();
    for (const Runway& runway : runway_.result()) {
      all.push_back(to_json(runway, view_.now));
    }
    return line("runway", all);
  }

  static std::string line(const char* name, const Json& value) { return dump(name) + ":" + dump(value) + ",\n"; }

  enum class Step { kTop, kRunway, kCertificates };

  View view_;
  Query query_;
  RunwayWalk runway_;
  Selection selection_;
  Step step_ = Step::kTop;
  bool any_ = false;
};

}  // namespace

std::string dump(const Json& value) {
  return printable_json(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json to_json(const ResponderStatus& status) {
  return {{"host", status.host},
          {"state", status.state},
          {"failures", status.failures},
          {"next_attempt", time_or_null(status.next_attempt)},
          {"ipv4", family_json(status.ipv4)},
          {"ipv6", family_json(status.ipv6)}};
}

Json to_json(const Runway& runway, UnixSeconds now) {
  Json json = {{"kind", token(runway.part)},
               {"name", runway.name},
               {"certificates", runway.certificates},
               {"expires", time_or_null(runway.expires)},
               {"expires_in", runway.expires.has_value() ? Json(saturating_sub(*runway.expires, now)) : Json()}};
  if (runway.part == Part::kCache) {
    json["at"] = "restart";
  }
  return json;
}

Json to_json(const CertificateStatus& status, UnixSeconds now) {
  const engine::Target& target = *status.target;
  const crypto::Certificate& certificate = target.certificate;
  Json responders = Json::array();
  for (const net::Url* url : target.responders) {
    responders.push_back(url->to_string());
  }
  Json servers = Json::array();
  for (auto name = target.servers.begin(); name != target.servers.end() && servers.size() < kNamesShown; ++name) {
    servers.push_back(*name);
  }
  const std::optional<HeldResponse>& held = status.held;
  Json json = {{"id", to_hex(certificate.id)},
               {"subject", certificate.subject},
               {"names", certificate.names},
               {"issuer", certificate.issuer},
               {"serial", to_hex(certificate.serial)},
               {"key", text_or_null(certificate.key)},
               {"not_before", to_rfc3339(certificate.not_before)},
               {"not_after", to_rfc3339(certificate.not_after)},
               {"must_staple", certificate.must_staple},
               {"required", target.required},
               {"loaded", target.per_connection},
               {"role", role_of(target.ca)},
               {"servers", std::move(servers)},
               {"responders", std::move(responders)},
               {"state", token(status.state)},
               {"reason", status.reason.has_value() ? Json(token(*status.reason)) : Json()},
               {"cert_status", nullptr},
               {"this_update", nullptr},
               {"next_update", nullptr},
               {"expires", nullptr},
               {"expires_in", nullptr},
               {"confirmed_at", nullptr},
               {"status_age", nullptr},
               {"refresh", target.refresh != 0 ? Json(target.refresh) : Json()},
               {"source", nullptr},
               {"last_attempt", last_attempt(status.last_attempt)},
               {"next_attempt", time_or_null(status.next_attempt)},
               {"failures", status.failures},
               {"stapled", status.stapled}};
  if (held.has_value()) {
    json["cert_status"] = crypto::token(held->cert_status);
    json["this_update"] = to_rfc3339(held->this_update);
    json["next_update"] = time_or_null(held->next_update);
    json["expires"] = to_rfc3339(held->expires);
    json["expires_in"] = saturating_sub(held->expires, now);
    json["confirmed_at"] = to_rfc3339(held->confirmed_at);
    json["status_age"] = std::max<Seconds>(saturating_sub(now, held->confirmed_at), 0);
    json["source"] = held->source;
  }
  return json;
}

std::unique_ptr<Document> make_json(const View& view, const Query& query) {
  return std::make_unique<JsonDocument>(view, query);
}

}  // namespace ocsp_plus::admin
