// g++ 12 with sanitizers sees an optional of Boost's used before it is set, which it is not; also as a system header.
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
#include <limits>
#include <optional>
#include <utility>

#include "base/log.h"

namespace ocsp_plus::net {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

using BeastParser = http::response_parser<http::vector_body<std::uint8_t>>;
using BeastHeader = BeastParser::value_type::header_type;

// "100 Continue" nobody asked for, "103 Early Hints": a few are a responder's whim, an endless row is not.
constexpr int kMaxInterim = 8;

// The least a chunked body can end with: "0", two line ends. Beast 1.74 asserts that it sees no less of a last chunk
// it has looked at before, and aborts where assertions are on.
constexpr std::size_t kLeastOfChunked = 5;

constexpr std::size_t kMaxValidator = 256;

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

// RFC 9209 has a parameter for it; squid and tinyproxy came before.
bool is_from_proxy(const BeastHeader& header) {
  return joined(header, "Proxy-Status").find("error=") != std::string::npos ||
         header.find("X-Squid-Error") != header.end() ||
         first(header, http::field::server).substr(0, 10) == "tinyproxy/";
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
  std::optional<Error> check_header();
  bool may_be_http() const;

  const HttpLimits limits;
  std::optional<BeastParser> parser;
  std::vector<std::uint8_t> pending;  // bytes Beast wants to see again together with the next ones
  std::size_t header_bytes = 0;       // of all headers so far, those of 1xx responses included
  int interim = 0;
  bool line_read = false;  // the status line of this response
  bool header_checked = false;
  bool complete = false;
  bool reusable = true;  // false: the connection holds bytes that belong to no response, or a body nobody read
};

void HttpResponseParser::Impl::start() {
  parser.emplace();
  parser->header_limit(static_cast<std::uint32_t>(limits.headers));
  // The header is looked at before its body: a large error page must read "HTTP 404", not "too large".
  // (Boost 1.74 takes "no limit", boost::none, for a limit below every Content-Length.)
  parser->body_limit(std::numeric_limits<std::uint64_t>::max());
  parser->eager(false);
  line_read = false;
  header_checked = false;
}

// Beast waits for the end of a header before it looks at a status line that came in pieces.
bool HttpResponseParser::Impl::may_be_http() const {
  constexpr std::string_view kStart = "HTTP/1.";
  const std::size_t size = std::min(pending.size(), kStart.size());
  return line_read || ByteView(pending.data(), size).text() == kStart.substr(0, size);
}

Result<bool> HttpResponseParser::Impl::advance() {
  while (!complete && !pending.empty()) {
    if (!may_be_http()) {
      return fail(Reason::kHttpMalformed, "it does not start with an HTTP/1 status line");
    }
    if (header_checked && parser->chunked() && pending.size() < kLeastOfChunked) {
      break;
    }
    error_code error;
    const std::size_t used = parser->put(boost::asio::buffer(pending), error);
    line_read = line_read || used > 0;
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(used));
    if (!header_checked) {
      header_bytes += used;
      // Beast's own limit is for what is not consumed yet; a drip of short fields stays below it for ever.
      if (header_bytes > limits.headers) {
        return fail(Reason::kHeadersTooLarge, "the headers are over the limit");
      }
    }
    if (error && error != http::error::need_more) {
      return tl::unexpected<Error>(to_error(error));
    }
    if (!header_checked && parser->is_header_done()) {
      if (auto refused = check_header()) {
        return tl::unexpected<Error>(std::move(*refused));
      }
      continue;
    }
    complete = complete || parser->is_done();
    if (error == http::error::need_more) {
      break;
    }
  }
  // Also the line of a chunk and the trailer are headers of a kind.
  if (!complete && pending.size() > limits.headers) {
    return fail(Reason::kHeadersTooLarge, "the headers are over the limit");
  }
  reusable = reusable && (!complete || pending.empty());
  return complete;
}

// Called once the header is there; decides what becomes of the body.
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
  header_checked = true;
  if (status != 200 || limits.tunnel) {
    complete = true;
    reusable = reusable && parser->is_done();
    return std::nullopt;
  }
  const std::string coding = joined(header, http::field::content_encoding);
  if (!coding.empty() && !equals_ignoring_case(coding, "identity")) {
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
  complete = parser->is_done();
  parser->body_limit(limits.body);
  parser->eager(true);
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
  if (!impl_->parser->got_some()) {
    return fail(Reason::kTruncated, "the connection closed without a response");
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
  if (response.head.status == 200) {
    response.body = std::move(impl_->parser->get().body());
  }
  return response;
}

}  // namespace ocsp_plus::net
