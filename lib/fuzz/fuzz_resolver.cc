// Fuzzes the DNS server configuration: each line is an `ocsp_plus_resolver` value, and the whole input is a
// resolv.conf, which c-ares reads with our options.
#include <ares.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/poll_loop.h"
#include "fuzz/fuzz.h"
#include "net/address.h"
#include "net/resolver.h"

using namespace ocsp_plus;  // NOLINT: only the target

namespace {

void read_lines(std::string_view text) {
  const SystemClock clock;
  PollLoop loop(clock);
  net::ResolverOptions options;
  bool all_are_addresses = true;
  while (!text.empty() && options.servers.size() < 8) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    options.servers.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const net::Address address = net::Address::parse(options.servers.back(), 53);
    if (address.length == 0) {
      all_are_addresses = false;
      continue;
    }
    const net::Address again = net::Address::parse(address.to_string(), 1);
    fuzz::promise(again.to_string() == address.to_string(), "what is written can be read");
  }
  if (!options.servers.empty()) {
    const auto resolver = net::Resolver::create(loop, clock, options);
    fuzz::promise(resolver.has_value() == all_are_addresses, "a resolver is made of addresses, and of nothing else");
  }
}

void read_resolv_conf(ByteView text) {
  static const int file = memfd_create("resolv.conf", MFD_CLOEXEC);
  static std::string path = "/proc/self/fd/" + std::to_string(file);
  fuzz::promise(file >= 0 && ftruncate(file, 0) == 0 &&
                    pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()),
                "the file is written");
  ares_options options = {};
  options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
  options.resolvconf_path = path.data();
  ares_channel channel = nullptr;
  if (ares_init_options(&channel, &options, ARES_OPT_FLAGS | ARES_OPT_DOMAINS | ARES_OPT_RESOLVCONF) ==
      ARES_SUCCESS) {
    ares_destroy(channel);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_lines(ByteView(data, size).text());
  read_resolv_conf({data, size});
  return 0;
}
