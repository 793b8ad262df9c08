// The runway of each part that certificates need for new responses: if that part failed now and stayed away, when
// would the first client notice? Staples are sent until they expire, so an outage is seen days after it began; the
// runway tells it beforehand.
//
// Any process may take it, as a snapshot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/snapshot.h"

namespace ocsp_plus::admin {

enum class Part : std::uint8_t { kResponder, kIssuer, kResolver, kProxy, kCache };
std::string_view token(Part part);

struct Runway {
  Part part;
  std::string name;  // host key; subject; servers or "system"; host key; path
  // Certificates that depend on this part alone; for the cache: those whose response only it restores after a
  // restart.
  std::size_t certificates = 0;
  // When the first of their good staples ends. Nothing: none has one, or, for the cache directory, nothing is lost
  // before a restart.
  std::optional<UnixSeconds> expires;
};

// Walks over the configured certificates, filtered by no query, a piece at a time. Not counted: those loaded per
// connection, whose hosts and issuers tenants may choose; those with a file, which need none of these parts; those
// that have ended.
class RunwayWalk {
 public:
  // Borrows what `view` refers to.
  explicit RunwayWalk(const View& view) : view_(view) {}

  // Examines the next kPieceCertificates. false: all were examined.
  bool next();
  // Returns the parts in use, the most urgent first. REQUIRES: next() has returned false.
  std::vector<Runway> result() const;

 private:
  struct Needs {
    std::size_t certificates = 0;
    std::optional<UnixSeconds> expires;
  };
  void look(const engine::Target& target);
  void look_at_ways(const engine::Target& target, std::optional<UnixSeconds> expires);
  bool needs_resolver(const engine::Target& target) const;

  View view_;
  std::size_t next_ = 0;
  std::map<std::string, Needs> responders_, issuers_;  // by name
  Needs resolver_, proxy_;
  std::size_t cached_ = 0;
};

}  // namespace ocsp_plus::admin
