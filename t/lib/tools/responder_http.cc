#include "responder_http.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace responder {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string http_date(double when) {
  const std::time_t seconds = static_cast<std::time_t>(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

const char* phrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 404:
      return "Not Found";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Other";
  }
}

// A response under construction: every fault changes one of these before it is written.
struct Answer {
  std::string version = "HTTP/1.1";
  int code = 200;
  std::string type = "application/ocsp-response";
  std::string extra;  // more header lines
  std::string body;
  enum class Framing { kLength, kChunked, kClose } framing = Framing::kLength;
  size_t chunk = 100;
  bool chunk_end = true;
  bool keep_alive = true;

  std::string head(const std::string& date) const {
    std::string out = version + ' ' + std::to_string(code) + ' ' + phrase(code) + "\r\nDate: " + date + "\r\n";
    if (!type.empty()) {
      out += "Content-Type: " + type + "\r\n";
    }
    if (framing == Framing::kLength) {
      out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    } else if (framing == Framing::kChunked) {
      out += "Transfer-Encoding: chunked\r\n";
    }
    return out + extra + (keep_alive ? "" : "Connection: close\r\n") + "\r\n";
  }

  std::string framed_body() const {
    if (framing != Framing::kChunked) {
      return body;
    }
    std::string out;
    for (size_t at = 0; at < body.size(); at += chunk) {
      const size_t size = std::min(chunk, body.size() - at);
      char head[32];
      std::snprintf(head, sizeof head, "%zx\r\n", size);
      out += head + body.substr(at, size) + "\r\n";
    }
    return chunk_end ? out + "0\r\n\r\n" : out;
  }
};

void add_settings(const Settings& settings, const Scope& scope, double now, Answer* answer) {
  const std::string max_age = settings.get(scope, "max_age", "");
  if (!max_age.empty()) {
    answer->extra += "Cache-Control: max-age=" + max_age + ", public, no-transform, must-revalidate\r\n";
  }
  const std::string cache_control = settings.get(scope, "cache_control", "");
  if (!cache_control.empty()) {
    answer->extra += "Cache-Control: " + cache_control + "\r\n";
  }
  const std::string expires = settings.get(scope, "expires", "");
  if (!expires.empty()) {
    answer->extra += "Expires: " + http_date(now + std::atof(expires.c_str())) + "\r\n";
  }
  const std::string header = settings.get(scope, "header", "");
  if (!header.empty()) {
    answer->extra += header + "\r\n";
  }
}

// hops:N goes through /hop1 ... /hopN before it answers.
bool redirect(const HttpRequest& request, const std::string& arg, Answer* answer) {
  std::string to = arg.empty() ? "loop" : arg;
  answer->code = 302;
  if (to.size() > 4 && std::isdigit(static_cast<unsigned char>(to[0])) != 0 && to[3] == ' ') {
    answer->code = std::atoi(to.c_str());
    to.erase(0, 4);
  }
  const std::string self = "http://" + request.host;
  if (to == "loop") {
    to = self + request.path;
  } else if (to.compare(0, 5, "hops:") == 0) {
    long done = 0;
    std::string rest = request.path;
    if (rest.compare(0, 4, "/hop") == 0) {
      char* end = nullptr;
      done = std::strtol(rest.c_str() + 4, &end, 10);
      rest = end;
    }
    if (done >= std::atol(to.c_str() + 5)) {
      answer->code = 200;
      return false;
    }
    to = self + "/hop" + std::to_string(done + 1) + rest;
  } else if (to == "relative") {
    if (request.path.compare(0, 4, "/hop") == 0) {
      answer->code = 200;
      return false;
    }
    to = "/hop1" + request.path;
  } else if (!to.empty() && to.back() == '*') {
    to = to.substr(0, to.size() - 1) + request.path;
  }
  answer->extra += "Location: " + to + "\r\n";
  answer->type = "text/html";
  answer->body = "<html>moved</html>";
  return true;
}

