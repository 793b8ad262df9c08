#include "net/proxy.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/text.h"

namespace ocsp_plus::net {
namespace {

// RFC 4648 section 4.
std::string base64(std::string_view text) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string encoded;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < text.size() ? static_cast<std::uint8_t>(text[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      encoded += i + j <= text.size() ? kAlphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return encoded;
}

// Returns nothing if a "%" lacks its two digits, or for a control byte, which no header may contain.
std::optional<std::string> decode(std::string_view text) {
  std::string decoded = percent_decoded(text);
  const auto escapes = static_cast<std::size_t>(std::count(text.begin(), text.end(), '%'));
  const bool control =
      std::any_of(decoded.begin(), decoded.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
  return control || decoded.size() + 2 * escapes != text.size() ? std::nullopt : std::optional(std::move(decoded));
}

}  // namespace

Result<Proxy> Proxy::parse(std::string_view text) {
  Proxy proxy;
  std::string plain(text);
  const std::size_t slashes = text.find("//");
  const std::size_t start = slashes == std::string_view::npos ? 0 : slashes + 2;
  const std::size_t at = text.substr(start, text.find('/', start) - start).rfind('@');
  if (at != std::string_view::npos) {
    const std::string_view credentials = text.substr(start, at);
    const std::size_t colon = credentials.find(':');
    const auto user = decode(credentials.substr(0, colon));
    const auto password = decode(colon == std::string_view::npos ? "" : credentials.substr(colon + 1));
    if (!user.has_value() || !password.has_value()) {
      return fail(Reason::kUrlMalformed, "the URL has a \"%\" in user or password that encodes nothing");
    }
    if (user->find(':') != std::string::npos) {
      return fail(Reason::kUrlMalformed, "the URL has a colon in its user, which no proxy could tell from its end");
    }
    proxy.authorization = "Basic " + base64(*user + ":" + *password);
    plain.erase(start, at + 1);
  }
  auto url = Url::parse(plain);
  RETURN_IF_ERROR(url);
  if (url->https) {
    return fail(Reason::kUrlScheme, "proxies are spoken to by http only");
  }
  if (url->target != "/") {
    return fail(Reason::kUrlMalformed, "the URL has a path, and a proxy has none");
  }
  proxy.url = std::move(*url);
  return proxy;
}

}  // namespace ocsp_plus::net
