#include "net/idle_streams.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ocsp_plus::net {

class IdleStreams::Idle : public Stream::User {
 public:
  Idle(IdleStreams& owner, std::string the_key, std::unique_ptr<Stream> the_stream)
      : key(std::move(the_key)), stream(std::move(the_stream)), owner_(owner) {
    stream->hand_to(*this);
    timer_ = owner.loop_.timer([this] { owner_.drop(*this); });
    timer_->arm(kKept);
  }

  // No request is outstanding, so any data or close ends the connection.
  void on_open() override {}
  void on_data(ByteView) override { owner_.drop(*this); }
  void on_end(std::optional<Error>) override { owner_.drop(*this); }

  const std::string key;
  std::unique_ptr<Stream> stream;

 private:
  IdleStreams& owner_;
  std::unique_ptr<Timer> timer_;
};

IdleStreams::IdleStreams(EventLoop& loop) : loop_(loop) {}

IdleStreams::~IdleStreams() = default;

std::unique_ptr<Stream> IdleStreams::take(const std::string& key) {
  const auto found =
      std::find_if(idle_.rbegin(), idle_.rend(), [&key](const auto& idle) { return idle->key == key; });
  if (found == idle_.rend()) {
    return nullptr;
  }
  std::unique_ptr<Stream> stream = std::move((*found)->stream);
  idle_.erase(std::next(found).base());
  return stream;
}

void IdleStreams::keep(const std::string& key, std::unique_ptr<Stream> stream) {
  const auto same = [&key](const auto& idle) { return idle->key == key; };
  if (std::count_if(idle_.begin(), idle_.end(), same) >= static_cast<std::ptrdiff_t>(kPerPeer)) {
    idle_.erase(std::find_if(idle_.begin(), idle_.end(), same));
  } else if (idle_.size() >= kInAll) {
    idle_.pop_front();
  }
  idle_.push_back(std::make_unique<Idle>(*this, key, std::move(stream)));
}

void IdleStreams::drop(const Idle& idle) {
  idle_.remove_if([&idle](const auto& each) { return each.get() == &idle; });
}

}  // namespace ocsp_plus::net