Script drip(const std::string& bytes, long per_second) {
  Script script;
  const long rate = std::max(1L, per_second);
  const size_t size = static_cast<size_t>(std::max(1L, rate / 20));
  const long wait = 1000 * static_cast<long>(size) / rate;
  for (size_t at = 0; at < bytes.size(); at += size) {
    script.push_back({at == 0 ? 0 : wait, bytes.substr(at, size), Step::End::kNone});
  }
  return script;
}

}  // namespace

Parsed take_request(std::string* buffer, HttpRequest* request) {
  const size_t end = buffer->find("\r\n\r\n");
  if (end == std::string::npos) {
    return buffer->size() > 65536 ? Parsed::kBroken : Parsed::kIncomplete;
  }
  *request = HttpRequest();
  size_t line_end = buffer->find("\r\n");
  const std::string first = buffer->substr(0, line_end);
  const size_t space = first.find(' ');
  const size_t last = first.rfind(' ');
  if (space == std::string::npos || last == space || first.compare(last + 1, 5, "HTTP/") != 0) {
    return Parsed::kBroken;
  }
  request->method = first.substr(0, space);
  request->target = first.substr(space + 1, last - space - 1);
  request->keep_alive = first.substr(last + 1) == "HTTP/1.1";
  while (line_end < end) {
    const size_t start = line_end + 2;
    line_end = buffer->find("\r\n", start);
    const std::string line = buffer->substr(start, line_end - start);
    const size_t colon = line.find(':');
    if (colon == std::string::npos) {
      return Parsed::kBroken;
    }
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    request->headers[lower(line.substr(0, colon))] = value == std::string::npos ? "" : line.substr(value);
  }
  size_t length = 0;
  if (request->headers.count("content-length") != 0) {
    length = std::strtoul(request->headers["content-length"].c_str(), nullptr, 10);
  }
  if (length > 1048576) {
    return Parsed::kBroken;
  }
  if (buffer->size() < end + 4 + length) {
    return Parsed::kIncomplete;
  }
  request->body = buffer->substr(end + 4, length);
  buffer->erase(0, end + 4 + length);
  request->host = request->headers["host"];
  request->path = request->target;
  if (request->target.compare(0, 7, "http://") == 0) {
    const size_t slash = request->target.find('/', 7);
    request->path = slash == std::string::npos ? "/" : request->target.substr(slash);
  }
  const std::string connection = lower(request->headers["connection"]);
  if (connection == "close") {
    request->keep_alive = false;
  } else if (connection == "keep-alive") {
    request->keep_alive = true;
  }
  return Parsed::kComplete;
}

