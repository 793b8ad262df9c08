// Formats HTTP requests. Private to Fetch.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/fetch.h"

namespace ocsp_plus::net {

// Returns the URL of a GET; nothing if the request uses POST.
std::optional<Url> url_for_get(const FetchRequest& request);

// Returns whether `target` is a GET's request (`get_path`, percent-encoded) with consecutive slashes merged: some
// routers "clean" paths, but in base64 every slash counts.
bool has_lost_slashes(std::string_view get_path, std::string_view target);

// `via`: the proxy that forwards the request; nullptr: no proxy, or a tunnel.
std::string request_text(const FetchRequest& request, const Url& url, bool get, bool conditional, const Proxy* via);
std::string connect_text(const Url& url, const Proxy& proxy);

// Trace the lines of a request (prefix ">") or the fields of a response's header (prefix "<").
void trace_request(const Trace& trace, const std::string& text);
void trace_head(const Trace& trace, const HttpHead& head);

}  // namespace ocsp_plus::net
