// Who listens to an exchange.
#pragma once

#include <functional>
#include <string>

namespace ocsp_plus::net {

// Told each step of an exchange in words, for people who look for a fault: names, addresses, the request (lines that
// begin with ">"), the answer's header ("<"), why a step failed. Bytes of others are quoted in it, secrets are not.
using Trace = std::function<void(const std::string& step)>;

}  // namespace ocsp_plus::net
