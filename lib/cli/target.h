// A server that "ocsp-plus check" looks at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace ocsp_plus::cli {

struct CheckTarget {
  std::string host;
  std::uint16_t port = 443;
  bool is_address = false;
  bool proxied = false;    // it expects a header of the PROXY protocol
  std::string servername;  // SNI, and whose certificate it must be; empty: none is sent or compared

  // The certificates that nginx's configuration names for it; none: not known.
  struct Certificate {
    CertificateId id;
    std::string label;
  };
  std::vector<Certificate> configured;

  std::string text() const;   // host:port
  std::string label() const;  // with the servername, if it is another
};

// `host`: HOST, HOST:PORT, an address or [address]:PORT, as in a URL. `port`: 0: that of `host`, else 443.
// `servername`: empty: the host, if it is no address.
Result<CheckTarget> parse_target(const std::string& host, unsigned port, const std::string& servername);

}  // namespace ocsp_plus::cli
