// Idle connections, kept briefly for reuse, so that ten thousand certificates of one responder do not need ten
// thousand connections. A connection that the peer closes is dropped, but a taken stream may still turn out to be
// closed.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "base/ports.h"
#include "net/stream.h"

namespace ocsp_plus::net {

class IdleStreams {
 public:
  static constexpr Millis kKept = 10000;
  // At least the default number of parallel exchanges with one host: those that end together are reused together.
  static constexpr std::size_t kPerPeer = 16;
  static constexpr std::size_t kInAll = 64;

  explicit IdleStreams(EventLoop& loop);
  ~IdleStreams();

  // Returns the most recently used stream of `key`, or nullptr. Hand it to a user at once.
  std::unique_ptr<Stream> take(const std::string& key);
  // Keeps a stream; if there are too many, the longest idle one is closed.
  void keep(const std::string& key, std::unique_ptr<Stream> stream);
  std::size_t size() const { return idle_.size(); }

 private:
  class Idle;
  void drop(const Idle& idle);

  EventLoop& loop_;
  std::list<std::unique_ptr<Idle>> idle_;  // longest idle first
};

}  // namespace ocsp_plus::net
