// The text of our requests. For Fetch; nobody else needs it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "net/fetch.h"

namespace ocsp_plus::net {

// The URL of a GET, or nothing where the request is to go by POST.
std::optional<Url> url_for_get(const FetchRequest& request);

// Whether a URL is that of a GET whose request, percent-encoded in `get_path`, has lost one of two slashes in a row:
// some routers "clean" paths, and in base64 they mean something.
bool has_lost_slashes(std::string_view get_path, std::string_view target);

// `via`: the proxy that is asked to forward it; nullptr: none, or a tunnel through it.
std::string request_text(const FetchRequest& request, const Url& url, bool get, bool conditional, const Proxy* via);
std::string connect_text(const Url& url, const Proxy& proxy);

// The lines of a request's or the fields of an answer's header, for people: ">" and "<" before each.
void trace_request(const Trace& trace, const std::string& text);
void trace_head(const Trace& trace, const HttpHead& head);

}  // namespace ocsp_plus::net
