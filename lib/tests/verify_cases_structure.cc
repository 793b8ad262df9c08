// What is wrong with the response as a whole.
#include "tests/verify_cases.h"

namespace ocsp_plus::testing {

CaseTable status_cases() {
  return {
      {"malformedRequest", Reason::kMalformedRequest, [](VerifySetup& s) { s.spec.status = 1; }},
      {"internalError", Reason::kInternalError, [](VerifySetup& s) { s.spec.status = 2; }},
      {"tryLater", Reason::kTryLater, [](VerifySetup& s) { s.spec.status = 3; }},
      {"the unused status 4", Reason::kUnknownResponseStatus, [](VerifySetup& s) { s.spec.status = 4; }},
      {"sigRequired", Reason::kSigRequired, [](VerifySetup& s) { s.spec.status = 5; }},
      {"unauthorized", Reason::kUnauthorized, [](VerifySetup& s) { s.spec.status = 6; }},
      {"a status out of range", Reason::kUnknownResponseStatus, [](VerifySetup& s) { s.spec.status = 0x7f; }},
      {"a negative status", Reason::kUnknownResponseStatus, [](VerifySetup& s) { s.spec.status = 0xff; }},
      {"tryLater with octets after it", Reason::kTryLater,
       [](VerifySetup& s) {
         s.spec.status = 3;
         s.spec.trailing = {0x00};
       }},
      {"tryLater with octets in it", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.status = 3;
         s.spec.outer_trailing = {0x05, 0x00};
       }},
  };
}

CaseTable structure_cases() {
  return {
      {"no octets at all", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { b.clear(); }; }},
      {"an HTML page", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { b = ByteView("<html>busy</html>").copy(); }; }},
      {"the last octet missing", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { b.pop_back(); }; }},
      {"half of it", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { b.resize(b.size() / 2); }; }},
      {"successful without a body", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { b = error_response(0); }; }},
      {"octets after BasicOCSPResponse", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.inner_trailing = {0x05, 0x00};
       }},
      {"an octet after BasicOCSPResponse", Reason::kTrailingData,
       [](VerifySetup& s) { s.spec.inner_trailing = {0x0a}; }},
      {"octets inside OCSPResponse", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.outer_trailing = {0x05, 0x00};
       }},
      {"octets after ResponseBytes", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.tag_trailing = {0x05, 0x00};
       }},
      {"octets inside ResponseBytes", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.bytes_trailing = {0x05, 0x00};
       }},
      {"octets inside BasicOCSPResponse", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.basic_trailing = {0x05, 0x00};
       }},
      {"octets inside and after the end", Reason::kTrailingData,
       [](VerifySetup& s) {
         s.spec.inner_trailing = {0x05, 0x00};
         s.spec.trailing = {0x0a};
       }},
      {"an outer SEQUENCE longer than all there is", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { ++b[3]; }; }},
      {"an outer SEQUENCE shorter than what it holds", Reason::kMalformedResponse,
       [](VerifySetup& s) { s.damage = [](Bytes& b) { --b[3]; }; }},
      {"BER of indefinite length", Reason::kMalformedResponse,
       [](VerifySetup& s) {
         s.damage = [](Bytes& b) {
           b.erase(b.begin(), b.begin() + 4);  // 30 82 xx xx
           b.insert(b.begin(), {0x30, 0x80});
           b.insert(b.end(), {0x00, 0x00});
         };
       }},
      {"another response type", Reason::kNotBasicResponse,
       [](VerifySetup& s) { s.spec.type = "1.3.6.1.5.5.7.48.1.2"; }},
      {"version 2", Reason::kUnsupportedVersion, [](VerifySetup& s) { s.spec.version = 1; }},
      {"a negative version", Reason::kUnsupportedVersion, [](VerifySetup& s) { s.spec.version = 0xff; }},
      {"an unknown critical extension", Reason::kUnknownCriticalExtension,
       [](VerifySetup& s) { s.spec.extensions = {some_extension(true)}; }},
      {"a critical nonce we did not ask for", Reason::kUnknownCriticalExtension,
       [](VerifySetup& s) {
         s.spec.extensions = {{"Nonce", true, der::octet_string(Bytes(16, 7))}};
       }},
      {"a critical extension of the single response", Reason::kUnknownCriticalExtension,
       [](VerifySetup& s) {
         s.single().extensions = {some_extension(false), some_extension(true)};
       }},
      {"a critical extension of another single response", Reason::kUnknownCriticalExtension,
       [](VerifySetup& s) {
         SingleSpec other;
         other.serial = Bytes{0x07};
         other.extensions = {some_extension(true)};
         s.spec.singles.push_back(other);
       }},
  };
}

}  // namespace ocsp_plus::testing
