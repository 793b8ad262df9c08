// The shared store beside one fetch: takes a response from it, or gets a lease for asking, and publishes what came.
// The rules are those of a node (engine/sharing.h); whatever goes wrong with the store is a warning.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/poll_loop.h"
#include "base/ports.h"
#include "base/result.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/settings.h"
#include "engine/share_access.h"
#include "net/shared_store.h"

namespace ocsp_plus::cli {

class FleetStore {
 public:
  struct Services {
    PollLoop& loop;
    const Clock& clock;
    Random& random;
    const engine::Settings& settings;
    std::function<void(const std::string&)> step;  // is told each step, as by -v
  };

  // Everything in `services` must outlive the object. Fails if the system's resolver or TLS cannot be set up.
  static Result<std::unique_ptr<FleetStore>> open(Services services, const engine::ShareSettings& share);

  // Returns the store's response for the target if it passes the gate and no node would ask again yet. Else this
  // process may ask: with a lease, if the store has given one. Another node that has the lease is waited for, as long
  // as an exchange may take. A target without an issuer is not looked for: nothing could be verified.
  std::optional<engine::Verified> take(const engine::Target& target);
  // Returns, after take() returned nothing, a response that passes the gate, for which nodes may ask again by now.
  const std::optional<engine::Verified>& old() const { return old_; }

  // Publishes a response that the gate has passed, and gives the lease back. If the store has a better one meanwhile,
  // that takes its place in `verified`. Returns whether the store has what `verified` is afterwards. REQUIRES: the
  // target's issuer is known.
  bool publish(const engine::Target& target, engine::Verified* verified);
  // Gives the lease back without a response.
  void release(const engine::Target& target);

  std::string place() const { return store_->status().place; }
  // Why the store was of no use, or not for everything; empty: it was.
  const std::string& trouble() const { return trouble_; }

 private:
  enum class Judged { kUsable, kOfNoUse, kNotForUs };

  FleetStore(Services services, std::unique_ptr<engine::ShareAccess> access);

  void connect();
  Result<net::SharedStore::Found> look(const engine::Target& target, Millis waited);
  std::optional<Bytes> response_there(const engine::Target& target, Millis began);
  bool old_is_kept(const engine::Target& target, engine::Verified* verified);
  Judged judge(const engine::Target& target, ByteView response, engine::Verified* verified);
  void pause(Millis time);

  Services services_;
  std::unique_ptr<engine::ShareAccess> access_;
  std::unique_ptr<net::SharedStore> store_;
  std::optional<net::SharedStore::Lease> lease_;
  std::optional<net::Sha1> judged_;  // the store's response that was judged last
  bool may_replace_ = false;         // ours may replace that
  std::optional<engine::Verified> old_;
  std::string trouble_;
};

}  // namespace ocsp_plus::cli
