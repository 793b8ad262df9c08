#include "net/fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "net/connection.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kMaxGet = 255;  // RFC 9919 section 6.1
constexpr int kMaxRedirects = 3;
constexpr Millis kLeastShare = 1000;
constexpr std::size_t kMaxQuoted = 200;  // bytes of a Location that go into a message

// The URL of a GET, or nothing where only POST will do. What a base URL with a query means together with a request in
// its path nobody knows: RFC 6960 forms the URL by appending, so such a responder is asked by POST.
std::optional<Url> url_for_get(const FetchRequest& request) {
  if (request.get_path.empty() || request.url.target.find('?') != std::string::npos) {
    return std::nullopt;
  }
  Url url = request.url;
  if (url.target.empty() || url.target.back() != '/') {
    url.target += '/';
  }
  url.target += request.get_path;
  return url.to_string().size() <= kMaxGet ? std::optional<Url>(std::move(url)) : std::nullopt;
}

bool is_redirect(unsigned status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

class FetchOnLoop : public Fetch {
 public:
  FetchOnLoop(EventLoop& loop, const Clock& clock, Resolver& resolver, FetchRequest request, Callback callback);

 private:
  void begin();
  void ask();
  void on_addresses(Result<std::vector<Address>> addresses);
  void try_next_address();
  void on_share_over();
  void on_deadline();
  void on_outcome(Connection::Outcome outcome);
  void on_response(HttpResponse response);
  void follow(const HttpHead& head);
  void remember(Error error);
  void fail_with(Error error, const HttpHead* head = nullptr);
  void end(Outcome outcome);

  template <typename... Args>
  void trace(fmt::format_string<Args...> format, Args&&... args) const {
    if (request_.trace) {
      request_.trace(fmt::format(format, std::forward<Args>(args)...));
    }
  }
  void trace_request(const std::string& text) const;
  void trace_head(const HttpHead& head) const;
  std::string request_text() const;
  std::string where() const;
  Millis left() const { return std::max<Millis>(saturating_sub(deadline_, clock_.monotonic()), 0); }

  EventLoop& loop_;
  const Clock& clock_;
  Resolver& resolver_;
  FetchRequest request_;
  Callback callback_;
  const Millis started_;
  const Millis deadline_;
  bool get_ = false;
  Url url_;                           // asked now: the base URL, with the request of a GET, or where a redirect led
  std::vector<std::string> visited_;  // URLs asked so far, url_ included
  std::vector<Address> addresses_;    // of url_
  std::size_t next_address_ = 0;      // the current one is the one before
  std::optional<Error> last_error_;   // of the addresses tried so far
  std::unique_ptr<Resolver::Query> query_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Timer> begin_timer_;
  std::unique_ptr<Timer> share_timer_;
  std::unique_ptr<Timer> deadline_timer_;
};

FetchOnLoop::FetchOnLoop(EventLoop& loop, const Clock& clock, Resolver& resolver, FetchRequest request,
                         Callback callback)
    : loop_(loop),
      clock_(clock),
      resolver_(resolver),
      request_(std::move(request)),
      callback_(std::move(callback)),
      started_(clock.monotonic()),
      deadline_(saturating_add(started_, request_.timeout)),
      url_(request_.url) {
  begin_timer_ = loop.timer([this] { begin(); });
  share_timer_ = loop.timer([this] { on_share_over(); });
  deadline_timer_ = loop.timer([this] { on_deadline(); });
  // The first step is made by the loop already, so a step that fails at once may simply end the exchange.
  begin_timer_->arm(0);
  deadline_timer_->arm(request_.timeout);
}

void FetchOnLoop::begin() {
  if (url_.https) {
    return fail_with({Reason::kUrlScheme, "https responders are not supported yet"});
  }
  if (auto get_url = url_for_get(request_)) {
    get_ = true;
    url_ = std::move(*get_url);
  }
  ask();
}

void FetchOnLoop::ask() {
  visited_.push_back(url_.to_string());
  last_error_.reset();
  if (url_.ip_literal) {
    return on_addresses(std::vector<Address>{Address::literal(url_.host, url_.port)});
  }
  trace("resolving {}", url_.host);
  query_ = resolver_.resolve(url_.host, url_.port,
                             [this](Result<std::vector<Address>> addresses) { on_addresses(std::move(addresses)); });
}

void FetchOnLoop::on_addresses(Result<std::vector<Address>> addresses) {
  query_.reset();
  if (!addresses) {
    return fail_with(std::move(addresses.error()));
  }
  addresses_ = std::move(*addresses);
  next_address_ = 0;
  if (!url_.ip_literal) {
    std::string list;
    for (const Address& address : addresses_) {
      list += (list.empty() ? "" : ", ") + address.to_string();
    }
    trace("{} is {}", url_.host, list);
  }
  try_next_address();
}

void FetchOnLoop::try_next_address() {
  while (next_address_ < addresses_.size()) {
    const Address& address = addresses_[next_address_++];
    std::string request = request_text();
    trace("connecting to {}", address.to_string());
    trace_request(request);
    auto connection = Connection::open(loop_, clock_, address, std::move(request), request_.limits,
                                       [this](Connection::Outcome outcome) { on_outcome(std::move(outcome)); });
    if (connection) {
      connection_ = std::move(*connection);
      // One address that swallows everything must not use up the time of those after it.
      if (next_address_ < addresses_.size()) {
        share_timer_->arm(std::max(left() / 2, kLeastShare));
      }
      return;
    }
    remember(std::move(connection.error()));
  }
  fail_with(last_error_ ? std::move(*last_error_) : Error{Reason::kDnsNoAddress, "no address to connect to"});
}

void FetchOnLoop::on_share_over() {
  // Who has begun to answer is alive and may take what is left.
  if (connection_ == nullptr || connection_->stage() == Connection::Stage::kReceiving) {
    return;
  }
  remember({Reason::kTimeout, fmt::format("no answer in this address's share of the time, {}", where())});
  connection_.reset();
  try_next_address();
}

void FetchOnLoop::on_deadline() {
  const Reason reason = query_ != nullptr ? Reason::kDnsTimeout : Reason::kTimeout;
  fail_with({reason, fmt::format("no complete answer within {} ms, {}", request_.timeout, where())});
}

void FetchOnLoop::on_outcome(Connection::Outcome outcome) {
  share_timer_->disarm();
  if (outcome) {
    return on_response(std::move(*outcome));
  }
  if (outcome.error().stage == Connection::Stage::kReceiving) {
    return fail_with(std::move(outcome.error()));
  }
  remember(std::move(outcome.error()));
  connection_.reset();
  try_next_address();
}

// What the last address said is told; but that a family of addresses is of no use here only if nothing else is known.
void FetchOnLoop::remember(Error error) {
  if (next_address_ < addresses_.size()) {
    trace("{}: {}", token(error.reason), error.detail);
  }
  if (!last_error_ || error.reason != Reason::kConnectUnreachable) {
    last_error_ = std::move(error);
  }
}

void FetchOnLoop::on_response(HttpResponse response) {
  const Address peer = addresses_[next_address_ - 1];
  trace_head(response.head);
  if (response.head.status == 200) {
    return end(FetchResponse{std::move(response), peer, saturating_sub(clock_.monotonic(), started_), get_});
  }
  if (is_redirect(response.head.status)) {
    connection_.reset();
    return follow(response.head);
  }
  fail_with({Reason::kHttpStatus, fmt::format("HTTP {} from {}", response.head.status, peer.to_string())},
            &response.head);
}

// A POST stays a POST, whatever the status. For 301, 302 and 303 a browser would go on with a GET, but here that
// would ask for nothing: the request is in the body.
void FetchOnLoop::follow(const HttpHead& head) {
  const std::string said = fmt::format("HTTP {} from {}", head.status, url_.authority());
  if (head.location.empty()) {
    return fail_with({Reason::kHttpStatus, said + " without a Location"}, &head);
  }
  const std::string to = quoted(std::string_view(head.location).substr(0, kMaxQuoted));
  Result<Url> next = url_.resolve(head.location);
  if (!next && next.error().reason != Reason::kUrlScheme) {
    return fail_with({next.error().reason, fmt::format("{} to {}: {}", said, to, next.error().detail)}, &head);
  }
  if (!next || next->https != url_.https) {
    return fail_with({Reason::kRedirectScheme, fmt::format("{} to {}", said, to)}, &head);
  }
  if (visited_.size() > kMaxRedirects) {
    return fail_with({Reason::kRedirectLimit, fmt::format("{} to {} after {} redirects", said, to, kMaxRedirects)},
                     &head);
  }
  if (std::find(visited_.begin(), visited_.end(), next->to_string()) != visited_.end()) {
    return fail_with({Reason::kRedirectLimit, fmt::format("{} back to {}", said, to)}, &head);
  }
  url_ = std::move(*next);
  ask();
}

void FetchOnLoop::fail_with(Error error, const HttpHead* head) {
  trace("{}: {}", token(error.reason), error.detail);
  Failure failure{std::move(error), std::nullopt, std::nullopt};
  if (head != nullptr) {
    failure.date = head->date;
    if (head->status == 429 || head->status == 503) {
      failure.retry_after = head->retry_after;
    }
  }
  end(tl::unexpected<Failure>(std::move(failure)));
}

void FetchOnLoop::end(Outcome outcome) {
  query_.reset();
  connection_.reset();
  begin_timer_.reset();
  share_timer_.reset();
  deadline_timer_.reset();
  const Callback callback = std::move(callback_);
  callback(std::move(outcome));  // may destroy this
}

// The header of the request; a body is no text.
void FetchOnLoop::trace_request(const std::string& text) const {
  if (!request_.trace) {
    return;
  }
  for (std::size_t begin = 0, end = 0; (end = text.find("\r\n", begin)) > begin; begin = end + 2) {
    request_.trace("> " + text.substr(begin, end - begin));
  }
}

void FetchOnLoop::trace_head(const HttpHead& head) const {
  trace("< HTTP {}", head.status);
  const auto field = [this](const char* name, const std::string& value) { trace("< {}: {}", name, value); };
  if (!head.content_type.empty()) {
    field("Content-Type", quoted(head.content_type));
  }
  if (!head.location.empty()) {
    field("Location", quoted(std::string_view(head.location).substr(0, kMaxQuoted)));
  }
  const auto time = [&field](const char* name, const std::optional<UnixSeconds>& value) {
    if (value) {
      field(name, to_rfc3339(*value));
    }
  };
  const auto span = [&field](const char* name, const std::optional<Seconds>& value) {
    if (value) {
      field(name, fmt::format("{}s", *value));
    }
  };
  time("Date", head.date);
  time("Expires", head.expires);
  span("max-age", head.max_age);
  span("Age", head.age);
  time("Retry-After", head.retry_after);
}

std::string FetchOnLoop::request_text() const {
  std::string text = fmt::format(
      "{} {} HTTP/1.1\r\n"
      "Host: {}\r\n"
      "User-Agent: ocsp_plus/" OCSP_PLUS_VERSION
      "\r\n"
      "Accept: application/ocsp-response\r\n"
      "Connection: close\r\n",
      get_ ? "GET" : "POST", url_.target, url_.authority());
  if (request_.no_cache) {
    text += "Cache-Control: no-cache\r\n";
  }
  if (get_) {
    return text + "\r\n";
  }
  text += fmt::format("Content-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n", request_.body.size());
  text += ByteView(request_.body).text();
  return text;
}

// For messages: what was going on.
std::string FetchOnLoop::where() const {
  if (query_ != nullptr) {
    return "resolving " + url_.host;
  }
  if (connection_ == nullptr) {
    return "not started yet";
  }
  const std::string peer = addresses_[next_address_ - 1].to_string();
  switch (connection_->stage()) {
    case Connection::Stage::kConnecting:
      return "connecting to " + peer;
    case Connection::Stage::kSending:
      return "sending to " + peer;
    case Connection::Stage::kWaiting:
      return "waiting for " + peer;
    case Connection::Stage::kReceiving:
      break;
  }
  return "receiving from " + peer;
}

}  // namespace

std::unique_ptr<Fetch> Fetch::start(EventLoop& loop, const Clock& clock, Resolver& resolver, FetchRequest request,
                                    Callback callback) {
  return std::make_unique<FetchOnLoop>(loop, clock, resolver, std::move(request), std::move(callback));
}

}  // namespace ocsp_plus::net
