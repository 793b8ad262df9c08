// The half of the test PKI that writes OCSP responses, octet by octet.
#include "crypto/ossl.h"
#include "tests/pki.h"
#include "tests/pki_internal.h"

namespace ocsp_plus::testing {
namespace {

Bytes time_der(const std::string& text) {
  return der::tlv(V_ASN1_GENERALIZEDTIME, ByteView(text));
}

Bytes extensions_der(std::uint8_t tag, const std::vector<Extension>& extensions) {
  if (extensions.empty()) {
    return {};
  }
  std::vector<Bytes> parts;
  for (const Extension& extension : extensions) {
    parts.push_back(der::sequence({der::oid(extension.oid), extension.critical ? der::boolean(true) : Bytes(),
                                   der::octet_string(extension.value)}));
  }
  return der::tlv(tag, der::sequence(parts));
}

Bytes reason_der(const std::optional<int>& reason) {
  return reason ? der::tlv(0xa0, der::tlv(V_ASN1_ENUMERATED, Bytes{static_cast<std::uint8_t>(*reason)})) : Bytes();
}

Bytes status_der(const SingleSpec& spec) {
  switch (spec.status) {
    case Status::kGood:
      return der::tlv(0x80, {});
    case Status::kRevoked:
      return der::tlv(0xa1, der::join({time_der(spec.revoked_at), reason_der(spec.revoked_for)}));
    case Status::kUnknown:
      return der::tlv(0x82, {});
  }
  return {};
}

Bytes single_der(const SingleSpec& spec, const Identity& leaf, const Identity& issuer) {
  const EVP_MD* digest = EVP_get_digestbyname(spec.hash.c_str());
  require(digest != nullptr, spec.hash.c_str());
  const Bytes name = encode(X509_get_subject_name(issuer.get()), i2d_X509_NAME);
  const ByteView key = crypto::view(X509_get0_pubkey_bitstr(issuer.get()));
  const Bytes id =
      der::sequence({der::sequence({der::oid(spec.hash_oid.empty() ? spec.hash : spec.hash_oid),
                                    spec.hash_parameters ? der::null() : Bytes()}),
                     der::octet_string(spec.name_hash.value_or(hash(digest, name))),
                     der::octet_string(spec.key_hash.value_or(hash(digest, key))),
                     der::integer(spec.serial.value_or(crypto::integer_octets(X509_get0_serialNumber(leaf.get()))))});
  return der::sequence({id, status_der(spec), time_der(spec.this_update),
                        spec.next_update ? der::tlv(0xa0, time_der(*spec.next_update)) : Bytes(),
                        extensions_der(0xa1, spec.extensions)});
}

Bytes responder_id_der(const ResponseSpec& spec, const Identity& signer) {
  if (spec.responder_id) {
    return *spec.responder_id;
  }
  return spec.by_key ? der::tlv(0xa2, der::octet_string(key_sha1(signer.key)))
                     : der::tlv(0xa1, encode(X509_get_subject_name(signer.get()), i2d_X509_NAME));
}

Bytes response_data(const ResponseSpec& spec, const Identity& leaf, const Identity& issuer, const Identity& signer) {
  std::vector<Bytes> singles;
  for (const SingleSpec& single : spec.singles) {
    singles.push_back(single_der(single, leaf, issuer));
  }
  const Bytes version =
      spec.version ? der::tlv(0xa0, der::integer(Bytes{static_cast<std::uint8_t>(*spec.version)})) : Bytes();
  return der::sequence({version, responder_id_der(spec, signer), time_der(spec.produced_at), der::sequence(singles),
                        extensions_der(0xa1, spec.extensions)});
}

Bytes bit_string(ByteView content) {
  return der::tlv(V_ASN1_BIT_STRING, der::join({{0}, content.copy()}));
}

}  // namespace

std::string generalized_time(UnixSeconds time) {
  std::string text;
  for (const char byte : to_rfc3339(time)) {
    if (byte != '-' && byte != ':' && byte != 'T') {
      text.push_back(byte);
    }
  }
  return text;
}

Bytes make_response(const ResponseSpec& spec, const Identity& leaf, const Identity& issuer, const Identity& signer) {
  const Bytes status = der::tlv(V_ASN1_ENUMERATED, Bytes{static_cast<std::uint8_t>(spec.status)});
  if (spec.status != 0) {
    return der::join({der::sequence({status, spec.outer_trailing}), spec.trailing});
  }
  const Bytes data = response_data(spec, leaf, issuer, signer);
  Signed made = sign(data, signer.key, spec.digest);
  if (spec.break_signature) {
    made.signature.back() ^= 0x01;
  }
  const bool has_certificates = spec.empty_certificates || !spec.certificates.empty();
  const Bytes basic = der::sequence(
      {data, spec.signature_algorithm.value_or(made.algorithm), bit_string(made.signature),
       has_certificates ? der::tlv(0xa0, der::sequence(spec.certificates)) : Bytes(), spec.basic_trailing});
  const Bytes bytes = der::sequence(
      {der::oid(spec.type), der::octet_string(der::join({basic, spec.inner_trailing})), spec.bytes_trailing});
  return der::join(
      {der::sequence({status, der::tlv(0xa0, der::join({bytes, spec.tag_trailing})), spec.outer_trailing}),
       spec.trailing});
}

Bytes simple_response(const Identity& leaf, const Identity& issuer, Status status, UnixSeconds this_update,
                      UnixSeconds next_update) {
  ResponseSpec spec;
  spec.produced_at = generalized_time(this_update);
  spec.singles.front().status = status;
  spec.singles.front().this_update = generalized_time(this_update);
  spec.singles.front().next_update = generalized_time(next_update);
  return make_response(spec, leaf, issuer, issuer);
}

Bytes error_response(int status) {
  return der::sequence({der::tlv(V_ASN1_ENUMERATED, Bytes{static_cast<std::uint8_t>(status)})});
}

}  // namespace ocsp_plus::testing
