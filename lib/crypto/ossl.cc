#include "crypto/ossl.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

namespace ocsp_plus::crypto {

std::string drain_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    std::array<char, 256> line = {};
    ERR_error_string_n(code, line.data(), line.size());
    text += text.empty() ? "" : "; ";
    text += line.data();
  }
  return text.empty() ? "no reason given" : text;
}

bool ran_out_of_memory() {
  bool found = false;
  while (const unsigned long code = ERR_get_error()) {
    found = found || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
  }
  return found;
}

Bytes integer_octets(const ASN1_INTEGER* integer) {
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_INTEGER(integer, &der);
  const BytesPtr owner(der);
  if (size <= 0) {
    return {};
  }
  const unsigned char* content = der;
  long length = 0;
  int tag = 0;
  int tag_class = 0;
  if ((ASN1_get_object(&content, &length, &tag, &tag_class, size) & 0x80) != 0) {
    return {};
  }
  return Bytes(content, content + length);
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
  // One parser of dates for the whole project, which checks every field's range.
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
