// What is wrong with its times.
#include "tests/verify_cases.h"

namespace ocsp_plus::testing {
namespace {

// A response that no OpenSSL parses: it has a ResponderID of a third kind. Those of 3.5 and newer parse none with a
// time that is too short either, and what is said of it must be the same with all.
void make_unparsable(VerifySetup& s) {
  s.spec.responder_id = der::tlv(0xa3, der::null());
}

}  // namespace

CaseTable time_cases() {
  const auto malformed = [](const std::string& text) {
    return [text](VerifySetup& s) { s.single().this_update = text; };
  };
  return {
      {"thisUpdate with a fraction", Reason::kMalformedTime, malformed("20300601110000.5Z")},
      {"thisUpdate with an offset", Reason::kMalformedTime, malformed("20300601110000+0000")},
      {"thisUpdate without seconds", Reason::kMalformedTime, malformed("203006011100Z")},
      {"thisUpdate without Z", Reason::kMalformedTime, malformed("20300601110000")},
      {"thisUpdate in a zone of the army", Reason::kMalformedTime, malformed("20300601110000A")},
      {"thisUpdate on the 31st of June", Reason::kMalformedTime, malformed("20300631110000Z")},
      {"thisUpdate on the 29th of February of no leap year", Reason::kMalformedTime, malformed("20300229110000Z")},
      {"thisUpdate in a leap second", Reason::kMalformedTime, malformed("20291231235960Z")},
      {"thisUpdate with a sign", Reason::kMalformedTime, malformed("2030060111000+Z")},
      {"thisUpdate with a NUL", Reason::kMalformedTime, malformed(std::string("2030060111000\0Z", 15))},
      {"thisUpdate empty", Reason::kMalformedTime, malformed("")},
      {"nextUpdate malformed", Reason::kMalformedTime, [](VerifySetup& s) { s.single().next_update = "2030061"; }},
      {"nextUpdate with a fraction", Reason::kMalformedTime,
       [](VerifySetup& s) { s.single().next_update = "20300604120000.5Z"; }},
      {"nextUpdate with an offset", Reason::kMalformedTime,
       [](VerifySetup& s) { s.single().next_update = "20300604120000+0100"; }},
      {"producedAt with an offset", Reason::kMalformedTime,
       [](VerifySetup& s) { s.spec.produced_at = "20300601110000-0100"; }},
      {"nextUpdate in the 13th month", Reason::kMalformedTime,
       [](VerifySetup& s) { s.single().next_update = "20301301000000Z"; }},
      {"producedAt malformed", Reason::kMalformedTime,
       [](VerifySetup& s) { s.spec.produced_at = "20300601110000.5Z"; }},
      {"thisUpdate beyond the skew", Reason::kThisUpdateInFuture,
       [](VerifySetup& s) { s.single().this_update = generalized_time(kNow + 301); }},
      {"thisUpdate beyond a skew of none", Reason::kThisUpdateInFuture,
       [](VerifySetup& s) {
         s.policy.clock_skew = 0;
         s.single().this_update = generalized_time(kNow + 1);
       }},
      {"nextUpdate is now", Reason::kExpired,
       [](VerifySetup& s) { s.single().next_update = generalized_time(kNow); }},
      {"nextUpdate a year ago", Reason::kExpired,
       [](VerifySetup& s) {
         s.single().this_update = generalized_time(kNow - 400 * kDay);
         s.single().next_update = generalized_time(kNow - 365 * kDay);
       }},
      {"a replay of 1999", Reason::kExpired,
       [](VerifySetup& s) {
         s.single().this_update = "19990101000000Z";
         s.single().next_update = "19990108000000Z";
       }},
      {"nextUpdate equals thisUpdate", Reason::kNextUpdateBeforeThisUpdate,
       [](VerifySetup& s) { s.single().next_update = s.single().this_update; }},
      {"nextUpdate before thisUpdate", Reason::kNextUpdateBeforeThisUpdate,
       [](VerifySetup& s) {
         s.single().this_update = generalized_time(kNow + 100);
         s.single().next_update = generalized_time(kNow + 50);
       }},
      {"nextUpdate in year zero", Reason::kNextUpdateBeforeThisUpdate,
       [](VerifySetup& s) { s.single().next_update = "00000101000000Z"; }},
      {"no nextUpdate, a day old", Reason::kTooOldWithoutNextUpdate,
       [](VerifySetup& s) {
         s.single().this_update = generalized_time(kNow - kDay);
         s.single().next_update.reset();
       }},
      {"producedAt in the future", Reason::kProducedAtInFuture,
       [](VerifySetup& s) { s.spec.produced_at = generalized_time(kNow + 301); }},
      {"producedAt before the signer's certificate", Reason::kProducedAtOutsideSigner,
       [](VerifySetup& s) {
         s.use_signer(delegate());
         s.spec.produced_at = generalized_time(kNow - 366 * kDay);
       }},
      {"the certificate ends now", Reason::kCertificateExpired,
       [](VerifySetup& s) {
         s.now = kNow + 365 * kDay;
         s.single().next_update = "20500101000000Z";
       }},
      {"two good ones, one expired", Reason::kExpired,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kGood, "SHA256")};
         s.spec.singles[1].next_update = generalized_time(kNow - 1);
       }},
      {"two good ones, one malformed", Reason::kMalformedTime,
       [](VerifySetup& s) {
         s.spec.singles = {single_with(Status::kGood), single_with(Status::kGood)};
         s.spec.singles[0].this_update = "yesterday";
       }},
      {"the signer's certificate ends at no time", Reason::kMalformedTime,
       [](VerifySetup& s) { s.use_signer(delegate([](CertificateSpec& c) { c.raw_not_after = "29x228235959Z"; })); }},
      {"unparsable, with right times", Reason::kMalformedResponse,
       [](VerifySetup& s) {
         make_unparsable(s);
         s.spec.certificates = {delegate().der()};
       }},
      {"unparsable, with a nextUpdate that is too short", Reason::kMalformedTime,
       [](VerifySetup& s) {
         make_unparsable(s);
         s.single().next_update = "2030060112Z";
       }},
      {"unparsable, with an empty producedAt", Reason::kMalformedTime,
       [](VerifySetup& s) {
         make_unparsable(s);
         s.spec.produced_at.clear();
       }},
      {"unparsable, revoked at a malformed time", Reason::kMalformedTime,
       [](VerifySetup& s) {
         make_unparsable(s);
         s.single().status = Status::kRevoked;
         s.single().revoked_at = "yesterday";
       }},
      {"unparsable, with a certificate that ends at no time", Reason::kMalformedTime,
       [](VerifySetup& s) {
         make_unparsable(s);
         s.spec.certificates = {delegate([](CertificateSpec& c) { c.raw_not_after = "29x228235959Z"; }).der()};
       }},
      {"unparsable, with malformed times where none belong", Reason::kMalformedResponse,
       [](VerifySetup& s) {
         make_unparsable(s);
         s.spec.extensions = {{"1.2.3.4", false, der::tlv(0x18, {})}};
         s.single().key_hash = der::tlv(0x18, {});
       }},
  };
}

}  // namespace ocsp_plus::testing
