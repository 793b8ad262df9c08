// The store that many nodes share: it holds their responses, and hands out leases so that one node asks a responder
// for all of them.
//
// Nothing in the store is believed: anybody who can write to it may have put there whatever it holds. Responses go
// through the gate like those of any responder, and a lease only saves requests: who gets none is free to ask. The
// store's clock counts leases and notes, so the nodes' clocks need not agree.
//
// The store holds of each certificate: its response; leases, each a number, "who holds it asks the responder"; and a
// note, "nobody need ask for a while", with the number of failures since the last success, so that the nodes back off
// as one.
//
// Belongs to one process: create it after fork. It never blocks, and calls back only from the loop.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ports.h"
#include "base/result.h"
#include "base/text.h"
#include "base/tls.h"
#include "net/redis_place.h"
#include "net/resolver.h"

namespace ocsp_plus::net {

using Sha1 = std::array<std::uint8_t, 20>;  // digest of a response's DER: tells responses apart, proves nothing

struct SharedStoreOptions {
  std::vector<RedisPlace> places;  // tried in this order; at least one
  std::string sentinel;            // the server's name at the sentinels in `places`; empty: `places` are servers
  std::string prefix;              // nodes with the same one share; see is_prefix()
  // Credentials for the server, where its place has neither user nor password. A sentinel gets only those of its
  // place. Must never be shown.
  std::string user;
  std::string password;
  TlsClient* tls = nullptr;       // for places with TLS; must outlive the store
  Millis timeout = 0;             // for a connection with all it takes, and then for each answer
  std::size_t most_response = 0;  // bytes; larger responses are not seen, and not taken
};

class SharedStore {
 public:
  // Items of one look; bytes that bound `most_response`, and all responses of one look; entries of one read.
  static constexpr std::size_t kMostItems = 64;
  static constexpr std::size_t kMostResponse = std::size_t{512} * 1024;
  static constexpr std::size_t kMostNews = 256;

  enum class State {
    kConnecting,  // nothing is known yet; only after create()
    kUp,
    kReadOnly,  // up, but the last attempt to write was refused: a replica, out of memory, no permission
    kDown,      // it is connected to again after a while
  };

  struct Status {
    State state = State::kConnecting;
    UnixSeconds since = 0;            // when it came to this state, by the node's clock
    std::string place;                // the server that is or was last used, or tried; without secrets
    std::optional<Error> last_error;  // kStore*; why it is down or read only, else why it last was
    Millis next_attempt = 0;          // kDown: when it is connected to again (monotonic)
  };

  struct Tally {                 // since create()
    std::uint64_t commands = 0;  // answered ones
    Millis waited = 0;           // the sum of their times
    Millis last = 0;             // the time of the last one
    std::uint64_t sent = 0;      // bytes, without TLS
    std::uint64_t received = 0;
  };

  // A pending operation. Destroying it cancels it: the callback will not run. It may outlive the store. What the
  // server has done by then stays done; a lease ends by itself.
  class Query {
   public:
    virtual ~Query() = default;
  };
  template <typename T>
  using Callback = std::function<void(Result<T>)>;

  // A lease that this node holds, given by look(); to be handed to publish() or settle(), once.
  struct Lease {
    unsigned number = 0;
    std::string token;
  };

  struct Item {
    CertificateId id = {};
    std::optional<Sha1> known;  // the response that need not be handed out: what is held, or has been refused
    // Number of the lease that is wanted, 0 to 1023. A node asks for a higher one when it does not want to wait any
    // longer for the node that holds a lower one.
    unsigned lease = 0;
    bool past_note = false;  // a note does not keep it from getting the lease
  };

  struct Wanted {
    std::string host;         // the responder's, Url::host_key(); for `most_begun`
    std::vector<Item> items;  // 1 to kMostItems
    unsigned leases = 0;      // as many are wanted at most
    Millis lease_time = 0;    // how long each lasts
    unsigned most_begun = 0;  // leases that all nodes together may get within two seconds for `host`
  };

