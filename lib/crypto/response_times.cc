#include "crypto/response_times.h"

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

using TimePtr = OpenSslPtr<ASN1_STRING, ASN1_STRING_free>;

// ResponseBytes contains the basic response in an OCTET STRING, the only one at this level.
constexpr int kLevelOfResponse = 3;
constexpr int kMaxLevel = 32;  // a response with certificates has about 16

bool is_malformed(int type, ByteView text) {
  const TimePtr time(ASN1_STRING_type_new(type));
  if (time == nullptr || ASN1_STRING_set(time.get(), text.data(), static_cast<int>(text.size())) != 1) {
    return false;
  }
  return type == V_ASN1_GENERALIZEDTIME ? !parse_generalized_time(time.get()) : !parse_certificate_time(time.get());
}

bool has_malformed_time(ByteView elements, int level) {  // NOLINT(misc-no-recursion): to kMaxLevel
  const unsigned char* in = elements.data();
  while (in != elements.end() && level <= kMaxLevel) {
    long length = 0;
    int tag = 0;
    int tag_class = 0;
    const int flags = ASN1_get_object(&in, &length, &tag, &tag_class, static_cast<long>(elements.end() - in));
    if ((flags & 0x81) != 0) {  // cut short, or of indefinite length
      return false;
    }
    const ByteView content(in, static_cast<std::size_t>(length));
    const int type = tag_class == V_ASN1_UNIVERSAL ? tag : V_ASN1_UNDEF;
    const bool is_time = type == V_ASN1_GENERALIZEDTIME || type == V_ASN1_UTCTIME;
    const bool is_response = type == V_ASN1_OCTET_STRING && level == kLevelOfResponse;
    const bool holds_elements = (flags & V_ASN1_CONSTRUCTED) != 0 || is_response;
    if (is_time ? is_malformed(type, content) : holds_elements && has_malformed_time(content, level + 1)) {
      return true;
    }
    in = content.end();
  }
  return false;
}

}  // namespace

bool has_malformed_time(ByteView response) {
  const ErrorMark mark;
  return has_malformed_time(response, 0);
}

}  // namespace ocsp_plus::crypto
