#include "crypto/cert_id.h"

#include <openssl/objects.h>

#include <array>

#include "crypto/der.h"
#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

using ObjectPtr = OpenSslPtr<ASN1_OBJECT, ASN1_OBJECT_free>;

}  // namespace

// Reads the DER: an nginx with OpenSSL linked in lacks OCSP_id_get0_info(), which nginx itself does not use.
CertId read_cert_id(const OCSP_CERTID* id) {
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_CERTID(id, &der);
  const BytesPtr owner(der);
  if (size <= 0) {
    return {};
  }
  Elements outer(ByteView(der, static_cast<std::size_t>(size)));
  Elements fields(outer.take(V_ASN1_SEQUENCE).value_or(ByteView()));
  const ByteView algorithm = fields.take(V_ASN1_SEQUENCE).value_or(ByteView());
  CertId out;
  const unsigned char* in = algorithm.data();
  if (const ObjectPtr object(d2i_ASN1_OBJECT(nullptr, &in, static_cast<long>(algorithm.size()))); object != nullptr) {
    std::array<char, 128> text = {};
    OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object.get(), 0);
    out.hash_nid = OBJ_obj2nid(object.get());
    out.hash_name = text.data();
  }
  out.issuer_name_hash = fields.take(V_ASN1_OCTET_STRING).value_or(ByteView()).copy();
  out.issuer_key_hash = fields.take(V_ASN1_OCTET_STRING).value_or(ByteView()).copy();
  out.serial = fields.take(V_ASN1_INTEGER).value_or(ByteView()).copy();
  return out;
}

}  // namespace ocsp_plus::crypto
