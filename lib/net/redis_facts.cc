#include "net/redis_facts.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ocsp_plus::net {
namespace {

// Texts and numbers of a server alike.
std::string text_of(const RedisReply& reply) {
  return reply.is(RedisReply::Kind::kInteger) ? fmt::format_int(reply.integer).str() : reply.text;
}

}  // namespace

std::optional<std::string> info_field(std::string_view info, std::string_view field) {
  while (!info.empty()) {
    const std::string_view line = info.substr(0, info.find('\n'));
    info.remove_prefix(std::min(line.size() + 1, info.size()));
    if (line.size() > field.size() && starts_with(line, field) && line[field.size()] == ':') {
      const std::string_view value = line.substr(field.size() + 1);
      return std::string(value.substr(0, value.find('\r')));
    }
  }
  return std::nullopt;
}

std::optional<std::string> role_in_words(const RedisReply& reply) {
  if (!reply.is(RedisReply::Kind::kArray) || reply.elements.empty()) {
    return std::nullopt;
  }
  const std::vector<RedisReply>& parts = reply.elements;
  const std::string& role = parts[0].text;
  if (role == "master" && parts.size() == 3) {
    return fmt::format("master, {} replicas", parts[2].elements.size());
  }
  if (role == "slave" && parts.size() >= 4) {
    return fmt::format("replica of {}:{} ({})", text_of(parts[1]), text_of(parts[2]), text_of(parts[3]));
  }
  return role;
}

bool is_replica(const RedisReply& reply) {
  return reply.is(RedisReply::Kind::kArray) && !reply.elements.empty() && reply.elements[0].text == "slave";
}

std::optional<ScanPage> scan_page(const RedisReply& reply) {
  if (!reply.is(RedisReply::Kind::kArray) || reply.elements.size() != 2 || reply.elements[0].text.empty() ||
      !reply.elements[1].is(RedisReply::Kind::kArray)) {
    return std::nullopt;
  }
  ScanPage page;
  page.cursor = reply.elements[0].text;
  for (const RedisReply& key : reply.elements[1].elements) {
    page.keys.push_back(key.text);
  }
  return page;
}

std::vector<std::string> not_permitted(const std::vector<std::string>& refused) {
  std::vector<std::string> commands;
  for (const std::string& each : refused) {
    const std::size_t space = std::min(each.find(' '), each.size());
    const std::string_view error = std::string_view(each).substr(space);
    // A script gets "NOPERM …" and "ACL failure in script: …" of Redis 7; Redis 6: "… can't run this command …".
    for (const std::string_view sign : {"NOPERM", "ACL failure", "can't run this command", "can't access"}) {
      if (error.find(sign) != std::string_view::npos) {
        commands.push_back(lower(std::string_view(each).substr(0, space)));
        break;
      }
    }
  }
  return commands;
}

}  // namespace ocsp_plus::net
