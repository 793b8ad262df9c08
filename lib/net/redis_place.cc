#include "net/redis_place.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/text.h"
#include "net/url.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMostPlace = 2048;
constexpr std::size_t kMostDatabaseDigits = 5;
constexpr std::string_view kForms =
    "; a place is redis://[user:password@]host[:port][/db], rediss://... with TLS, or unix:/path[:/db]";

tl::unexpected<Error> bad(std::string_view fault) {
  return fail(Reason::kInvalidArgument, fmt::format("the place has {}{}", fault, kForms));
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (lower(text.substr(0, prefix.size())) != prefix) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<unsigned> read_database(std::string_view digits) {
  if (digits.empty() || digits.size() > kMostDatabaseDigits || !std::all_of(digits.begin(), digits.end(), is_digit)) {
    return std::nullopt;
  }
  unsigned number = 0;
  for (const char digit : digits) {
    number = number * 10 + static_cast<unsigned>(digit - '0');
  }
  return number;
}

// Decodes a part of the credentials; nothing if it contains what has to be encoded.
std::optional<std::string> read_secret(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && (text.size() - i < 3 || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0)) {
      return std::nullopt;
    }
  }
  return percent_decoded(text);
}

Result<RedisPlace> parse_unix(std::string_view text, RedisPlace::Role role) {
  if (role == RedisPlace::Role::kSentinel) {
    return bad("a unix socket, which sentinels do not have: name them by redis:// or rediss://");
  }
  RedisPlace place;
  if (const std::size_t end = text.find(":/"); end != std::string_view::npos) {
    const auto database = read_database(text.substr(end + 2));
    if (!database) {
      return bad("a database that is no number");
    }
    place.database = *database;
    text = text.substr(0, end);
  }
  if (text.empty() || text.front() != '/' || text.back() == '/') {
    return bad("no absolute path of a socket");
  }
  if (text.size() >= sizeof(sockaddr_un::sun_path)) {
    return bad(
        fmt::format("a path of more than {} bytes, which no socket can have", sizeof(sockaddr_un::sun_path) - 1));
  }
  if (std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; })) {
    return bad("a control character in its path");
  }
  place.path = text;
  return place;
}

}  // namespace

Result<RedisPlace> RedisPlace::parse(std::string_view text, Role role) {
  if (text.size() > kMostPlace) {
    return bad("more than 2048 bytes");
  }
  if (take_prefix(text, "unix:")) {
    return parse_unix(text, role);
  }
  RedisPlace place;
  place.tls = take_prefix(text, "rediss://");
  if (!place.tls && !take_prefix(text, "redis://")) {
    return bad("none of the schemes redis, rediss and unix");
  }
  const std::size_t slash = text.find('/');
  if (text.rfind('@') != std::string_view::npos && text.rfind('@') > slash) {
    return bad("a \"/\" in user or password, which has to be written as %2F");
  }
  if (slash != std::string_view::npos && slash + 1 != text.size()) {
    const auto database = read_database(text.substr(slash + 1));
    if (!database) {
      return bad("a database that is no number");
    }
    place.database = *database;
  }
  std::string_view authority = text.substr(0, slash);
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    const std::string_view credentials = authority.substr(0, at);
    const std::size_t colon = std::min(credentials.find(':'), credentials.size());
    auto user = read_secret(credentials.substr(0, colon));
    auto password = read_secret(credentials.substr(std::min(colon + 1, credentials.size())));
    if (!user || !password) {
      return bad("a \"%\" in user or password that encodes nothing: write it as %25");
    }
    place.user = std::move(*user);
    place.password = std::move(*password);
    authority.remove_prefix(at + 1);
  }
  // What is left is the authority of a URL, read as such; a port is always there, since http has another default.
  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string url = fmt::format("http://{}", authority.substr(0, colon));
  const std::string_view port = colon == std::string_view::npos ? "" : authority.substr(colon + 1);
  url +=
      port.empty() ? fmt::format(":{}", role == Role::kSentinel ? kSentinelPort : kPort) : fmt::format(":{}", port);
  const auto parsed = Url::parse(url);
  if (!parsed || parsed->target != "/" || authority.find('#') != std::string_view::npos) {
    return bad("no host, or one that is neither a name nor an address, or a port that is not within 1 to 65535");
  }
  place.host = parsed->host;
  place.ip_literal = parsed->ip_literal;
  place.port = parsed->port;
  return place;
}

std::string RedisPlace::to_string() const {
  if (is_unix()) {
    return database == 0 ? "unix:" + path : fmt::format("unix:{}:/{}", path, database);
  }
  const bool brackets = ip_literal && host.find(':') != std::string::npos;
  std::string text =
      fmt::format("{}://{}{}{}:{}", tls ? "rediss" : "redis", brackets ? "[" : "", host, brackets ? "]" : "", port);
  return database == 0 ? text : fmt::format("{}/{}", text, database);
}

}  // namespace ocsp_plus::net
