// Fuzzes a responder's URL; the part after a line feed is a Location that is resolved against it.
#include "fuzz/fuzz.h"
#include "net/url.h"

using namespace ocsp_plus;  // NOLINT: only the target

namespace {

void check(const net::Url& url) {
  fuzz::promise(!url.host.empty() && url.port != 0, "a URL leads somewhere");
  fuzz::promise(!url.target.empty() && url.target.front() == '/', "a target begins with a slash");
  for (const std::string* part : {&url.host, &url.target}) {
    for (const char byte : *part) {
      fuzz::promise(byte > 0x20 && byte < 0x7f, "nothing in a request line ends or splits it");
    }
  }
  const auto again = net::Url::parse(url.to_string());
  fuzz::promise(again.has_value() || url.to_string().size() > 2048, "what is written can be read");
  if (again) {
    fuzz::promise(again->to_string() == url.to_string() && again->host_key() == url.host_key() &&
                      again->https == url.https && again->ip_literal == url.ip_literal,
                  "and means the same");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = ByteView(data, size).text();
  const std::size_t end = text.find('\n');
  const auto url = net::Url::parse(text.substr(0, end));
  if (!url) {
    fuzz::promise(url.error().reason == Reason::kUrlMalformed || url.error().reason == Reason::kUrlScheme,
                  "a URL is refused as one");
    return 0;
  }
  check(*url);
  if (end != std::string_view::npos) {
    if (const auto next = url->resolve(text.substr(end + 1))) {
      check(*next);
    }
  }
  return 0;
}
