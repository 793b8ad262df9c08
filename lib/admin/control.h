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

// Handles `refresh=all`, at most once a minute, or `refresh=<certificate id>`, at least the lower bound of
// ocsp_plus_retry after its last fetch. Status 202: accepted; 400: invalid request; 404: no such certificate, or no
// responder; 429: too soon; 503: too many pending requests.
Answer refresh(const View& view, std::string_view args);

}  // namespace ocsp_plus::admin
