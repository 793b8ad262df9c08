#include "crypto/response.h"

#include <fmt/format.h>

#include "crypto/response_times.h"

namespace ocsp_plus::crypto {
namespace {

// OCSPResponseStatus, RFC 6960 section 4.2.1; 4 is not used.
Reason reason_of_status(int status) {
  switch (status) {
    case OCSP_RESPONSE_STATUS_SUCCESSFUL:
      return Reason::kOk;
    case OCSP_RESPONSE_STATUS_MALFORMEDREQUEST:
      return Reason::kMalformedRequest;
    case OCSP_RESPONSE_STATUS_INTERNALERROR:
      return Reason::kInternalError;
    case OCSP_RESPONSE_STATUS_TRYLATER:
      return Reason::kTryLater;
    case OCSP_RESPONSE_STATUS_SIGREQUIRED:
      return Reason::kSigRequired;
    case OCSP_RESPONSE_STATUS_UNAUTHORIZED:
      return Reason::kUnauthorized;
    default:
      return Reason::kUnknownResponseStatus;
  }
}

// A signature covers octets, OpenSSL verifies what it encodes again from the parsed values. The two are the same
// only for DER (RFC 6960 section 4.2.1), so anything else is refused, octets after an inner end among it.
bool is_der(OCSP_BASICRESP* basic, ByteView response) {
  const OcspResponsePtr again(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic));
  unsigned char* der = nullptr;
  const int size = again == nullptr ? -1 : i2d_OCSP_RESPONSE(again.get(), &der);
  const BytesPtr owner(der);
  return size > 0 && ByteView(der, static_cast<std::size_t>(size)) == response;
}

}  // namespace

Result<OcspBasicPtr> parse_response(ByteView response) {
  const ErrorMark mark;
  const unsigned char* in = response.data();
  const OcspResponsePtr outer(d2i_OCSP_RESPONSE(nullptr, &in, static_cast<long>(response.size())));
  if (outer == nullptr) {
    return fail(Reason::kMalformedResponse, mark.text());
  }
  if (in != response.end()) {
    return fail(Reason::kTrailingData, fmt::format("{} octets follow the response", response.end() - in));
  }
  const int status = OCSP_response_status(outer.get());
  if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return fail(reason_of_status(status), fmt::format("the response status is {}", status));
  }
  OcspBasicPtr basic(OCSP_response_get1_basic(outer.get()));
  if (basic == nullptr) {
    const unsigned long code = mark.newest();
    const bool is_other_type = ERR_GET_LIB(code) == ERR_LIB_OCSP && ERR_GET_REASON(code) == OCSP_R_NOT_BASIC_RESPONSE;
    if (is_other_type) {
      return fail(Reason::kNotBasicResponse, mark.text());
    }
    if (has_malformed_time(response)) {
      return fail(Reason::kMalformedTime, "a time in it is malformed: " + mark.text());
    }
    return fail(Reason::kMalformedResponse, mark.text());
  }
  if (!is_der(basic.get(), response)) {
    return fail(Reason::kMalformedResponse, "it is not encoded in DER");
  }
  return basic;
}

}  // namespace ocsp_plus::crypto
