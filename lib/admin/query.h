// Parses a status request: the format (from the location's argument, else `format=`, else the Accept header, else
// JSON) and the selection of certificates.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
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
  bool negotiated = false;  // by the Accept header, so the response needs Vary
  std::optional<State> state;
  std::optional<CertificateId> id;
  std::optional<std::string> server;
  std::optional<CertificateId> after;
  std::size_t limit = SIZE_MAX;
  bool strict = false;
  std::string control;  // parse_query() leaves it empty: see make_document()
  bool loaded = false;  // list certificates loaded per connection, not the configured ones

  // Whether it selects all configured certificates.
  bool all() const {
    return !state.has_value() && !id.has_value() && !server.has_value() && !after.has_value() && limit == SIZE_MAX &&
           !loaded;
  }
};

// `fixed`: the location's format; a page location also serves the JSON that the page fetches. `args`: the query
// string. kInvalidArgument names the invalid argument; unknown arguments are ignored.
Result<Query> parse_query(std::optional<Format> fixed, std::string_view args, std::string_view accept);

// Returns an argument of a query string, decoded; nothing if it is absent.
std::optional<std::string> argument(std::string_view args, std::string_view name);

// Iterates over the certificates that a query selects. Configured ones come in the order of their ids, so `after`
// works even if the certificate it names is gone. Those loaded per connection come in the order of the zone; if the
// certificate of `after` is gone, its position is unknown and the listing is empty.
class Selection {
 public:
  // Borrows both.
  Selection(const View& view, const Query& query);

  // Returns the next certificate, valid until the next call. Nothing: `budget` certificates were examined, or none is
  // left (over()).
  std::optional<CertificateStatus> next(std::size_t* budget);
  bool over() const { return over_; }
  // The id for `after` if `limit` ended the listing.
  std::optional<CertificateId> next_page() const { return next_page_; }
  // `after` names a certificate that is gone, so the listing is empty.
  bool ended_early() const { return ended_early_; }

 private:
  void begin_loaded();
  std::optional<CertificateStatus> look();
  std::optional<CertificateStatus> look_at_loaded(std::size_t* budget);
  bool wanted(const CertificateStatus& status) const;

  const View& view_;
  const Query& query_;
  std::optional<store::HostTable> hosts_;  // a snapshot from the start; nothing without a zone
  std::map<CertificateId, engine::Target*>::const_iterator at_;
  bool loaded_;                  // iterates over those loaded per connection
  store::EntryIndex entry_ = 0;  // the next of them
  std::unique_ptr<LoadedTarget> at_loaded_;
  std::size_t left_;
  bool over_ = false;
  bool ended_early_ = false;
  std::optional<CertificateId> last_;
  std::optional<CertificateId> next_page_;
};

}  // namespace ocsp_plus::admin
