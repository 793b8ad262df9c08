// Tracing of an exchange.
#pragma once

#include <functional>
#include <string>

namespace ocsp_plus::net {

// Called with a description of each step of an exchange, for debugging: names, addresses, the request (lines with
// ">"), the response's header ("<"), why a step failed. Untrusted bytes are quoted; secrets are left out.
using Trace = std::function<void(const std::string& step)>;

}  // namespace ocsp_plus::net
