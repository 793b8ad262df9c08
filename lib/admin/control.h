// What the control location does: asks the designated worker for a refresh.
#pragma once

#include <string>
#include <string_view>

#include "admin/snapshot.h"

namespace ocsp_plus::admin {

struct Answer {
  int http_status;
  std::string text;  // for people, one line without its end
};

// `refresh=all`, at most once a minute, or `refresh=<certificate id>`, no sooner after its last fetch than the lower
// bound of ocsp_plus_retry.
// 202: asked for; 400: the request makes no sense; 404: no such certificate, or nobody to ask; 429: too soon; 503:
// too many requests wait.
Answer refresh(const View& view, std::string_view args);

}  // namespace ocsp_plus::admin
