// Readiness for load balancers (engine/readiness.h); with strict=1, whether every stapleable certificate has a staple
// now.
#include <fmt/format.h>

#include "admin/document.h"
#include "base/log.h"
#include "engine/readiness.h"

namespace ocsp_plus::admin {
namespace {

constexpr std::size_t kLookedAt = 500;  // per piece: cheaper than writing

class FixedClock : public Clock {
 public:
  explicit FixedClock(const View& view) : now_(view.now), monotonic_(view.monotonic) {}
  UnixSeconds now() const override { return now_; }
  Millis monotonic() const override { return monotonic_; }

 private:
  UnixSeconds now_;
  Millis monotonic_;
};

class Ready : public Document {
 public:
  Ready(const View& view, const Query& query)
      : view_(view),
        query_(query),
        clock_(view),
        selection_(view_, query_),
        round_(*view.zone, view.catalog, view.settings) {}

  bool is_brief() const override { return true; }

  bool next(std::string* out) override {
    if (!engine::Readiness::over(*view_.zone)) {
      if (const engine::Target* target = round_.tick(clock_, kLookedAt)) {
        return say(out, 503,
                   fmt::format("not ready: the first round is not over, certificate {} {}",
                               quoted(target->certificate.label()),
                               target->required ? "is required to have a staple and has none"
                                                : "has no staple yet and was not tried"));
      }
      if (!engine::Readiness::over(*view_.zone)) {
        return true;  // more certificates to examine
      }
    }
    return query_.strict ? strict(out) : say(out, 200, "ready");
  }

 private:
  bool strict(std::string* out) {
    std::size_t budget = kLookedAt;
    while (const auto status = selection_.next(&budget)) {
      if (!status->target->ca && status->state != State::kUnsupported && status->state != State::kEnded &&
          !status->staplable) {
        return say(out, 503,
                   fmt::format("not ready: certificate {} has no valid staple",
                               quoted(status->target->certificate.label())));
      }
    }
    return !selection_.over() || say(out, 200, "ready");
  }

  bool say(std::string* out, int http_status, const std::string& text) {
    head_.http_status = http_status;
    *out += text + "\n";
    return false;
  }

  View view_;
  Query query_;
  FixedClock clock_;
  Selection selection_;
  engine::Readiness round_;
};

}  // namespace

std::unique_ptr<Document> make_ready(const View& view, const Query& query) {
  if (!view.zone.has_value()) {
    return make_text(200, "ready\n");  // nothing to wait for
  }
  return std::make_unique<Ready>(view, query);
}

}  // namespace ocsp_plus::admin