std::string percent_decode(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::strtol(text.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string base64_decode(const std::string& text) {
  if (text.empty() || text.size() % 4 != 0) {
    return "";
  }
  std::string out(text.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) {
    return "";
  }
  out.resize(static_cast<size_t>(size));
  for (size_t i = text.size(); i > 0 && text[i - 1] == '=' && !out.empty(); --i) {
    out.pop_back();
  }
  return out;
}

Script plain(int code, const std::string& type, const std::string& body, bool keep_alive) {
  Answer answer;
  answer.code = code;
  answer.type = type;
  answer.body = body;
  answer.keep_alive = keep_alive;
  return {{0, answer.head(http_date(wall_clock())) + body, keep_alive ? Step::End::kNone : Step::End::kClose}};
}

Script play(const HttpRequest& request, const std::string& der, const Fault& fault, const Settings& settings,
            const Scope& scope) {
  using End = Step::End;
  const std::string& name = fault.name;
  const auto arg = [&fault](long otherwise) { return fault.arg.empty() ? otherwise : std::atol(fault.arg.c_str()); };
  const long delay = settings.number(scope, "delay", 0);
  const double now = wall_clock() + static_cast<double>(settings.number(scope, "clock", 0));
  const std::string date = http_date(now + static_cast<double>(settings.number(scope, "date_offset", 0)));

  Answer answer;
  answer.body = der;
  answer.keep_alive = request.keep_alive;
  std::string before;  // bytes ahead of the response

  if (name == "close") {
    return {{delay, "", End::kClose}};
  }
  if (name == "reset" || name == "refuse" || name == "reset_on_connect") {
    return {{delay, "", End::kReset}};
  }
  if (name == "hang_after_request" || name == "hang_after_connect") {
    return {{0, "", End::kHang}};
  }
  if (name.compare(0, 5, "http_") == 0) {
    answer.code = std::atoi(name.c_str() + 5);
    answer.type = "text/plain";
    answer.body = "this is no OCSP response\n";
    if (!fault.arg.empty()) {
      answer.extra +=
          "Retry-After: " + (fault.arg[0] == '@' ? http_date(now + std::atof(fault.arg.c_str() + 1)) : fault.arg) +
          "\r\n";
    }
  } else if (name == "wrong_content_type") {
    answer.type = fault.arg.empty() ? "text/plain" : fault.arg == "none" ? "" : fault.arg;
  } else if (name == "garbage") {
    answer.body.clear();
    unsigned seed = 12345;
    for (long i = 0; i < arg(700); ++i) {
      seed = seed * 1103515245 + 12345;
      answer.body += static_cast<char>(seed >> 16);
    }
  } else if (name == "empty_body") {
    answer.body.clear();
  } else if (name == "html_200") {
    answer.type = "text/html";
    answer.body = "<html><body>Please log in to the hotel's network</body></html>\n";
  } else if (name == "not_http") {
    return {{delay, "220 mail.example ESMTP\r\n500 what?\r\n", End::kClose}};
  } else if (name == "huge_header") {
    answer.extra += "X-Huge: " + std::string(static_cast<size_t>(arg(1000000)), 'x') + "\r\n";
  } else if (name == "http10") {
    answer.version = "HTTP/1.0";
    answer.keep_alive = false;
  } else if (name == "continue_100") {
    before = "HTTP/1.1 100 Continue\r\n\r\n";
  } else if (name == "chunked" || name == "chunked_truncated") {
    answer.framing = Answer::Framing::kChunked;
    answer.chunk = static_cast<size_t>(std::max(1L, arg(100)));
    answer.chunk_end = name == "chunked";
    answer.keep_alive = answer.keep_alive && answer.chunk_end;
  } else if (name == "until_close") {
    answer.framing = Answer::Framing::kClose;
    answer.keep_alive = false;
  } else if (name == "too_large") {
    answer.body.resize(static_cast<size_t>(arg(1048576)), '\0');
  } else if (name == "redirect") {
    redirect(request, fault.arg, &answer);
  }
  add_settings(settings, scope, now, &answer);

  answer.code = static_cast<int>(settings.number(scope, "code", answer.code));
  std::string head = before + answer.head(date);
  if (name == "bare_status") {
    const size_t phrase = head.find(' ', head.find(' ') + 1);
    head.erase(phrase, head.find("\r\n") - phrase);
  } else if (name == "bare_lf") {
    head.erase(std::remove(head.begin(), head.end(), '\r'), head.end());
  }
  const std::string body = answer.framed_body();
  if (name == "truncate") {
    const size_t keep = static_cast<size_t>(arg(static_cast<long>(body.size() / 2)));
    return {{delay, head + body.substr(0, keep), End::kClose}};
  }
  if (name == "hang_in_body") {
    return {{delay, head + body.substr(0, static_cast<size_t>(arg(static_cast<long>(body.size() / 2)))), End::kHang}};
  }
  Script script;
  if (name == "slow_drip") {
    script = drip(head + body, arg(10));
    script.front().wait_ms = delay;
  } else {
    script.push_back({delay, head + body, End::kNone});
  }
  script.back().end = answer.keep_alive ? End::kNone : End::kClose;
  return script;
}

}  // namespace responder
