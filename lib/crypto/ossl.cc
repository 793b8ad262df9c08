#include "crypto/ossl.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "crypto/der.h"

namespace ocsp_plus::crypto {
namespace {

constexpr const char* kNone = "no reason given";

void append(std::string* text, unsigned long code) {
  std::array<char, 256> line = {};
  ERR_error_string_n(code, line.data(), line.size());
  *text += text->empty() ? "" : "; ";
  *text += line.data();
}

}  // namespace

ErrorMark::ErrorMark() : before_(look()) {
  ERR_set_mark();  // an empty queue cannot be marked; then pop_to_mark removes all errors
}

ErrorMark::Newest ErrorMark::look() {
  Newest newest;
  int flags = 0;
  newest.code = ERR_peek_last_error_all(&newest.file, &newest.line, &newest.function, &newest.data, &flags);
  return newest;
}

unsigned long ErrorMark::newest() const {
  const Newest now = look();
  const bool is_new = now.code != before_.code || now.file != before_.file || now.line != before_.line ||
                      now.function != before_.function || now.data != before_.data;
  return is_new ? now.code : 0;
}

void ErrorMark::Seen::add(unsigned long code) {
  append(&text, code);
  out_of_memory = out_of_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
}

ErrorMark::Seen ErrorMark::take() const {
  Seen seen;
  if (before_.code == 0) {
    while (const unsigned long code = ERR_get_error()) {
      seen.add(code);
    }
  } else if (const unsigned long code = newest()) {
    seen.add(code);
  }
  return seen;
}

std::string ErrorMark::text() const {
  const Seen seen = take();
  return seen.text.empty() ? kNone : seen.text;
}

bool ErrorMark::ran_out_of_memory() const {
  return take().out_of_memory;
}

tl::unexpected<Error> ErrorMark::failure(Reason otherwise, const std::string& what) const {
  const Seen seen = take();
  return fail(seen.out_of_memory ? Reason::kOutOfMemory : otherwise,
              what + ": " + (seen.text.empty() ? kNone : seen.text));
}

ErrorsSetAside::ErrorsSetAside() {
  const char* file = nullptr;
  const char* function = nullptr;
  const char* data = nullptr;
  int line = 0;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(&file, &line, &function, &data, &flags)) {
    errors_.push_back({code, line, (flags & ERR_TXT_STRING) != 0, file, function, data});
  }
}

ErrorsSetAside::~ErrorsSetAside() {
  ERR_clear_error();
  for (const Queued& error : errors_) {
    ERR_new();
    ERR_set_debug(error.file.c_str(), error.line, error.function.c_str());
    ERR_set_error(ERR_GET_LIB(error.code), ERR_GET_REASON(error.code), error.has_data ? "%s" : nullptr,
                  error.data.c_str());
  }
}

std::string ErrorsSetAside::text() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    append(&text, code);
  }
  return text.empty() ? kNone : text;
}

Bytes integer_octets(const ASN1_INTEGER* integer) {
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_INTEGER(integer, &der);
  const BytesPtr owner(der);
  if (size <= 0) {
    return {};
  }
  return Elements(ByteView(der, static_cast<std::size_t>(size))).take(V_ASN1_INTEGER).value_or(ByteView()).copy();
}

ByteView name_der(const X509_NAME* name) {
  const unsigned char* der = nullptr;
  std::size_t size = 0;
  if (name == nullptr || X509_NAME_get0_der(name, &der, &size) != 1) {
    return {};
  }
  return {der, size};
}

std::string name_text(const X509_NAME* name) {
  const BioPtr memory(BIO_new(BIO_s_mem()));
  // Without ESC_MSB the bytes above 0x7f stay UTF-8 instead of becoming \xx.
  constexpr unsigned long kFlags = XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (memory == nullptr || name == nullptr || X509_NAME_print_ex(memory.get(), name, 0, kFlags) < 0) {
    return {};
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

std::optional<UnixSeconds> parse_generalized_time(const ASN1_GENERALIZEDTIME* time) {
  static constexpr std::size_t kSize = sizeof("YYYYMMDDHHMMSSZ") - 1;
  if (time == nullptr || ASN1_STRING_length(time) != static_cast<int>(kSize)) {
    return std::nullopt;
  }
  const std::string_view text = view(time).text();
  if (text.back() != 'Z') {
    return std::nullopt;
  }
  // Uses the project's one date parser, which checks every field's range.
  return parse_rfc3339(fmt::format("{}-{}-{}T{}:{}:{}Z", text.substr(0, 4), text.substr(4, 2), text.substr(6, 2),
                                   text.substr(8, 2), text.substr(10, 2), text.substr(12, 2)));
}

std::optional<UnixSeconds> parse_certificate_time(const ASN1_TIME* time) {
  std::tm broken_down = {};
  // OpenSSL takes a null pointer for "now".
  if (time == nullptr || ASN1_TIME_to_tm(time, &broken_down) != 1) {
    return std::nullopt;
  }
  return unix_seconds(broken_down.tm_year + 1900, broken_down.tm_mon + 1, broken_down.tm_mday, broken_down.tm_hour,
                      broken_down.tm_min, broken_down.tm_sec);
}

}  // namespace ocsp_plus::crypto