  struct Found {
    enum class Kind {
      kResponse,   // `response`, another than the one known
      kLease,      // `lease` is this node's: ask the responder
      kElsewhere,  // another node has the lease, for `wait` at most
      kNote,       // nobody need ask for `wait`
      kNothing,    // nothing new, and no lease: none is wanted, or too many were begun
      kMore,       // something new, but this answer was full: look again
      kNoWrites,   // nothing new, and no lease, since the store cannot write it down
    };
    Kind kind = Kind::kNothing;
    Bytes response;         // kResponse; any bytes
    Lease lease;            // kLease
    Millis wait = 0;        // kElsewhere, kNote: 1 ms to 8 days
    unsigned failures = 0;  // kLease, kNote: since the last success, as far as is known; at most 99
  };

  struct Publication {
    CertificateId id = {};
    std::string host;              // as in Wanted
    std::optional<Lease> lease;    // given back, whatever comes of it
    Bytes response;                // 1 to most_response bytes
    Millis keep = 0;               // how long it is of use; bounded to a minute and 8 days
    std::optional<Sha1> replaces;  // the one it was compared with and may replace; nothing: it replaces none
  };
  struct Published {
    bool stored = false;
    Bytes other;  // not stored: the response that is there in its place; any bytes
  };

  struct Settlement {
    CertificateId id = {};
    std::string host;  // as in Wanted
    Lease lease;       // given back
    // Time in which no node need ask, at most 8 days; 0: the next may, and the failure count stays.
    Millis wait = 0;
    bool failed = false;  // counts as a failure; else the responder had nothing new, and the count begins anew
  };

  // A response has been published for a certificate. Only a hint: it may be lost, repeated or invented.
  struct News {
    CertificateId id = {};
    Sha1 response = {};
  };

  virtual ~SharedStore() = default;

  // Each of these fails at once, but from the loop, unless the store is up. Errors: kStore*; those of the connection
  // end it. Never calls back before it returns. A callback may destroy the store.

  // Looks for responses, and takes leases. The result has an element for each item, in their order.
  virtual std::unique_ptr<Query> look(const Wanted& wanted, Callback<std::vector<Found>> callback) = 0;
  // Stores a response that this node has verified, unless another one is there than `replaces`. kInvalidArgument if
  // it is too large.
  virtual std::unique_ptr<Query> publish(const Publication& publication, Callback<Published> callback) = 0;
  // Gives a lease back without a response. Does nothing if the lease has been taken over meanwhile; the result is
  // false then.
  virtual std::unique_ptr<Query> settle(const Settlement& settlement, Callback<bool> callback) = 0;
  // Reads what has been published since the last call, at most kMostNews, oldest first; the first time since ten
  // minutes before the newest. If there is more each time, it skips to the end. One call at a time.
  virtual std::unique_ptr<Query> news(Callback<std::vector<News>> callback) = 0;

  virtual State state() const = 0;
  bool up() const { return state() == State::kUp || state() == State::kReadOnly; }
  virtual Status status() const = 0;
  virtual Tally tally() const = 0;

  // Returns whether a text may be SharedStoreOptions::prefix.
  static bool is_prefix(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
      return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || c == '-' || c == '.';
    });
  }

  // REQUIRES: is_prefix(options.prefix). Connects from the loop's next turn on, and again whenever the connection
  // ends: after 0.5 to 30 s, at random, longer with each failure; after at least 30 s if it has hung three times
  // within ten minutes. `on_state` is called from the loop on each change of Status::state, and when it is kDown for
  // another reason than before; the first call is the verdict on a store that has just been created. It must not
  // destroy the store. All references must outlive the store.
  using OnState = std::function<void(State)>;
  static std::unique_ptr<SharedStore> create(EventLoop& loop, const Clock& clock, Random& random, Resolver& resolver,
                                             SharedStoreOptions options, OnState on_state);
};

}  // namespace ocsp_plus::net
