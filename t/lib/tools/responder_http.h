// One HTTP exchange as bytes and pauses: reading a request out of a buffer, turning a body and a fault into steps.
#ifndef T_LIB_TOOLS_RESPONDER_HTTP_H_
#define T_LIB_TOOLS_RESPONDER_HTTP_H_

#include <deque>
#include <map>
#include <string>

#include "responder_state.h"

namespace responder {

struct HttpRequest {
  std::string method, target, path, host, body;  // path: target without scheme and authority
  std::map<std::string, std::string> headers;    // names in lower case
  bool keep_alive = true;
};

enum class Parsed { kIncomplete, kComplete, kBroken };

// Takes one request out of the front of buffer.
Parsed take_request(std::string* buffer, HttpRequest* request);

// The DER that a GET target or a POST body holds; prefixes of the path are skipped until base64 is found.
std::string percent_decode(const std::string& text);
std::string base64_decode(const std::string& text);

// What a connection does next, one after the other.
struct Step {
  enum class End { kNone, kClose, kReset, kHang };
  long wait_ms = 0;
  std::string data;
  End end = End::kNone;
};
using Script = std::deque<Step>;

// The answer to an OCSP request whose proper body is der.
Script play(const HttpRequest& request, const std::string& der, const Fault& fault, const Settings& settings,
            const Scope& scope);

// An ordinary answer, as the control channel gives it.
Script plain(int code, const std::string& type, const std::string& body, bool keep_alive);

}  // namespace responder

#endif  // T_LIB_TOOLS_RESPONDER_HTTP_H_
