// The control location: asks the designated worker for a refresh.
#pragma once

#include <string>
#include <string_view>

#include "admin/snapshot.h"

namespace ocsp_plus::admin {

struct Answer {
  int http_status;
  std::string text;  // for people, one line without a line feed
};

// Handles `refresh=all`, at most once a minute; `refresh=<certificate id>`; or `refresh=<name>`: of all configured
// certificates that bear the name, or that a server of this name uses. A certificate is fetched again the lower bound
// of ocsp_plus_retry after its last fetch at the earliest. The text says how many are fetched, what the others lack,
// and which failing responders are waited for. Status 202: some are fetched; 400: invalid request; 404: no such
// certificate, or none that can be fetched; 429: too soon; 503: too many pending requests.
Answer refresh(const View& view, std::string_view args);

}  // namespace ocsp_plus::admin
