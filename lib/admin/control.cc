#include "admin/control.h"

#include <fmt/format.h>

#include "admin/query.h"
#include "base/log.h"
#include "store/entry_state.h"

namespace ocsp_plus::admin {
namespace {

Answer refresh_all(const View& view) {
  if (!store::request_refresh_all(*view.zone, view.monotonic)) {
    return {429, "all certificates were asked for less than a minute ago"};
  }
  return {202, fmt::format("{} certificates will be fetched", view.catalog.targets().size())};
}

Answer refresh_entry(const View& view, store::EntryIndex entry, const std::string& name) {
  const UnixSeconds last = store::read_attempt(*view.zone, entry).at;
  if (last <= view.now && saturating_sub(view.now, last) < view.settings.retry.min) {
    return {429, fmt::format("certificate {} was fetched less than {} ago", name, to_span(view.settings.retry.min))};
  }
  if (!store::request_refresh(*view.zone, entry)) {
    return {503, "too many requests wait, try again in a second"};
  }
  return {202, fmt::format("certificate {} will be fetched", name)};
}

// A certificate loaded per connection is in the zone only.
Answer refresh_loaded(const View& view, const CertificateId& id) {
  const store::EntryIndex entry = view.zone->find(id);
  const auto state = store::per_connection_state(*view.zone, entry);
  if (!state.has_value()) {
    return {404, "no server uses that certificate"};
  }
  const std::string name = quoted(to_hex(id));
  if (!state->has_issuer) {
    return {404, fmt::format("nobody can be asked about certificate {}", name)};
  }
  return refresh_entry(view, entry, name);
}

Answer refresh_one(const View& view, const CertificateId& id) {
  const auto found = view.catalog.by_id().find(id);
  if (found == view.catalog.by_id().end()) {
    return refresh_loaded(view, id);
  }
  const engine::Target& target = view.catalog.target(found->second);
  const std::string name = quoted(target.certificate.label());
  if (!target.stapleable()) {
    return {404, fmt::format("nobody can be asked about certificate {}", name)};
  }
  return refresh_entry(view, target.entry, name);
}

}  // namespace

Answer refresh(const View& view, std::string_view args) {
  const auto what = argument(args, "refresh");
  if (!what.has_value()) {
    return {400, "refresh=all or refresh=<certificate id> is missing"};
  }
  const auto id = parse_id(*what);
  if (*what != "all" && !id.has_value()) {
    return {400, fmt::format("refresh={}: it takes \"all\" or a certificate id", quoted(*what))};
  }
  if (!view.zone.has_value()) {
    return {404, "no certificate is stapled here"};
  }
  return id.has_value() ? refresh_one(view, *id) : refresh_all(view);
}

}  // namespace ocsp_plus::admin
