#include "crypto/ocsp_request.h"

#include <algorithm>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

// Converts content octets to OpenSSL's INTEGER, which stores sign and magnitude.
Asn1IntegerPtr make_integer(const Bytes& octets) {
  const int size = static_cast<int>(octets.size());
  Bytes der(static_cast<std::size_t>(ASN1_object_size(0, size, V_ASN1_INTEGER)));
  unsigned char* out = der.data();
  ASN1_put_object(&out, 0, size, V_ASN1_INTEGER, V_ASN1_UNIVERSAL);
  std::copy(octets.begin(), octets.end(), out);
  const unsigned char* in = der.data();
  return Asn1IntegerPtr(d2i_ASN1_INTEGER(nullptr, &in, static_cast<long>(der.size())));
}

std::string base64(ByteView bytes) {
  // EVP_EncodeBlock adds a NUL.
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::string percent_encode(std::string_view base64_text) {
  std::string encoded;
  encoded.reserve(base64_text.size() + 16);
  for (const char byte : base64_text) {
    switch (byte) {
      case '+':
        encoded += "%2B";
        break;
      case '/':
        encoded += "%2F";
        break;
      case '=':
        encoded += "%3D";
        break;
      default:
        encoded += byte;
    }
  }
  return encoded;
}

}  // namespace

Result<OcspRequest> make_request(const Certificate& certificate, const Issuer& issuer, CertIdHash hash) {
  const ErrorMark mark;
  const Asn1IntegerPtr serial = make_integer(certificate.serial);
  const OcspRequestPtr request(OCSP_REQUEST_new());
  if (serial == nullptr || request == nullptr) {
    return fail(Reason::kInternal, "no OCSP request could be made: " + mark.text());
  }
  // Uses name and key of the issuer's certificate, not the leaf's issuer field: RFC 6960 section 4.1.1 hashes "the
  // issuer's DN", and responders compare octets.
  CertIdPtr id(OCSP_cert_id_new(hash == CertIdHash::kSha1 ? EVP_sha1() : EVP_sha256(),
                                X509_get_subject_name(issuer.certificate()),
                                X509_get0_pubkey_bitstr(issuer.certificate()), serial.get()));
  if (id == nullptr || OCSP_request_add0_id(request.get(), id.get()) == nullptr) {
    return fail(Reason::kInternal, "no OCSP request could be made: " + mark.text());
  }
  static_cast<void>(id.release());  // the request owns it now

  unsigned char* der = nullptr;
  const int size = i2d_OCSP_REQUEST(request.get(), &der);
  const BytesPtr owner(der);
  if (size <= 0) {
    return fail(Reason::kInternal, "no OCSP request could be encoded: " + mark.text());
  }
  OcspRequest out;
  out.der.assign(der, der + size);
  out.get_path = percent_encode(base64(out.der));
  return out;
}

}  // namespace ocsp_plus::crypto
