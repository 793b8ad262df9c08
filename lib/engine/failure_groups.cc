#include "engine/failure_groups.h"

#include <algorithm>
#include <utility>

namespace ocsp_plus::engine {
namespace {

constexpr Millis kPruneInterval = 60000;

bool within(std::optional<Millis> said, Millis span, Millis now) {
  return said.has_value() && now - *said < span;
}

std::optional<LogLevel> louder(std::optional<LogLevel> one, std::optional<LogLevel> other) {
  return !one.has_value() || (other.has_value() && *other < *one) ? other : one;
}

}  // namespace

FailureGroups::Group& FailureGroups::failed(const CertificateId& id, const Key& key, Millis now) {
  const auto found = groups_.try_emplace(key).first;
  const auto [member, joined] = of_certificate_.try_emplace(id, groups_.end());
  Group& group = found->second;
  if (member->second != found) {
    if (member->second != groups_.end()) {
      group.loudest = louder(group.loudest, leave(member->second));
    }
    member->second = found;
    group.most = std::max(group.most, ++group.certificates);
  }
  ++group.failures;
  if (!within(group.said, kRepeat, now)) {
    const auto host = hosts_said_.find(key.host);
    group.first_of_host = host == hosts_said_.end() || now - host->second >= kRepeat;
  }
  return group;
}

bool FailureGroups::is_due(const Group& group, Millis now) {
  return !group.said.has_value() || (group.certificates == 1 && !within(group.said, kRepeat, now));
}

void FailureGroups::said(const Key& key, Group& group, Millis now, LogLevel level) {
  hosts_said_[key.host] = now;
  group.said = now;
  group.loudest = louder(group.loudest, level);
  group.told = group.certificates;
  group.failures = 0;
}

// An empty group stays while its line counts: reasons that alternate are not news each time. The last to leave takes
// along how loud the group's lines were, so that one end is logged for them.
std::optional<LogLevel> FailureGroups::leave(Groups::iterator group) {
  return --group->second.certificates == 0 ? std::exchange(group->second.loudest, std::nullopt) : std::nullopt;
}

std::optional<std::pair<FailureGroups::Key, FailureGroups::Group>> FailureGroups::succeeded(const CertificateId& id) {
  const auto member = of_certificate_.find(id);
  if (member == of_certificate_.end()) {
    return std::nullopt;
  }
  const auto group = member->second;
  of_certificate_.erase(member);
  if (group->second.certificates > 1) {
    leave(group);
    return std::nullopt;
  }
  auto over = groups_.extract(group);
  if (!over.mapped().loudest.has_value()) {
    return std::nullopt;
  }
  return std::make_pair(std::move(over.key()), over.mapped());
}

std::optional<std::pair<FailureGroups::Key, FailureGroups::Group>> FailureGroups::supplied(const CertificateId& id) {
  const auto member = of_certificate_.find(id);
  return member == of_certificate_.end() || member->second->first.held ? std::nullopt : succeeded(id);
}

void FailureGroups::forget(const CertificateId& id) {
  const auto member = of_certificate_.find(id);
  if (member != of_certificate_.end()) {
    leave(member->second);
    of_certificate_.erase(member);
  }
}

std::vector<std::pair<FailureGroups::Key, FailureGroups::Group>> FailureGroups::take_due(Millis now) {
  std::vector<std::pair<Key, Group>> due;
  for (auto& [key, group] : groups_) {
    const bool grown = group.certificates >= 2 * group.told && !within(group.said, kGrowth, now);
    const bool again = group.failures > 0 && !within(group.said, kRepeat, now);
    if (group.said.has_value() && group.certificates > 1 && (grown || again)) {
      due.emplace_back(key, group);
      said(key, group, now, level_of(key));
    }
  }
  prune(now);
  return due;
}

void FailureGroups::prune(Millis now) {
  if (now - pruned_ < kPruneInterval) {
    return;
  }
  pruned_ = now;
  for (auto group = groups_.begin(); group != groups_.end();) {
    const bool gone = group->second.certificates == 0 && !within(group->second.said, kRepeat, now);
    group = gone ? groups_.erase(group) : std::next(group);
  }
  for (auto host = hosts_said_.begin(); host != hosts_said_.end();) {
    host = now - host->second >= kRepeat ? hosts_said_.erase(host) : std::next(host);
  }
}

}  // namespace ocsp_plus::engine
