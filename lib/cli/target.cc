#include "cli/target.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include "net/address.h"
#include "net/url.h"

namespace ocsp_plus::cli {
namespace {

constexpr std::uint16_t kHttps = 443;

// Whether the text names a port beside the host.
bool has_port(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  return colon != text.npos && text.find(']', colon) == text.npos;
}

}  // namespace

std::string CheckTarget::text() const {
  return fmt::format(host.find(':') == host.npos ? "{}:{}" : "[{}]:{}", host, port);
}

std::string CheckTarget::label() const {
  return servername.empty() || servername == host ? text() : fmt::format("{} ({})", text(), servername);
}

Result<CheckTarget> parse_target(const std::string& host, unsigned port, const std::string& servername) {
  const bool is_bare_v6 = net::Address::literal(host, kHttps).family() == AF_INET6;
  const auto url = net::Url::parse("https://" + (is_bare_v6 ? "[" + host + "]" : host));
  if (!url || url->target != "/" || host.find_first_of("/#?") != host.npos) {
    return fail(Reason::kInvalidArgument,
                host + " is no host; give it like example.com, example.com:8443 or [2001:db8::1]:443");
  }
  if (port != 0 && !is_bare_v6 && has_port(host) && url->port != port) {
    return fail(Reason::kInvalidArgument, fmt::format("{} names another port than --port {}; give one", host, port));
  }
  CheckTarget target;
  target.host = url->host;
  target.port = port != 0 ? static_cast<std::uint16_t>(port) : url->port;
  target.is_address = url->ip_literal;
  target.servername = !servername.empty() ? servername : target.is_address ? "" : target.host;
  return target;
}

}  // namespace ocsp_plus::cli
