// g++ 12 with sanitizers warns, falsely, that an optional inside Boost is used uninitialized, even in a system
// header.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "net/http_response.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/vector_body.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "net/http_head.h"

namespace ocsp_plus::net {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

using BeastParser = http::response_parser<http::vector_body<std::uint8_t>>;
using BeastHeader = BeastParser::value_type::header_type;

// Limit of 1xx responses: a responder may send a few unrequested ones (100, 103), but not an endless series.
constexpr int kMaxInterim = 8;

// The shortest end of a chunked body: "0" and two line ends. Beast before Boost 1.87 asserts that it is given no less
// of a last chunk that it has seen before, and aborts if assertions are enabled. Later versions consume the chunk's
// first line separately; after that any remainder is fine.
constexpr std::size_t kLeastOfChunked = 5;

constexpr std::size_t kMaxValidator = 256;
constexpr std::size_t kHeadRoom = 64;  // for what a repair adds besides line ends

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

Error to_error(const error_code& error) {
  if (error == http::error::body_limit || error == http::error::buffer_overflow) {
    return {Reason::kTooLarge, "the body is over the limit"};
  }
  if (error == http::error::header_limit) {
    return {Reason::kHeadersTooLarge, "the headers are over the limit"};
  }
  if (error == http::error::partial_message) {
    return {Reason::kTruncated, "the connection closed within the response"};
  }
  return {Reason::kHttpMalformed, error.message()};
}

// All values of a field as one list (RFC 9110 section 5.3).
template <typename Name>
std::string joined(const BeastHeader& header, const Name& name) {
  std::string list;
  const auto [begin, end] = header.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    list += list.empty() ? "" : ", ";
    list += view(it->value());
  }
  return list;
}

std::string_view first(const BeastHeader& header, http::field name) {
  return trim(view(header[name]));
}

std::optional<UnixSeconds> retry_after(std::string_view value, UnixSeconds now) {
  if (const auto seconds = parse_delta_seconds(value)) {
    return saturating_add(now, *seconds);
  }
  return parse_http_date(value);
}

std::string validator(std::string_view value) {
  return std::string(value.size() <= kMaxValidator ? value : std::string_view());
}

// RFC 9209 defines a field for this; squid and tinyproxy have their own, which some versions of tinyproxy omit.
bool is_from_proxy(const BeastHeader& header) {
  const std::string_view server = first(header, http::field::server);
  return joined(header, "Proxy-Status").find("error=") != std::string::npos ||
         header.find("X-Squid-Error") != header.end() || server.substr(0, server.find('/')) == "tinyproxy";
}

bool is_ocsp_response(const BeastHeader& header) {
  const std::string_view type = first(header, http::field::content_type);
  return equals_ignoring_case(trim(type.substr(0, type.find(';'))), "application/ocsp-response");
}

HttpHead read_head(const BeastHeader& header, UnixSeconds now) {
  HttpHead head;
  head.status = header.result_int();
  head.content_type = first(header, http::field::content_type);
  head.location = first(header, http::field::location);
  head.date = parse_http_date(first(header, http::field::date));
  head.max_age = parse_max_age(joined(header, http::field::cache_control));
  head.expires = parse_http_date(first(header, http::field::expires));
  head.age = parse_delta_seconds(first(header, http::field::age));
  head.retry_after = retry_after(first(header, http::field::retry_after), now);
  head.etag = validator(first(header, http::field::etag));
  head.last_modified = validator(first(header, http::field::last_modified));
  head.from_proxy = is_from_proxy(header);
  return head;
}

}  // namespace

struct HttpResponseParser::Impl {
  explicit Impl(HttpLimits the_limits) : limits(the_limits) { start(); }

  void start();
  Result<bool> advance();
  Result<bool> take_head();
  std::optional<Error> take_body();
  std::optional<Error> check_header();
  std::optional<Error> check_body() const;
  bool may_be_http() const;

  const HttpLimits limits;
  // Beast calls this for each chunk's line and keeps a reference.
  std::function<void(std::uint64_t, boost::beast::string_view, error_code&)> on_chunk =
      [this](std::uint64_t size, boost::beast::string_view, error_code&) { last_chunk = size == 0; };
  std::optional<BeastParser> parser;
  std::vector<std::uint8_t> pending;  // unconsumed bytes: an incomplete head, or what Beast needs to see again
  std::size_t searched = 0;           // bytes of `pending` searched for the end of the head
  std::size_t header_bytes = 0;       // of all headers so far, those of 1xx responses included
  int interim = 0;
  bool head_taken = false;  // the head of this response has been taken
  bool has_body = false;    // and it is to be read
  bool last_chunk = false;  // its line was consumed: the trailer follows
  bool starved = false;     // Beast needs more bytes
  bool complete = false;
  bool reusable = true;  // false: bytes beyond the response or an unread body are left on the connection
};

void HttpResponseParser::Impl::start() {
  parser.emplace();
  // Our own limit applies to the received head; repairs may make it a little longer.
  parser->header_limit(static_cast<std::uint32_t>(2 * limits.headers + kHeadRoom));
  // We check the header before the body: a large error page must be reported as "HTTP 404", not as "too large".
  // (Boost 1.74 treats boost::none, "no limit", as a limit below every Content-Length.)
  parser->body_limit(std::numeric_limits<std::uint64_t>::max());
  parser->eager(false);
  parser->on_chunk_header(on_chunk);
  searched = 0;
  head_taken = false;
}

// Detects non-HTTP at its first bytes, not at its end.
bool HttpResponseParser::Impl::may_be_http() const {
  constexpr std::string_view kStart = "HTTP/1.";
  const std::size_t size = std::min(pending.size(), kStart.size());
  return ByteView(pending.data(), size).text() == kStart.substr(0, size);
}

