#include "net/request_text.h"

#include <fmt/format.h>

#include <cstddef>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "ocsp_plus/version.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMaxGet = 255;  // RFC 9919 section 6.1
constexpr std::size_t kMaxQuoted = 200;
constexpr std::string_view kAgent = "User-Agent: ocsp_plus/" OCSP_PLUS_VERSION "\r\n";
constexpr std::string_view kSecret = "Proxy-Authorization: ";

std::string authorization(const Proxy& proxy) {
  return proxy.authorization.empty() ? "" : fmt::format("{}{}\r\n", kSecret, proxy.authorization);
}

Url get_url(const FetchRequest& request) {
  Url url = request.url;
  if (url.target.empty() || url.target.back() != '/') {
    url.target += '/';
  }
  url.target += request.get_path;
  return url;
}

}  // namespace

bool can_get(const FetchRequest& request) {
  return !request.get_path.empty() && request.url.target.find('?') == std::string::npos;
}

Method usual_method(const FetchRequest& request) {
  return can_get(request) && get_url(request).to_string().size() <= kMaxGet ? Method::kGet : Method::kPost;
}

std::optional<Url> url_for_get(const FetchRequest& request) {
  if (!can_get(request) || request.method.value_or(usual_method(request)) != Method::kGet) {
    return std::nullopt;
  }
  return get_url(request);
}

bool has_lost_slashes(std::string_view get_path, std::string_view target) {
  const std::string request = percent_decoded(get_path);
  std::string cleaned;
  for (const char character : request) {
    if (character != '/' || cleaned.empty() || cleaned.back() != '/') {
      cleaned += character;
    }
  }
  const std::string led_to = percent_decoded(target);
  return cleaned != request && led_to.find(request) == std::string::npos && led_to.find(cleaned) != std::string::npos;
}

std::string request_text(const FetchRequest& request, const Url& url, bool get, bool conditional, const Proxy* via) {
  // A request without Accept-Encoding would accept any coding (RFC 9110 section 12.5.3).
  std::string text = fmt::format(
      "{} {} HTTP/1.1\r\n"
      "Host: {}\r\n"
      "{}Accept: {}\r\n"
      "Accept-Encoding: identity\r\n",
      get ? "GET" : "POST", via != nullptr ? url.to_string() : url.target, url.authority(), kAgent,
      request.accept.empty() ? "application/ocsp-response" : request.accept);
  if (via != nullptr) {
    text += authorization(*via);
  }
  if (request.no_cache) {
    text += "Cache-Control: no-cache\r\n";
  }
  if (conditional && !request.validators.etag.empty()) {
    text += fmt::format("If-None-Match: {}\r\n", request.validators.etag);
  }
  if (conditional && !request.validators.last_modified.empty()) {
    text += fmt::format("If-Modified-Since: {}\r\n", request.validators.last_modified);
  }
  if (get) {
    return text + "\r\n";
  }
  text += fmt::format("Content-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n", request.body.size());
  text += ByteView(request.body).text();
  return text;
}

// Unlike the Host field, the target of a CONNECT always has a port (RFC 9110 section 9.3.6).
std::string connect_text(const Url& url, const Proxy& proxy) {
  return fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n{1}{2}\r\n", url.host_key(), kAgent, authorization(proxy));
}

void trace_request(const Trace& trace, const std::string& text) {
  if (!trace) {
    return;
  }
  for (std::size_t begin = 0, end = 0; (end = text.find("\r\n", begin)) > begin; begin = end + 2) {
    const std::string line = text.substr(begin, end - begin);
    trace("> " + (line.compare(0, kSecret.size(), kSecret) == 0 ? std::string(kSecret) + "(not shown)" : line));
  }
}

void trace_head(const Trace& trace, const HttpHead& head) {
  if (!trace) {
    return;
  }
  trace(fmt::format("< HTTP {}", head.status));
  const auto field = [&trace](const char* name, const std::string& value) {
    trace(fmt::format("< {}: {}", name, value));
  };
  const auto text = [&field](const char* name, const std::string& value) {
    if (!value.empty()) {
      field(name, quoted(std::string_view(value).substr(0, kMaxQuoted)));
    }
  };
  const auto time = [&field](const char* name, const std::optional<UnixSeconds>& value) {
    if (value) {
      field(name, to_rfc3339(*value));
    }
  };
  const auto span = [&field](const char* name, const std::optional<Seconds>& value) {
    if (value) {
      field(name, fmt::format("{}s", *value));
    }
  };
  text("Content-Type", head.content_type);
  text("Location", head.location);
  time("Date", head.date);
  time("Expires", head.expires);
  span("max-age", head.max_age);
  span("Age", head.age);
  time("Retry-After", head.retry_after);
  text("ETag", head.etag);
  text("Last-Modified", head.last_modified);
}

}  // namespace ocsp_plus::net
