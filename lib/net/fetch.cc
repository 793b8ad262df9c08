#include "net/fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "net/connector.h"
#include "net/http_exchange.h"
#include "net/redirect.h"
#include "net/request_text.h"

namespace ocsp_plus::net {
namespace {

constexpr int kMaxRedirects = 3;
constexpr Millis kMinAddressTime = 1000;
constexpr std::size_t kMaxQuoted = 200;  // bytes of a Location shown in a message

bool is_redirect(unsigned status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Maps a status that the proxy itself sent. tinyproxy sends 401 in place of 407.
Reason proxy_reason(unsigned status) {
  return status == 407 || status == 401 ? Reason::kProxyAuth
         : status >= 500                ? Reason::kProxyFailed
                                        : Reason::kProxyRefused;
}

std::string list(const std::vector<Address>& addresses) {
  std::string text;
  for (const Address& address : addresses) {
    text += (text.empty() ? "" : ", ") + address.to_string();
  }
  return text;
}

// The steps in order: request_url, connect (unless an idle connection exists), open_tunnel, start_tls, send,
// on_response. follow returns to request_url; try_next_address continues with another address.
class FetchOnLoop : public Fetch, public Stream::User {
 public:
  FetchOnLoop(Transport& transport, FetchRequest request, Callback callback);

 private:
  void begin();
  void request_url();
  void connect();
  void on_addresses(Result<std::vector<Address>> addresses);
  void on_stream(Result<std::unique_ptr<Stream>> stream);
  void open_tunnel();
  void on_tunnel(const Result<HttpResponse>& response);
  void start_tls();
  void send();
  void on_address_timeout();
  void on_deadline();
  void on_answer(Result<HttpResponse> response);
  void on_response(HttpResponse response, const Address& peer);
  bool is_answer(const HttpResponse& response) const;
  void follow(const HttpHead& head, const Address& peer);
  void try_next_address(Error error);
  void retry_on_new_connection(const Error& error);
  bool permitted(const Address& address) const { return request_.permits == nullptr || request_.permits(address); }
  bool redirect_permits(const Address& address) const { return redirect_.permits(transport_.scope_of(address)); }
  std::optional<Error> keep_permitted(std::vector<Address>* addresses) const;
  void fail_with(Error error, const HttpHead* head = nullptr);
  void end(Outcome outcome);

  // Stream::User while TLS is being set up.
  void on_open() override;
  void on_data(ByteView) override {}
  void on_end(std::optional<Error> error) override;

  template <typename... Args>
  void trace(fmt::format_string<Args...> format, Args&&... args) const {
    if (request_.trace) {
      request_.trace(fmt::format(format, std::forward<Args>(args)...));
    }
  }
  const Proxy* proxy() const { return transport_.proxy ? &*transport_.proxy : nullptr; }
  const Url& next_hop() const { return proxy() != nullptr ? proxy()->url : url_; }
  // The peer is the proxy, not the responder through a tunnel.
  bool with_proxy() const { return proxy() != nullptr && (!url_.https || !tunnel_open_); }
  Error from_hop(Error error) const;
  std::string stream_key() const;
  std::string where() const;
  Millis left() const { return std::max<Millis>(saturating_sub(deadline_, transport_.clock.monotonic()), 0); }

  Transport& transport_;
  FetchRequest request_;
  Callback callback_;
  const Millis started_;
  const Millis deadline_;
  bool get_ = false;
  bool conditional_ = false;      // validators were sent
  bool request_mangled_ = false;  // by a redirect
  Url url_;                       // current URL: the base URL, with a GET's request appended, or a redirect's target
  std::vector<std::string> visited_;  // URLs requested so far, url_ included
  RedirectRule redirect_;
  std::string redirect_said_;  // the redirect that led to url_, for messages
  bool reused_ = false;        // the stream was idle before
  bool tunnel_open_ = false;
  bool ipv6_only_ = false;  // the next hop has IPv6 addresses only
  std::unique_ptr<Resolver::Query> query_;
  std::optional<Connector> connector_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<HttpExchange> http_;  // uses stream_
  std::unique_ptr<Timer> begin_timer_;
  std::unique_ptr<Timer> address_timer_;
  std::unique_ptr<Timer> deadline_timer_;
};

FetchOnLoop::FetchOnLoop(Transport& transport, FetchRequest request, Callback callback)
    : transport_(transport),
      request_(std::move(request)),
      callback_(std::move(callback)),
      started_(transport.clock.monotonic()),
      deadline_(saturating_add(started_, request_.timeout)),
      url_(request_.url),
      redirect_(request_.url, request_.named) {
  begin_timer_ = transport.loop.timer([this] { begin(); });
  address_timer_ = transport.loop.timer([this] { on_address_timeout(); });
  deadline_timer_ = transport.loop.timer([this] { on_deadline(); });
  // The first step runs from the loop, so a step that fails immediately may call back.
  begin_timer_->arm(0);
  deadline_timer_->arm(request_.timeout);
}

void FetchOnLoop::begin() {
  if (!request_.accept.empty()) {
    get_ = true;
  } else if (auto get_url = url_for_get(request_)) {
    get_ = true;
    url_ = std::move(*get_url);
  }
  request_url();
}

void FetchOnLoop::request_url() {
  visited_.push_back(url_.to_string());
  if (url_.https && request_.tls == nullptr) {
    return fail_with({Reason::kTlsFailed, "no TLS client could be set up"});
  }
  if (proxy() != nullptr && url_.ip_literal && !permitted(Address::literal(url_.host, url_.port))) {
    return fail_with({Reason::kAddressForbidden, url_.authority() + " is no public address"});
  }
  if (proxy() != nullptr && !redirect_.permits_unseen()) {
    return fail_with({Reason::kRedirectForbidden,
                      redirect_said_ + ": behind a proxy no redirect may lead to a host that is not named"});
  }
  stream_ = transport_.idle.take(stream_key());
  // An idle connection may come from a fetch that was permitted more addresses.
  if (stream_ != nullptr && proxy() == nullptr &&
      !(permitted(stream_->peer()) && redirect_permits(stream_->peer()))) {
    stream_.reset();
  }
  if (stream_ == nullptr) {
    return connect();
  }
  reused_ = true;
  address_timer_->arm(std::max(left() / 2, kMinAddressTime));
  trace("using an idle connection to {}", stream_->peer().to_string());
  send();
}

// --- a connection ---

void FetchOnLoop::connect() {
  reused_ = false;
  const Url& hop = next_hop();
  if (hop.ip_literal) {
    return on_addresses(std::vector<Address>{Address::literal(hop.host, hop.port)});
  }
  trace("resolving {}", hop.host);
  query_ = transport_.resolver.resolve(
      hop.host, hop.port, [this](Result<std::vector<Address>> addresses) { on_addresses(std::move(addresses)); });
}

void FetchOnLoop::on_addresses(Result<std::vector<Address>> addresses) {
  query_.reset();
  if (!addresses) {
    return fail_with(from_hop(std::move(addresses.error())));
  }
  const Url& hop = next_hop();
  if (!hop.ip_literal) {
    trace("{} is {}", hop.host, list(*addresses));
  }
  if (proxy() == nullptr) {
    if (auto refused = keep_permitted(&*addresses)) {
      return fail_with(std::move(*refused));
    }
  }
  ipv6_only_ = std::all_of(addresses->begin(), addresses->end(),
                           [](const Address& address) { return address.family() == AF_INET6; });
  transport_.families.sort(hop.host, transport_.clock.monotonic(), &*addresses);
  const auto tell = [&transport = transport_, host = hop.host_key()](int family, Reason outcome) {
    transport.tally.count(host, family, outcome, transport.clock.monotonic());
  };
  connector_.emplace(transport_.loop, std::move(*addresses), *this, tell, request_.trace,
                     [this](Result<std::unique_ptr<Stream>> stream) { on_stream(std::move(stream)); });
  connector_->next();
}

// Removes the addresses that must not be connected to. Returns an error if none is left.
std::optional<Error> FetchOnLoop::keep_permitted(std::vector<Address>* addresses) const {
  const std::string all = list(*addresses);
  const auto keep = [addresses](const auto& is_kept) {
    addresses->erase(std::remove_if(addresses->begin(), addresses->end(),
                                    [&is_kept](const Address& address) { return !is_kept(address); }),
                     addresses->end());
    return !addresses->empty();
  };
  if (!keep([this](const Address& address) { return permitted(address); })) {
    return Error{Reason::kAddressForbidden, url_.ip_literal
                                                ? all + " is no public address"
                                                : fmt::format("{} is {}, no public address", url_.host, all)};
  }
  if (!keep([this](const Address& address) { return redirect_permits(address); })) {
    return Error{Reason::kRedirectForbidden, fmt::format("{}{}: no redirect may lead there", redirect_said_,
                                                         url_.ip_literal ? "" : fmt::format(", which is {}", all))};
  }
  return std::nullopt;
}

void FetchOnLoop::on_stream(Result<std::unique_ptr<Stream>> stream) {
  if (!stream) {
    Error error = std::move(stream.error());
    if (error.reason == Reason::kConnectUnreachable && ipv6_only_) {
      error.detail += "; " + next_hop().host + " has IPv6 addresses only, and IPv6 leads nowhere from here";
    }
    return fail_with(from_hop(std::move(error)));
  }
  stream_ = std::move(*stream);
  tunnel_open_ = false;
  transport_.families.record_success(next_hop().host, stream_->peer().family(), transport_.clock.monotonic());
  // An address that accepts and stays silent must leave time for the addresses after it.
  if (connector_->more()) {
    address_timer_->arm(std::max(left() / 2, kMinAddressTime));
  }
  if (!url_.https) {
    send();
  } else if (proxy() != nullptr) {
    open_tunnel();
  } else {
    start_tls();
  }
}

void FetchOnLoop::open_tunnel() {
  const std::string text = connect_text(url_, *proxy());
  trace_request(request_.trace, text);
  HttpLimits limits = request_.limits;
  limits.tunnel = true;
  http_ = std::make_unique<HttpExchange>(transport_.clock, *stream_, text, limits,
                                         [this](const Result<HttpResponse>& response) { on_tunnel(response); });
}

void FetchOnLoop::on_tunnel(const Result<HttpResponse>& response) {
  http_.reset();
  if (!response) {
    return try_next_address(response.error());
  }
  const HttpHead& head = response->head;
  trace_head(request_.trace, head);
  if (head.status / 100 == 2) {
    tunnel_open_ = true;
    return start_tls();
  }
  fail_with({proxy_reason(head.status), fmt::format("HTTP {} from the proxy {} for a tunnel to {}", head.status,
                                                    stream_->peer().to_string(), url_.host_key())},
            &head);
}

void FetchOnLoop::start_tls() {
  auto session = request_.tls->open(url_.host, url_.port);
  if (!session) {
    return fail_with(std::move(session.error()));
  }
  stream_->hand_to(*this);
  stream_->start_tls(std::move(*session));
}

void FetchOnLoop::on_open() {
  trace("{} is who it should be: {}", url_.host, stream_->tls()->describe());
  send();
}

void FetchOnLoop::on_end(std::optional<Error> error) {
  try_next_address(error
                       ? std::move(*error)
                       : Error{Reason::kTlsFailed, fmt::format("TLS with {}: closed", stream_->peer().to_string())});
}

// The connection brought not one byte of an answer: another address may work.
void FetchOnLoop::try_next_address(Error error) {
  address_timer_->disarm();
  http_.reset();
  stream_.reset();
  if (!connector_->more()) {
    return fail_with(from_hop(std::move(error)));
  }
  transport_.families.forget(next_hop().host);
  connector_->remember(std::move(error));
  connector_->next();
}

// The idle connection failed, most likely because the peer has closed it.
void FetchOnLoop::retry_on_new_connection(const Error& error) {
  trace("{}: {}; once more with a fresh connection", token(error.reason), error.detail);
  http_.reset();
  stream_.reset();
  connect();
}

// --- request and response ---

void FetchOnLoop::send() {
  conditional_ = get_ && !request_.validators.empty() && visited_.size() == 1;
  const std::string text = request_text(request_, url_, get_, conditional_, url_.https ? nullptr : proxy());
  trace_request(request_.trace, text);
  http_ = std::make_unique<HttpExchange>(transport_.clock, *stream_, text, request_.limits,
                                         [this](Result<HttpResponse> response) { on_answer(std::move(response)); });
}

void FetchOnLoop::on_address_timeout() {
  // A peer that has begun to answer may use all of the remaining time.
  if (stream_ == nullptr || (http_ != nullptr && http_->answered())) {
    return;
  }
  Error error = {Reason::kTimeout, fmt::format("no answer in this address's share of the time, {}", where())};
  if (reused_) {
    return retry_on_new_connection(error);
  }
  try_next_address(std::move(error));
}

void FetchOnLoop::on_deadline() {
  Error error = {Reason::kTimeout, fmt::format("no complete answer within {} ms, {}", request_.timeout, where())};
  if (query_ != nullptr) {
    error = {Reason::kDnsTimeout, fmt::format("{}: no answer within {} ms; asked {}", next_hop().host,
                                              request_.timeout, transport_.resolver.asked())};
  }
  fail_with(stream_ == nullptr ? from_hop(std::move(error)) : std::move(error));
}

void FetchOnLoop::on_answer(Result<HttpResponse> response) {
  address_timer_->disarm();
  const bool answered = http_->answered();
  http_.reset();
  const Address peer = stream_->peer();
  if (response) {
    if (response->head.keep_alive) {
      transport_.idle.keep(stream_key(), std::move(stream_));
    }
    stream_.reset();
    return on_response(std::move(*response), peer);
  }
  if (!answered && reused_) {
    return retry_on_new_connection(response.error());
  }
  if (!answered) {
    return try_next_address(std::move(response.error()));
  }
  fail_with(std::move(response.error()));
}

void FetchOnLoop::on_response(HttpResponse response, const Address& peer) {
  HttpHead& head = response.head;
  trace_head(request_.trace, head);
  if (is_redirect(head.status)) {
    return follow(head, peer);
  }
  const bool of_proxy = proxy() != nullptr && !url_.https && (head.from_proxy || head.status == 407);
  if (is_answer(response) && !(of_proxy && head.status != 200)) {
    Validators validators;
    if (head.status != 200 && head.status != 304) {  // these fields describe the error, not the response
      head.max_age.reset();
      head.expires.reset();
    } else if (visited_.size() == 1) {
      validators = {head.etag, head.last_modified};
    }
    return end(FetchResponse{std::move(response), peer, saturating_sub(transport_.clock.monotonic(), started_), get_,
                             std::move(validators)});
  }
  const Reason reason = of_proxy ? proxy_reason(head.status) : Reason::kHttpStatus;
  fail_with({reason, fmt::format("HTTP {} from {}{}", head.status, of_proxy ? "the proxy " : "", peer.to_string())},
            &head);
}

// Returns whether the response is an answer to verify. With an error status the parser keeps a body only if it is an
// OCSP response by its type.
bool FetchOnLoop::is_answer(const HttpResponse& response) const {
  const unsigned status = response.head.status;
  return status == 200 || (status == 304 && conditional_) || (request_.accept.empty() && !response.body.empty());
}

// A POST stays a POST, whatever the status. A browser would continue with GET after 301, 302 and 303, but that would
// lose the request, which is the body.
void FetchOnLoop::follow(const HttpHead& head, const Address& peer) {
  const std::string said = fmt::format("HTTP {} from {}", head.status, url_.authority());
  if (head.location.empty()) {
    return fail_with({Reason::kHttpStatus, said + " without a Location"}, &head);
  }
  const std::string to = quoted(std::string_view(head.location).substr(0, kMaxQuoted));
  Result<Url> next = url_.resolve(head.location);
  if (!next && next.error().reason != Reason::kUrlScheme) {
    return fail_with({next.error().reason, fmt::format("{} to {}: {}", said, to, next.error().detail)}, &head);
  }
  if (!next || (url_.https && !next->https)) {
    return fail_with({Reason::kRedirectScheme, fmt::format("{} to {}", said, to)}, &head);
  }
  if (get_ && has_lost_slashes(request_.get_path, next->target)) {
    request_mangled_ = true;
    return fail_with(
        {Reason::kHttpStatus, fmt::format("{} to {}, where slashes of the request are missing", said, to)}, &head);
  }
  if (visited_.size() > kMaxRedirects) {
    return fail_with({Reason::kRedirectLimit, fmt::format("{} to {} after {} redirects", said, to, kMaxRedirects)},
                     &head);
  }
  if (std::find(visited_.begin(), visited_.end(), next->to_string()) != visited_.end()) {
    return fail_with({Reason::kRedirectLimit, fmt::format("{} back to {}", said, to)}, &head);
  }
  url_ = std::move(*next);
  redirect_.follow(url_, transport_.scope_of(peer));
  redirect_said_ = fmt::format("{} to {}", said, url_.authority());
  request_url();
}

void FetchOnLoop::fail_with(Error error, const HttpHead* head) {
  trace("{}: {}", token(error.reason), error.detail);
  Failure failure = std::move(error);
  failure.request_mangled = request_mangled_;
  if (head != nullptr) {
    failure.status = head->status;
    failure.date = head->time();
    if (head->status == 429 || head->status == 503) {
      failure.retry_after = head->retry_after;
    }
  }
  end(tl::unexpected<Failure>(std::move(failure)));
}

void FetchOnLoop::end(Outcome outcome) {
  query_.reset();
  http_.reset();
  stream_.reset();
  connector_.reset();
  begin_timer_.reset();
  address_timer_.reset();
  deadline_timer_.reset();
  const Callback callback = std::move(callback_);
  callback(std::move(outcome));  // may destroy this
}

// Attributes an error between us and the proxy to the proxy, not to the responder.
Error FetchOnLoop::from_hop(Error error) const {
  if (!with_proxy()) {
    return error;
  }
  return {Reason::kProxyFailed,
          fmt::format("the proxy {}: {}: {}", proxy()->url.authority(), token(error.reason), error.detail)};
}

// Identifies a connection's peer and the trust it was verified with.
std::string FetchOnLoop::stream_key() const {
  if (url_.https) {
    return fmt::format("https {} {}", url_.host_key(), static_cast<const void*>(request_.tls));
  }
  return "http " + next_hop().host_key();
}

// Names the current step, for messages.
std::string FetchOnLoop::where() const {
  if (stream_ == nullptr) {
    return connector_ ? "connecting to " + next_hop().authority() : "not started yet";
  }
  const std::string peer = stream_->peer().to_string();
  if (http_ == nullptr) {
    return "in the TLS handshake with " + peer;
  }
  return fmt::format("{} {}",
                     !stream_->sent_all() ? "sending to"
                     : http_->answered()  ? "receiving from"
                                          : "waiting for",
                     peer);
}

}  // namespace

std::unique_ptr<Fetch> Fetch::start(Transport& transport, FetchRequest request, Callback callback) {
  return std::make_unique<FetchOnLoop>(transport, std::move(request), std::move(callback));
}

}  // namespace ocsp_plus::net
