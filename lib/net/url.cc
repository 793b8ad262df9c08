#include "net/url.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/text.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMaxUrl = 2048;
constexpr std::size_t kMaxHost = 253;  // RFC 1035 section 2.3.4, as text
constexpr std::size_t kMaxLabel = 63;
constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kHttpsPort = 443;

// <cctype> depends on the locale.
constexpr bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// pchar, "/" and "?" of RFC 3986 appendix A; the caller checks "%" with its two digits.
constexpr bool is_target_char(char c) {
  return is_alpha(c) || is_digit(c) || std::string_view("-._~!$&'()*+,;=:@/?").find(c) != std::string_view::npos;
}

// Returns why the text cannot be the path and query of a request; nullptr if it can.
const char* fault_of_target(std::string_view target) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == '%') {
      if (target.size() - i < 3 || !is_hex(target[i + 1]) || !is_hex(target[i + 2])) {
        return "\"%\" without two hexadecimal digits";
      }
    } else if (!is_target_char(target[i])) {
      return "a character that must be percent-encoded";
    }
  }
  return nullptr;
}

// Returns the scheme without ":"; empty if there is none (RFC 3986 section 3.1).
std::string_view scheme_of(std::string_view text) {
  const std::size_t end = text.find_first_of(":/?#");
  if (end == std::string_view::npos || text[end] != ':' || end == 0 || !is_alpha(text[0])) {
    return {};
  }
  const std::string_view scheme = text.substr(0, end);
  const bool valid = std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
  return valid ? scheme : std::string_view();
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && std::all_of(label.begin(), label.end(), [](char c) {
    return is_alpha(c) || is_digit(c) || c == '-' || c == '_';
  });
}

const char* fault_of_name(std::string_view host) {
  if (!host.empty() && host.back() == '.') {
    host.remove_suffix(1);  // the DNS root
  }
  if (host.empty() || host.size() > kMaxHost) {
    return "no host, or one of more than 253 characters";
  }
  std::string_view last;
  for (std::size_t start = 0; start <= host.size();) {
    const std::size_t end = std::min(host.find('.', start), host.size());
    last = host.substr(start, end - start);
    if (!is_label(last)) {
      return "a host that is no name";
    }
    start = end + 1;
  }
  // Some resolvers read "127.1" and "2130706433" as addresses, others as names.
  const bool number = std::all_of(last.begin(), last.end(), is_digit) || starts_with(lower(last), "0x");
  return number ? "a host that ends in a number but is no address" : nullptr;
}

// Sets host and ip_literal. IPv6 addresses become canonical, so that one responder has one host_key().
const char* read_host(std::string_view text, Url& url) {
  char canonical[INET6_ADDRSTRLEN];
  if (starts_with(text, "[")) {
    in6_addr v6;
    const std::string inside(text.substr(1, text.size() - 2));
    if (text.size() < 2 || text.back() != ']' || inet_pton(AF_INET6, inside.c_str(), &v6) != 1) {
      return "no IPv6 address in the brackets";
    }
    url.host = inet_ntop(AF_INET6, &v6, canonical, sizeof canonical);
    url.ip_literal = true;
    return nullptr;
  }
  url.host = lower(text);
  in_addr v4;
  url.ip_literal = inet_pton(AF_INET, url.host.c_str(), &v4) == 1;
  return url.ip_literal ? nullptr : fault_of_name(text);
}

// Returns 1 to 65535, the default port for empty `digits` (RFC 3986 section 3.2.3), 0 if invalid.
std::uint16_t read_port(std::string_view digits, std::uint16_t default_port) {
  if (digits.empty()) {
    return default_port;
  }
  unsigned port = 0;
  for (char c : digits) {
    if (!is_digit(c) || digits.size() > 5) {
      return 0;
    }
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  return port <= 65535 ? static_cast<std::uint16_t>(port) : 0;
}

const char* read_authority(std::string_view authority, Url& url) {
  if (authority.find('@') != std::string_view::npos) {
    return "user information";  // "http://good.example@evil.example/" is always meant to deceive
  }
  std::string_view host = authority;
  std::string_view port;
  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
  }
  url.port = read_port(port, url.https ? kHttpsPort : kHttpPort);
  return url.port == 0 ? "a port that is not within 1 to 65535" : read_host(host, url);
}

// RFC 3986 section 5.2.4, for a path that starts with "/".
std::string remove_dot_segments(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment == "/." || segment == "/..") {
      if (segment == "/..") {
        result.erase(std::min(result.rfind('/'), result.size()));
      }
      if (path.empty()) {
        result += '/';
      }
    } else {
      result += segment;
    }
  }
  return result;
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

tl::unexpected<Error> malformed(std::string_view fault) {
  return fail(Reason::kUrlMalformed, fmt::format("the URL has {}", fault));
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  if (text.size() > kMaxUrl) {
    return malformed("more than 2048 bytes");
  }
  // Checked first, so that no such byte gets into a message.
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~' || c == '\\'; })) {
    return malformed("a space, a backslash, or a byte that is not printable ASCII");
  }
  const std::string scheme = lower(scheme_of(text));
  if (scheme.empty()) {
    return malformed("no scheme");
  }
  if (scheme != "http" && scheme != "https") {
    return fail(Reason::kUrlScheme, fmt::format("the scheme \"{}\" is not supported", scheme));
  }
  text.remove_prefix(scheme.size() + 1);
  if (!starts_with(text, "//")) {
    return malformed("no \"//\" after its scheme");
  }
  text.remove_prefix(2);
  text = text.substr(0, text.find('#'));
  const std::size_t authority_end = std::min(text.find_first_of("/?"), text.size());
  const std::string_view rest = text.substr(authority_end);
  Url url;
  url.https = scheme == "https";
  if (const char* fault = read_authority(text.substr(0, authority_end), url)) {
    return malformed(fault);
  }
  if (const char* fault = fault_of_target(rest)) {
    return malformed(fault);
  }
  url.target = starts_with(rest, "/") ? std::string(rest) : "/" + std::string(rest);
  return url;
}

// RFC 3986 section 5.2.2, in its order of cases.
Result<Url> Url::resolve(std::string_view reference) const {
  const std::string origin = fmt::format("{}://{}", https ? "https" : "http", authority());
  Result<Url> url;
  if (!scheme_of(reference).empty()) {
    url = parse(reference);
  } else if (starts_with(reference, "//")) {
    url = parse(fmt::format("{}:{}", https ? "https" : "http", reference));
  } else if (starts_with(reference, "/")) {
    url = parse(origin + std::string(reference));
  } else if (reference.empty() || reference[0] == '#') {
    return *this;
  } else if (reference[0] == '?') {
    return parse(fmt::format("{}{}{}", origin, path_of(target), reference));
  } else {
    const std::string_view path = path_of(target);
    url = parse(fmt::format("{}{}{}", origin, path.substr(0, path.rfind('/') + 1), reference));
  }
  if (url) {
    const std::string_view path = path_of(url->target);
    url->target = remove_dot_segments(path) + url->target.substr(path.size());
  }
  return url;
}

std::string Url::to_string() const {
  return fmt::format("{}://{}{}", https ? "https" : "http", authority(), target);
}

std::string Url::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  const std::string bracketed = v6 ? fmt::format("[{}]", host) : host;
  return port == (https ? kHttpsPort : kHttpPort) ? bracketed : fmt::format("{}:{}", bracketed, port);
}

std::string Url::host_key() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

}  // namespace ocsp_plus::net
