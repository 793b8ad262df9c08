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

// The read_ functions return what is wrong; nullptr if nothing is.

const char* read_credentials(std::string_view text, RedisPlace& place) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  auto user = read_secret(text.substr(0, colon));
  auto password = read_secret(text.substr(std::min(colon + 1, text.size())));
  if (!user || !password) {
    return "a \"%\" in user or password that encodes nothing: write it as %25";
  }
  place.user = std::move(*user);
  place.password = std::move(*password);
  return nullptr;
}

// Host and port are read as those of a URL, with the port always there, since http has another default.
const char* read_host(std::string_view text, std::uint16_t default_port, RedisPlace& place) {
  const std::size_t bracket = text.find(']');
  const std::size_t colon = std::min(text.find(':', bracket == std::string_view::npos ? 0 : bracket), text.size());
  const std::string_view port = text.substr(std::min(colon + 1, text.size()));
  std::string url = fmt::format("http://{}:{}", text.substr(0, colon), port);
  if (port.empty()) {
    url += fmt::format_int(default_port).str();
  }
  const auto parsed = Url::parse(url);
  if (!parsed || parsed->target != "/" || text.find('#') != std::string_view::npos) {
    return "no host, or one that is neither a name nor an address, or a port that is not within 1 to 65535";
  }
  place.host = parsed->host;
  place.ip_literal = parsed->ip_literal;
  place.port = parsed->port;
  return nullptr;
}

const char* read_database_of(std::string_view text, RedisPlace& place) {
  if (text.empty()) {
    return nullptr;
  }
  const auto database = read_database(text);
  place.database = database.value_or(0);
  return database ? nullptr : "a database that is no number";
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
  const std::size_t slash = std::min(text.find('/'), text.size());
  if (text.find('@', slash) != std::string_view::npos) {
    return bad("a \"/\" in user or password, which has to be written as %2F");
  }
  const std::string_view authority = text.substr(0, slash);
  const std::size_t at = authority.rfind('@');
  const bool has_credentials = at != std::string_view::npos;
  const char* fault = has_credentials ? read_credentials(authority.substr(0, at), place) : nullptr;
  if (fault == nullptr) {
    fault = read_host(has_credentials ? authority.substr(at + 1) : authority,
                      role == Role::kSentinel ? kSentinelPort : kPort, place);
  }
  if (fault == nullptr) {
    fault = read_database_of(text.substr(std::min(slash + 1, text.size())), place);
  }
  if (fault != nullptr) {
    return bad(fault);
  }
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
