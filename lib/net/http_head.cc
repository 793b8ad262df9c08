#include "net/http_head.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace ocsp_plus::net {
namespace {

constexpr std::size_t kStatusLine = std::string_view("HTTP/1.1 200").size();

// Fields that define where the body ends or what happens to the connection after it.
constexpr std::array<std::string_view, 6> kFraming = {"Content-Length",   "Transfer-Encoding", "Connection",
                                                      "Proxy-Connection", "Upgrade",           "Trailer"};

tl::unexpected<Error> malformed(std::string_view why) {
  return fail(Reason::kHttpMalformed, std::string(why));
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Strips leading zeros: "007" and "7" are the same length.
std::string_view without_zeros(std::string_view number) {
  return number.substr(std::min(number.find_first_not_of('0'), number.size() - 1));
}

// Removes the first line from `text` and returns it without its line end.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (!line.empty() && line.back() == '\r') {
    line.remove_suffix(1);
  }
  return line;
}

// Removes the first member from `list` and returns it. REQUIRES: no member contains quotes.
std::string_view next_member(std::string_view& list) {
  const std::size_t end = std::min(list.find(','), list.size());
  const std::string_view member = list.substr(0, end);
  list.remove_prefix(std::min(end + 1, list.size()));
  return trim(member);
}

class Mender {
 public:
  Result<std::string> mend(std::string_view head);

 private:
  Result<void> take_field(std::string_view line);
  Result<void> take_length(std::string_view value);
  void take_codings(std::string_view value);
  void put(std::string_view line) { text_.append(line).append("\r\n"); }

  std::string text_;
  std::string_view name_;    // the last field's
  std::string_view length_;  // empty: none so far
  bool has_coding_ = false;
};

Result<std::string> Mender::mend(std::string_view head) {
  if (head.find('\0') != std::string_view::npos) {
    return malformed("there is a NUL in its head");
  }
  text_.reserve(head.size() + 64);
  std::string_view line = next_line(head);
  if (line.find('\r') != std::string_view::npos) {
    return malformed("a CR in its head ends no line");
  }
  const bool ends_with_code = line.size() == kStatusLine && is_number(line.substr(kStatusLine - 3));
  put(std::string(line) + (ends_with_code ? " " : ""));
  while (!head.empty()) {
    line = next_line(head);
    if (line.find('\r') != std::string_view::npos) {
      return malformed("a CR in its head ends no line");
    }
    if (line.empty()) {
      break;
    }
    RETURN_IF_ERROR(take_field(line));
  }
  if (!length_.empty() && has_coding_) {
    return malformed("it has both a Content-Length and a Transfer-Encoding");
  }
  put("");
  return std::move(text_);
}

Result<void> Mender::take_field(std::string_view line) {
  if (is_space(line.front())) {
    if (name_.empty()) {
      return malformed("white space stands before its first field");
    }
    const auto is_name = [this](std::string_view each) { return equals_ignoring_case(each, name_); };
    if (std::any_of(kFraming.begin(), kFraming.end(), is_name)) {
      return malformed("its field " + std::string(name_) + " is folded");
    }
    put(line);
    return {};
  }
  const std::size_t colon = std::min(line.find(':'), line.size());
  name_ = line.substr(0, colon);
  const std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (equals_ignoring_case(name_, "Content-Length")) {
    return take_length(value);
  }
  if (equals_ignoring_case(name_, "Transfer-Encoding")) {
    take_codings(value);
    return {};
  }
  put(line);
  return {};
}

Result<void> Mender::take_length(std::string_view value) {
  do {
    const std::string_view member = next_member(value);
    if (!is_number(member)) {
      return malformed("its Content-Length is no number");
    }
    const std::string_view length = without_zeros(member);
    if (!length_.empty() && length != length_) {
      return malformed("it has two lengths that differ");
    }
    if (length_.empty()) {
      put("Content-Length: " + std::string(length));
    }
    length_ = length;
  } while (!value.empty());
  return {};
}

void Mender::take_codings(std::string_view value) {
  std::string left;
  while (!value.empty()) {
    const std::string_view coding = next_member(value);
    if (!coding.empty() && !equals_ignoring_case(coding, "identity")) {
      left.append(left.empty() ? "" : ", ").append(coding);
    }
  }
  if (!left.empty()) {
    has_coding_ = true;
    put("Transfer-Encoding: " + left);
  }
}

}  // namespace

std::optional<std::size_t> head_size(std::string_view bytes, std::size_t searched) {
  // The end may have begun in the searched bytes: "\n\r" of "\n\r\n".
  std::size_t at = searched < 2 ? 0 : searched - 2;
  while ((at = bytes.find('\n', at)) != std::string_view::npos) {
    ++at;
    if (bytes.substr(at, 1) == "\n") {
      return at + 1;
    }
    if (bytes.substr(at, 2) == "\r\n") {
      return at + 2;
    }
  }
  return std::nullopt;
}

Result<std::string> normal_head(std::string_view head) {
  return Mender().mend(head);
}

}  // namespace ocsp_plus::net