Result<bool> HttpResponseParser::Impl::advance() {
  starved = false;
  while (!complete && !starved && !pending.empty()) {
    if (!head_taken) {
      Result<bool> taken = take_head();
      if (!taken || !*taken) {
        return taken;
      }
    } else if (auto refused = take_body()) {
      return tl::unexpected<Error>(std::move(*refused));
    }
  }
  reusable = reusable && (!complete || pending.empty());
  return complete;
}

// Returns false if the head is incomplete.
Result<bool> HttpResponseParser::Impl::take_head() {
  if (!may_be_http()) {
    return fail(Reason::kHttpMalformed, "it does not start with an HTTP/1 status line");
  }
  const std::string_view bytes = ByteView(pending).text();
  const auto size = head_size(bytes, searched);
  if (header_bytes + size.value_or(bytes.size()) > limits.headers) {
    return fail(Reason::kHeadersTooLarge, "the headers are over the limit");
  }
  if (!size) {
    searched = bytes.size();
    return false;
  }
  const auto head = normal_head(bytes.substr(0, *size));
  RETURN_IF_ERROR(head);
  for (std::string_view rest = *head; !parser->is_header_done();) {
    error_code error;
    const std::size_t used = parser->put(boost::asio::buffer(rest), error);
    if (error || used == 0) {
      return tl::unexpected<Error>(error ? to_error(error) : Error{Reason::kHttpMalformed, "its head has no end"});
    }
    rest.remove_prefix(used);
  }
  header_bytes += *size;
  pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(*size));
  head_taken = true;
  if (auto refused = check_header()) {
    return tl::unexpected<Error>(std::move(*refused));
  }
  return true;
}

std::optional<Error> HttpResponseParser::Impl::take_body() {
  if (parser->chunked() && !last_chunk && pending.size() < kLeastOfChunked) {
    starved = true;
    return std::nullopt;
  }
  error_code error;
  const std::size_t used = parser->put(boost::asio::buffer(pending), error);
  pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(used));
  starved = error == http::error::need_more || used == 0;
  if (error && error != http::error::need_more) {
    return to_error(error);
  }
  complete = parser->is_done();
  // A chunk's line and the trailer count as headers too.
  if (!complete && pending.size() > limits.headers) {
    return Error{Reason::kHeadersTooLarge, "the headers are over the limit"};
  }
  return std::nullopt;
}

// Called once the header is complete; decides whether the body is read.
std::optional<Error> HttpResponseParser::Impl::check_header() {
  const BeastHeader& header = parser->get();
  const unsigned status = header.result_int();
  if (status / 100 == 1) {
    if (status == 101 || ++interim > kMaxInterim) {
      return Error{Reason::kHttpMalformed, fmt::format("unexpected HTTP {}", status)};
    }
    start();
    return std::nullopt;
  }
  auto refused = check_body();
  has_body = !limits.tunnel && (status == 200 || (!refused && status / 100 != 3 && is_ocsp_response(header)));
  if (!has_body) {
    complete = true;
    reusable = reusable && parser->is_done();
    return std::nullopt;
  }
  if (refused) {
    return refused;
  }
  complete = parser->is_done();
  parser->body_limit(limits.body);
  parser->eager(true);
  return std::nullopt;
}

// Returns why the header rules out reading the body.
std::optional<Error> HttpResponseParser::Impl::check_body() const {
  const BeastHeader& header = parser->get();
  const std::string coding = joined(header, http::field::content_encoding);
  if (!is_plain_coding(coding)) {
    return Error{Reason::kHttpMalformed, fmt::format("the content coding {} was not asked for", quoted(coding))};
  }
  const std::string transfer = joined(header, http::field::transfer_encoding);
  if (!transfer.empty() && !equals_ignoring_case(transfer, "chunked")) {
    return Error{Reason::kHttpMalformed, fmt::format("the transfer coding {} is not supported", quoted(transfer))};
  }
  const auto length = parser->content_length();
  if (length && *length > limits.body) {
    return Error{Reason::kTooLarge, fmt::format("Content-Length is {}, the limit {}", *length, limits.body)};
  }
  return std::nullopt;
}

HttpResponseParser::HttpResponseParser(HttpLimits limits) : impl_(std::make_unique<Impl>(limits)) {}

HttpResponseParser::~HttpResponseParser() = default;

Result<bool> HttpResponseParser::feed(ByteView bytes) {
  if (impl_->complete) {
    impl_->reusable = impl_->reusable && bytes.empty();
    return true;
  }
  impl_->pending.insert(impl_->pending.end(), bytes.begin(), bytes.end());
  return impl_->advance();
}

Result<bool> HttpResponseParser::finish() {
  if (impl_->complete) {
    return true;
  }
  if (!impl_->head_taken) {
    const bool nothing = impl_->pending.empty() && impl_->header_bytes == 0;
    return fail(Reason::kTruncated,
                nothing ? "the connection closed without a response" : "the connection closed within the response");
  }
  error_code error;
  impl_->parser->put_eof(error);
  if (error) {
    return tl::unexpected<Error>(to_error(error));
  }
  impl_->complete = true;
  impl_->reusable = false;
  return true;
}

HttpResponse HttpResponseParser::take(UnixSeconds now) {
  HttpResponse response;
  response.head = read_head(impl_->parser->get(), now);
  response.head.keep_alive = impl_->reusable && impl_->parser->keep_alive();
  if (impl_->has_body) {
    response.body = std::move(impl_->parser->get().body());
  }
  return response;
}

}  // namespace ocsp_plus::net
