#include "crypto/response.h"

#include <fmt/format.h>

#include <optional>

#include "crypto/der.h"
#include "crypto/response_times.h"
#include "crypto/verify.h"

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

// Returns whether more follows than the [0] that may end the structure. A broken [0] is malformed, not more.
bool is_more_than(const std::optional<ByteView>& tagged, const Elements& elements) {
  constexpr std::uint8_t kTag = 0xa0;
  return !elements.empty() && (tagged.has_value() || *elements.left().begin() != kTag);
}

// Returns whether bytes follow the last field inside OCSPResponse, ResponseBytes or BasicOCSPResponse. Used only to
// explain a refusal.
bool octets_follow_inside(ByteView response) {
  const auto outer = Elements(response).take(V_ASN1_SEQUENCE);
  Elements fields(outer.value_or(ByteView()));
  if (!fields.take(V_ASN1_ENUMERATED)) {
    return false;
  }
  const auto tagged = fields.take(0, V_ASN1_CONTEXT_SPECIFIC);
  if (!tagged || !fields.empty()) {
    return is_more_than(tagged, fields);
  }
  Elements in_tag(*tagged);
  const auto response_bytes = in_tag.take(V_ASN1_SEQUENCE);
  if (!response_bytes || !in_tag.empty()) {
    return response_bytes.has_value();
  }
  Elements in_bytes(*response_bytes);
  const bool has_type = in_bytes.take(V_ASN1_OBJECT).has_value();
  const auto octets = in_bytes.take(V_ASN1_OCTET_STRING);
  if (!has_type || !octets || !in_bytes.empty()) {
    return has_type && octets.has_value();
  }
  Elements in_octets(*octets);
  const auto basic = in_octets.take(V_ASN1_SEQUENCE);
  if (!basic || !in_octets.empty()) {
    return basic.has_value();
  }
  Elements in_basic(*basic);
  const bool is_signed =
      in_basic.take(V_ASN1_SEQUENCE) && in_basic.take(V_ASN1_SEQUENCE) && in_basic.take(V_ASN1_BIT_STRING);
  const auto certificates = in_basic.take(0, V_ASN1_CONTEXT_SPECIFIC);
  return is_signed && is_more_than(certificates, in_basic);
}

// Returns the error for octets that do not parse.
tl::unexpected<Error> refuse(ByteView response, std::string otherwise) {
  return octets_follow_inside(response) ? fail(Reason::kTrailingData, "octets follow inside the response")
                                        : fail(Reason::kMalformedResponse, std::move(otherwise));
}

// Returns what came in place of a response: a page of a portal, a file in PEM, nothing. Empty if it may be a damaged
// response.
std::string describe_foreign(ByteView octets) {
  constexpr std::size_t kShown = 60;
  constexpr std::uint8_t kSequence = V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED;
  if (octets.empty()) {
    return "it is empty";
  }
  return *octets.begin() == kSequence
             ? std::string()
             : fmt::format("its {} octets begin with {}", octets.size(), octets.text().substr(0, kShown));
}

// A signature covers the received octets, but OpenSSL verifies its own encoding of the parsed values. The two are
// equal only for DER (RFC 6960 section 4.2.1), so anything else is refused, trailing octets inside included. The
// outer response contains the inner one as octets.
bool is_der(const OCSP_RESPONSE* outer, const OCSP_BASICRESP* basic, ByteView response) {
  const auto encodes_to = [](int size, unsigned char* der, ByteView octets) {
    const BytesPtr owner(der);
    return size > 0 && ByteView(der, static_cast<std::size_t>(size)) == octets;
  };
  unsigned char* outer_der = nullptr;
  const int outer_size = i2d_OCSP_RESPONSE(outer, &outer_der);
  if (!encodes_to(outer_size, outer_der, response)) {
    return false;
  }
  const auto fields = Elements(response).take(V_ASN1_SEQUENCE);
  Elements in_response(fields.value_or(ByteView()));
  in_response.take(V_ASN1_ENUMERATED);
  Elements in_tag(in_response.take(0, V_ASN1_CONTEXT_SPECIFIC).value_or(ByteView()));
  Elements in_bytes(in_tag.take(V_ASN1_SEQUENCE).value_or(ByteView()));
  in_bytes.take(V_ASN1_OBJECT);
  const auto inner = in_bytes.take(V_ASN1_OCTET_STRING);
  unsigned char* inner_der = nullptr;
  const int inner_size = i2d_OCSP_BASICRESP(basic, &inner_der);
  return encodes_to(inner_size, inner_der, inner.value_or(ByteView()));
}

}  // namespace

Result<OcspBasicPtr> parse_response(ByteView response) {
  const ErrorMark mark;
  const unsigned char* in = response.data();
  const OcspResponsePtr outer(d2i_OCSP_RESPONSE(nullptr, &in, static_cast<long>(response.size())));
  if (outer == nullptr) {
    const std::string foreign = describe_foreign(response);
    return refuse(response, foreign.empty() ? mark.text() : foreign);
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
    if (!octets_follow_inside(response) && has_malformed_time(response)) {
      return fail(Reason::kMalformedTime, "a time in it is malformed: " + mark.text());
    }
    return refuse(response, mark.text());
  }
  if (!is_der(outer.get(), basic.get(), response)) {
    return refuse(response, "it is not encoded in DER");
  }
  return basic;
}

ByteView cut_trailing(ByteView octets) {
  Elements elements(octets);
  if (!elements.take(V_ASN1_SEQUENCE)) {
    return octets;
  }
  return {octets.data(), octets.size() - elements.left().size()};
}

}  // namespace ocsp_plus::crypto
