// What a request asks for: the format, by the location's argument, else by `format=`, else by the Accept header, else
// JSON; and which certificates.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "admin/snapshot.h"
#include "base/bytes.h"
#include "base/result.h"

namespace ocsp_plus::admin {

enum class Format { kJson, kHtml, kPrometheus, kOpenMetrics, kReady };

struct Query {
  Format format = Format::kJson;
  bool negotiated = false;  // by the Accept header: caches have to know
  std::optional<State> state;
  std::optional<CertificateId> id;
  std::optional<std::string> server;
  std::optional<CertificateId> after;
  std::size_t limit = SIZE_MAX;
  bool strict = false;
  bool loaded = false;  // those that are loaded per connection, in place of the configured ones
};

// `fixed`: what the location says; a location of the page also serves the JSON that the page fetches. `args`: the
// query string. kInvalidArgument names the argument that makes no sense; unknown ones are none of our business.
Result<Query> parse_query(std::optional<Format> fixed, std::string_view args, std::string_view accept);

// An argument of a query string, decoded; nothing where there is none.
std::optional<std::string> argument(std::string_view args, std::string_view name);

// The certificates that a query selects. The configured ones come in the order of their ids, so that `after` also
// works when the one it names has gone; those that are loaded per connection as they lie in the zone, where nobody
// knows what comes after one that has gone: the listing ends before it begins.
class Selection {
 public:
  // All borrowed.
  Selection(const View& view, const Query& query);

  // The next one, valid until this is called again. Nothing: `budget` certificates were looked at, or none is left
  // (over()).
  std::optional<CertificateStatus> next(std::size_t* budget);
  bool over() const { return over_; }
  // Where `limit` ended it: the id to go on after.
  std::optional<CertificateId> next_page() const { return next_page_; }
  // `after` names one that has gone, and what would come after it is not listed.
  bool ended_early() const { return ended_early_; }

 private:
  void begin_loaded();
  std::optional<CertificateStatus> look();
  std::optional<CertificateStatus> look_at_loaded(std::size_t* budget);
  bool wanted(const CertificateStatus& status) const;

  const View& view_;
  const Query& query_;
  std::optional<store::HostTable> hosts_;  // as they were at the beginning; nothing without a zone
  std::map<CertificateId, engine::Catalog::Index>::const_iterator at_;
  bool loaded_;                  // what is gone through
  store::EntryIndex entry_ = 0;  // the next of those
  std::unique_ptr<LoadedTarget> at_loaded_;
  std::size_t left_;
  bool over_ = false;
  bool ended_early_ = false;
  std::optional<CertificateId> last_;
  std::optional<CertificateId> next_page_;
};

}  // namespace ocsp_plus::admin
