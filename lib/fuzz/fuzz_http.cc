// Fuzzes an HTTP response in pieces. The first byte seeds the lengths of the pieces, the second chooses the limits.
#include "fuzz/fuzz.h"
#include "net/http_head.h"
#include "net/http_response.h"

using namespace ocsp_plus;  // NOLINT: only the target

namespace {

struct Outcome {
  bool complete = false;
  unsigned status = 0;
  Bytes body;
};

// `pieces` 0: in one piece.
Outcome parse(ByteView bytes, const net::HttpLimits& limits, std::uint32_t pieces) {
  net::HttpResponseParser parser(limits);
  Result<bool> complete = false;
  fuzz::Input input(bytes.data(), bytes.size());
  while (complete && !*complete && !input.empty()) {
    const std::size_t piece = pieces == 0 ? bytes.size() : 1 + (pieces >> 16) % 64;
    pieces = pieces == 0 ? 0 : (pieces * 1103515245 + 12345) | 1;
    complete = parser.feed(input.take(piece));
  }
  if (complete && !*complete) {
    complete = parser.finish();
  }
  if (!complete) {
    const Reason reason = complete.error().reason;
    fuzz::promise(reason == Reason::kHttpMalformed || reason == Reason::kHeadersTooLarge ||
                      reason == Reason::kTooLarge || reason == Reason::kTruncated,
                  "an answer is refused for one of its reasons");
    return {};
  }
  fuzz::promise(*complete, "finish() is the end");
  net::HttpResponse response = parser.take(1906545600);
  fuzz::promise(response.body.size() <= limits.body, "a body is bounded");
  fuzz::promise(response.head.status <= 999, "a status has three digits");
  fuzz::promise(response.head.max_age.value_or(0) >= 0 && response.head.age.value_or(0) >= 0, "no negative age");
  return {true, response.head.status, std::move(response.body)};
}

// Checks that a repaired head needs no repair and is unambiguous.
void mend(std::string_view bytes) {
  const auto size = net::head_size(bytes);
  if (!size) {
    return;
  }
  const auto head = net::normal_head(bytes.substr(0, *size));
  if (!head) {
    fuzz::promise(head.error().reason == Reason::kHttpMalformed, "a head is refused as malformed");
    return;
  }
  fuzz::promise(net::head_size(*head) == head->size(), "a head stays one");
  fuzz::promise(net::normal_head(*head) == *head, "mending once is enough");
  fuzz::promise(head->size() <= 2 * *size + 64, "it grows by its line ends");
  for (std::size_t at = 0; at < head->size(); ++at) {
    const char c = (*head)[at];
    fuzz::promise(c != '\0' && (c == '\r') == (at + 1 < head->size() && (*head)[at + 1] == '\n'),
                  "lines end with CRLF");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t pieces = input.byte();
  net::HttpLimits limits;
  const std::uint8_t bounds = input.byte();
  limits.headers = std::size_t{256} << (bounds & 7);
  limits.body = std::size_t{64} << (bounds >> 4 & 7);
  mend(input.rest().text());
  const Outcome whole = parse(input.rest(), limits, 0);
  const Outcome in_pieces = parse(input.rest(), limits, pieces + 1U);
  fuzz::promise(
      !whole.complete || !in_pieces.complete || (whole.status == in_pieces.status && whole.body == in_pieces.body),
      "a response is the same however it arrives");
  return 0;
}
