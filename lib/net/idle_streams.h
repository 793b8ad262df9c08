// Connections on which nothing is under way, kept for a moment: ten thousand certificates of one responder should
// not take ten thousand connections. Nothing here holds anybody up: a peer that closes is noticed, and whoever takes
// a stream must be ready to find it closed all the same.
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
  // As many as are under way with one host by default, and more: those that end together are taken again together.
  static constexpr std::size_t kPerPeer = 16;
  static constexpr std::size_t kInAll = 64;

  explicit IdleStreams(EventLoop& loop);
  ~IdleStreams();

  // The one of `key` that was used last; nullptr: none. Hand it to a user at once.
  std::unique_ptr<Stream> take(const std::string& key);
  // Where there are enough already, the one that was idle for longest goes.
  void keep(const std::string& key, std::unique_ptr<Stream> stream);
  std::size_t size() const { return idle_.size(); }

 private:
  class Idle;
  void drop(const Idle& idle);

  EventLoop& loop_;
  std::list<std::unique_ptr<Idle>> idle_;  // the longest first
};

}  // namespace ocsp_plus::net
