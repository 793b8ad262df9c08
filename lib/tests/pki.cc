#include "tests/pki.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <utility>

#include "crypto/ossl.h"
#include "tests/pki_internal.h"

namespace ocsp_plus::testing {
namespace {

using crypto::OpenSslPtr;

using Asn1ObjectPtr = OpenSslPtr<ASN1_OBJECT, ASN1_OBJECT_free>;
using Asn1TimePtr = OpenSslPtr<ASN1_TIME, ASN1_TIME_free>;
using ExtensionPtr = OpenSslPtr<X509_EXTENSION, X509_EXTENSION_free>;
using MdContextPtr = OpenSslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;
using NamePtr = OpenSslPtr<X509_NAME, X509_NAME_free>;
using OctetStringPtr = OpenSslPtr<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;
using PkeyContextPtr = OpenSslPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

// --- keys --------------------------------------------------------------------------------------------------------

EVP_PKEY* generate_dsa() {
  const PkeyContextPtr for_parameters(EVP_PKEY_CTX_new_from_name(nullptr, "DSA", nullptr));
  EVP_PKEY* parameters = nullptr;
  require(EVP_PKEY_paramgen_init(for_parameters.get()) == 1 &&
              EVP_PKEY_CTX_set_dsa_paramgen_bits(for_parameters.get(), 1024) == 1 &&
              EVP_PKEY_paramgen(for_parameters.get(), &parameters) == 1,
          "making DSA parameters");
  const crypto::PkeyPtr owner(parameters);
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, parameters, nullptr));
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_keygen_init(context.get()) == 1 && EVP_PKEY_keygen(context.get(), &key) == 1, "making a DSA key");
  return key;
}

// From its name alone, so that every process has the same key: what one has made another can judge.
EVP_PKEY* make_p256(const std::string& name) {
  const Bytes secret = hash(EVP_sha256(), ByteView("ocsp_plus test key: " + name));
  const OpenSslPtr<EC_GROUP, EC_GROUP_free> group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const OpenSslPtr<BIGNUM, BN_free> number(BN_bin2bn(secret.data(), static_cast<int>(secret.size()), nullptr));
  const OpenSslPtr<EC_POINT, EC_POINT_free> point(EC_POINT_new(group.get()));
  std::array<unsigned char, 65> encoded = {};
  require(BN_cmp(number.get(), EC_GROUP_get0_order(group.get())) < 0 &&
              EC_POINT_mul(group.get(), point.get(), number.get(), nullptr, nullptr, nullptr) == 1 &&
              EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded.data(),
                                 encoded.size(), nullptr) == encoded.size(),
          "computing a key");
  const OpenSslPtr<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  require(OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
              OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get()) == 1 &&
              OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, encoded.data(),
                                               encoded.size()) == 1,
          "describing a key");
  const OpenSslPtr<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_fromdata_init(context.get()) == 1 &&
              EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) == 1,
          "making a key");
  return key;
}

EVP_PKEY* read_rsa_without_bits() {
  const Bytes numbers = der::sequence({der::integer(Bytes{0}), der::integer(Bytes{3})});
  const Bytes der = der::sequence({der::sequence({der::oid("rsaEncryption"), der::null()}),
                                   der::tlv(V_ASN1_BIT_STRING, der::join({{0}, numbers}))});
  const unsigned char* at = der.data();
  return d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size()));
}

EVP_PKEY* generate(KeyType type, const std::string& name) {
  switch (type) {
    case KeyType::kP256:
      return make_p256(name);
    case KeyType::kP384:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384");
    case KeyType::kP192:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-192");
    case KeyType::kRsa512:
      return EVP_RSA_gen(512);
    case KeyType::kRsa1024:
      return EVP_RSA_gen(1024);
    case KeyType::kRsa2048:
      return EVP_RSA_gen(2048);
    case KeyType::kEd25519:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    case KeyType::kDsa:
      return generate_dsa();
    case KeyType::kRsaWithoutBits:
      return read_rsa_without_bits();
  }
  return nullptr;
}

const EVP_MD* digest_of(Digest digest, int key_type) {
  switch (digest) {
    case Digest::kDefault:
      return key_type == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
    case Digest::kMd5:
      return EVP_md5();
    case Digest::kSha1:
    case Digest::kPssSha1:
      return EVP_sha1();
    case Digest::kSha256:
    case Digest::kPssSha256:
      return EVP_sha256();
    case Digest::kSha384:
      return EVP_sha384();
    case Digest::kSha512:
      return EVP_sha512();
  }
  return nullptr;
}

bool is_pss(Digest digest) {
  return digest == Digest::kPssSha256 || digest == Digest::kPssSha1;
}

// RSASSA-PSS-params, RFC 4055 section 3.1.
Bytes pss_algorithm(const EVP_MD* digest) {
  const Bytes hash_algorithm = der::sequence({der::oid(EVP_MD_get0_name(digest)), der::null()});
  const Bytes mask = der::sequence({der::oid("mgf1"), hash_algorithm});
  const Bytes salt = der::integer(Bytes{static_cast<std::uint8_t>(EVP_MD_get_size(digest))});
  return der::sequence({der::oid("rsassaPss"),
                        der::sequence({der::tlv(0xa0, hash_algorithm), der::tlv(0xa1, mask), der::tlv(0xa2, salt)})});
}

Bytes signature_algorithm(EVP_PKEY* key, Digest digest) {
  const int type = EVP_PKEY_get_base_id(key);
  const EVP_MD* algorithm = digest_of(digest, type);
  if (is_pss(digest)) {
    return pss_algorithm(algorithm);
  }
  if (algorithm == nullptr) {
    return der::sequence({der::oid(OBJ_nid2sn(type))});
  }
  int nid = NID_undef;
  require(OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(algorithm), type) == 1, "no such signature algorithm");
  std::vector<Bytes> parts = {der::oid(OBJ_nid2sn(nid))};
  if (type == EVP_PKEY_RSA) {
    parts.push_back(der::null());
  }
  return der::sequence(parts);
}

// --- certificates ------------------------------------------------------------------------------------------------

NamePtr make_name(const std::string& common_name, int type = MBSTRING_UTF8) {
  NamePtr name(X509_NAME_new());
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  require(
      X509_NAME_add_entry_by_txt(name.get(), "O", type, reinterpret_cast<const unsigned char*>("ocsp_plus tests"), -1,
                                 -1, 0) == 1 &&
          X509_NAME_add_entry_by_txt(name.get(), "CN", type, text, static_cast<int>(common_name.size()), -1, 0) == 1,
      "making a name");
  return name;
}

// Extensions that OpenSSL writes from its configuration syntax.
void add_configured(X509* certificate, int nid, const std::string& value) {
  if (value.empty()) {
    return;
  }
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
  require(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, value.c_str());
}

void add_raw(X509* certificate, const Extension& extension) {
  const Asn1ObjectPtr object(OBJ_txt2obj(extension.oid.c_str(), 0));
  const OctetStringPtr value(ASN1_OCTET_STRING_new());
  require(object != nullptr && ASN1_OCTET_STRING_set(value.get(), extension.value.data(),
                                                     static_cast<int>(extension.value.size())) == 1,
          "making an extension");
  const ExtensionPtr made(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), extension.critical ? 1 : 0, value.get()));
  require(made != nullptr && X509_add_ext(certificate, made.get(), -1) == 1, "adding an extension");
}

void add_names(X509* certificate, const CertificateSpec& spec) {
  std::vector<Bytes> names;
  for (const std::string& name : spec.dns_names) {
    names.push_back(der::tlv(0x82, ByteView(name)));
  }
  for (const Bytes& address : spec.ip_addresses) {
    names.push_back(der::tlv(0x87, address));
  }
  if (!names.empty()) {
    add_raw(certificate, {"subjectAltName", false, der::sequence(names)});
  }
}

void add_access(X509* certificate, const CertificateSpec& spec) {
  std::vector<Bytes> descriptions;
  for (const std::string& url : spec.ocsp_urls) {
    descriptions.push_back(der::sequence({der::oid("OCSP"), der::tlv(0x86, ByteView(url))}));
  }
  for (const std::string& url : spec.ca_issuers_urls) {
    descriptions.push_back(der::sequence({der::oid("caIssuers"), der::tlv(0x86, ByteView(url))}));
  }
  if (!descriptions.empty()) {
    add_raw(certificate, {"authorityInfoAccess", false, der::sequence(descriptions)});
  }
}

void add_key_identifiers(X509* certificate, EVP_PKEY* key, EVP_PKEY* issuer_key) {
  add_raw(certificate, {"subjectKeyIdentifier", false, der::octet_string(key_sha1(key))});
  add_raw(certificate, {"authorityKeyIdentifier", false, der::sequence({der::tlv(0x80, key_sha1(issuer_key))})});
}

void add_extensions(X509* certificate, const CertificateSpec& spec, EVP_PKEY* key, EVP_PKEY* issuer_key) {
  if (spec.ca) {
    add_configured(certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_configured(certificate, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
  } else {
    add_configured(certificate, NID_key_usage, spec.key_usage);
  }
  add_configured(certificate, NID_ext_key_usage, spec.ext_key_usage);
  if (spec.key_identifiers) {
    add_key_identifiers(certificate, key, issuer_key);
  }
  if (spec.must_staple) {
    add_raw(certificate, {"1.3.6.1.5.5.7.1.24", false, der::sequence({der::integer(Bytes{5})})});
  }
  if (spec.ocsp_nocheck) {
    add_raw(certificate, {"noCheck", false, der::null()});
  }
  add_names(certificate, spec);
  add_access(certificate, spec);
  for (const Extension& extension : spec.extensions) {
    add_raw(certificate, extension);
  }
}

void set_serial(X509* certificate, const Bytes& octets) {
  const Bytes der = der::integer(octets);
  const unsigned char* in = der.data();
  const crypto::Asn1IntegerPtr serial(d2i_ASN1_INTEGER(nullptr, &in, static_cast<long>(der.size())));
  require(serial != nullptr && X509_set_serialNumber(certificate, serial.get()) == 1, "setting a serial");
}

// Signed, and read back, so that the certificate is what came over a wire.
crypto::X509Ptr sign_certificate(X509* certificate, const CertificateSpec& spec, EVP_PKEY* signing_key) {
  const int type = EVP_PKEY_get_base_id(signing_key);
  require(!is_pss(spec.digest) && X509_sign(certificate, signing_key, digest_of(spec.digest, type)) > 0,
          "signing a certificate");
  Bytes der = encode(certificate, i2d_X509);
  if (spec.break_signature) {
    der.back() ^= 0x01;
  }
  const unsigned char* in = der.data();
  crypto::X509Ptr read(d2i_X509(nullptr, &in, static_cast<long>(der.size())));
  require(read != nullptr, "reading a certificate back");
  return read;
}

Asn1TimePtr make_time(UnixSeconds time, const std::string& raw) {
  if (raw.empty()) {
    return Asn1TimePtr(ASN1_TIME_set(nullptr, time));
  }
  Asn1TimePtr made(ASN1_STRING_type_new(V_ASN1_UTCTIME));
  require(ASN1_STRING_set(made.get(), raw.data(), static_cast<int>(raw.size())) == 1, "writing a time");
  return made;
}

}  // namespace

void require(bool done, const char* what) {
  if (!done) {
    std::array<char, 256> why = {};
    ERR_error_string_n(ERR_peek_last_error(), why.data(), why.size());
    throw std::runtime_error(std::string("test PKI: ") + what + ": " + why.data());
  }
}

Bytes hash(const EVP_MD* algorithm, ByteView bytes) {
  Bytes out(static_cast<std::size_t>(EVP_MD_get_size(algorithm)));
  require(EVP_Digest(bytes.data(), bytes.size(), out.data(), nullptr, algorithm, nullptr) == 1, "hashing");
  return out;
}

namespace der {

Bytes tlv(std::uint8_t tag, ByteView content) {
  Bytes out = {tag};
  const std::size_t size = content.size();
  if (size < 0x80) {
    out.push_back(static_cast<std::uint8_t>(size));
  } else if (size < 0x100) {
    out.insert(out.end(), {0x81, static_cast<std::uint8_t>(size)});
  } else if (size < 0x10000) {
    out.insert(out.end(), {0x82, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size & 0xff)});
  } else {
    require(size < 0x1000000, "an element that is too long");
    out.insert(out.end(), {0x83, static_cast<std::uint8_t>(size >> 16), static_cast<std::uint8_t>(size >> 8 & 0xff),
                           static_cast<std::uint8_t>(size & 0xff)});
  }
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

Bytes join(const std::vector<Bytes>& parts) {
  Bytes out;
  for (const Bytes& part : parts) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

Bytes sequence(const std::vector<Bytes>& parts) {
  return tlv(0x30, join(parts));
}

Bytes integer(ByteView octets) {
  return tlv(V_ASN1_INTEGER, octets);
}

Bytes oid(const std::string& text) {
  const Asn1ObjectPtr object(OBJ_txt2obj(text.c_str(), 0));
  require(object != nullptr, text.c_str());
  return encode(object.get(), i2d_ASN1_OBJECT);
}

Bytes octet_string(ByteView content) {
  return tlv(V_ASN1_OCTET_STRING, content);
}

Bytes null() {
  return tlv(V_ASN1_NULL, {});
}

Bytes boolean(bool value) {
  return tlv(V_ASN1_BOOLEAN, Bytes{static_cast<std::uint8_t>(value ? 0xff : 0x00)});
}

}  // namespace der

evp_pkey_st* key(KeyType type, const std::string& name) {
  static std::map<std::pair<KeyType, std::string>, crypto::PkeyPtr> keys;
  crypto::PkeyPtr& kept = keys[{type, name}];
  if (kept == nullptr) {
    kept.reset(generate(type, name));
    require(kept != nullptr, "making a key");
  }
  return kept.get();
}

Bytes key_sha1(evp_pkey_st* key) {
  X509_PUBKEY* encoded = nullptr;
  require(X509_PUBKEY_set(&encoded, key) == 1, "encoding a key");
  const OpenSslPtr<X509_PUBKEY, X509_PUBKEY_free> owner(encoded);
  const unsigned char* bits = nullptr;
  int size = 0;
  require(X509_PUBKEY_get0_param(nullptr, &bits, &size, nullptr, encoded) == 1, "reading a key");
  return hash(EVP_sha1(), {bits, static_cast<std::size_t>(size)});
}

Signed sign(ByteView message, evp_pkey_st* key, Digest digest) {
  const EVP_MD* algorithm = digest_of(digest, EVP_PKEY_get_base_id(key));
  const MdContextPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  require(EVP_DigestSignInit(context.get(), &parameters, algorithm, nullptr, key) == 1, "preparing a signature");
  if (is_pss(digest)) {
    require(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1,
            "preparing a PSS signature");
  }
  std::size_t size = 0;
  require(EVP_DigestSign(context.get(), nullptr, &size, message.data(), message.size()) == 1, "signing");
  Bytes signature(size);
  require(EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) == 1, "signing");
  signature.resize(size);
  return {signature_algorithm(key, digest), std::move(signature)};
}

Bytes Identity::der() const {
  return encode(get(), i2d_X509);
}

std::string Identity::pem() const {
  const crypto::BioPtr memory(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_X509(memory.get(), get()) == 1, "writing PEM");
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

crypto::Certificate Identity::described() const {
  auto described = crypto::describe(get());
  require(described.has_value(), "describing a certificate");
  return *std::move(described);
}

std::unique_ptr<crypto::Issuer> Identity::issuer() const {
  auto issuer = crypto::Issuer::create(get());
  require(issuer.has_value(), "making an issuer");
  return *std::move(issuer);
}

Bytes issuer_name_sha1(const Identity& certificate) {
  return hash(EVP_sha1(), crypto::name_der(X509_get_issuer_name(certificate.get())));
}

Identity make_certificate(const CertificateSpec& spec, evp_pkey_st* key, const Identity* issuer) {
  const crypto::X509Ptr draft(X509_new());
  X509* certificate = draft.get();
  const NamePtr name = make_name(spec.subject);
  const Asn1TimePtr not_before = make_time(spec.not_before, spec.raw_not_before);
  const Asn1TimePtr not_after = make_time(spec.not_after, spec.raw_not_after);
  const NamePtr printable = make_name(spec.issuer_printable, V_ASN1_PRINTABLESTRING);
  const X509_NAME* issuer_name = !spec.issuer_printable.empty() ? printable.get()
                                 : issuer == nullptr            ? name.get()
                                                                : X509_get_subject_name(issuer->get());
  EVP_PKEY* signing_key = issuer == nullptr ? key : issuer->key;
  set_serial(certificate, spec.serial);
  require(X509_set_version(certificate, spec.version1 ? X509_VERSION_1 : X509_VERSION_3) == 1 &&
              X509_set_subject_name(certificate, name.get()) == 1 &&
              X509_set_issuer_name(certificate, issuer_name) == 1 &&
              X509_set1_notBefore(certificate, not_before.get()) == 1 &&
              X509_set1_notAfter(certificate, not_after.get()) == 1 && X509_set_pubkey(certificate, key) == 1,
          "filling a certificate");
  if (!spec.version1) {
    add_extensions(certificate, spec, key, signing_key);
  }
  return {sign_certificate(certificate, spec, signing_key), key};
}

Identity make_ca(const std::string& name, KeyType type) {
  CertificateSpec spec;
  spec.subject = name;
  spec.serial = {0x01};
  spec.ca = true;
  return make_certificate(spec, key(type, name), nullptr);
}

Identity make_intermediate(const Identity& ca, const std::string& name, KeyType type) {
  CertificateSpec spec;
  spec.subject = name;
  spec.serial = {0x02};
  spec.ca = true;
  return make_certificate(spec, key(type, name), &ca);
}

Identity make_leaf(const Identity& ca, const std::string& name, const std::string& ocsp_url, Bytes serial) {
  CertificateSpec spec;
  spec.subject = name;
  spec.serial = std::move(serial);
  spec.dns_names = {name};
  if (!ocsp_url.empty()) {
    spec.ocsp_urls = {ocsp_url};
  }
  return make_certificate(spec, key(KeyType::kP256, name), &ca);
}

Identity make_responder(const Identity& ca, const std::string& name) {
  CertificateSpec spec;
  spec.subject = name;
  spec.serial = {0x03};
  spec.key_usage = "critical,digitalSignature";
  spec.ext_key_usage = "OCSPSigning";
  spec.ocsp_nocheck = true;
  return make_certificate(spec, key(KeyType::kP256, name), &ca);
}

crypto::X509Ptr with_unknown_key(const Identity& identity) {
  Bytes der = identity.der();
  const Bytes algorithm = der::oid("id-ecPublicKey");
  const auto at = std::search(der.begin(), der.end(), algorithm.begin(), algorithm.end());
  require(at != der.end(), "finding a key's algorithm");
  *(at + static_cast<std::ptrdiff_t>(algorithm.size()) - 1) = 0x7f;
  auto certificates = crypto::parse_der_certificates(der);
  require(certificates.size() == 1, "reading a certificate");
  return std::move(certificates.front());
}

crypto::X509Ptr unhashable_certificate() {
  return crypto::X509Ptr(X509_new());
}

void queue_openssl_error(int reason) {
  ERR_new();
  ERR_set_debug("before.c", 4711, "somebody_else");
  ERR_set_error(ERR_LIB_USER, reason, "reason %d", reason);
}

std::string take_openssl_errors() {
  std::string text;
  const char* file = nullptr;
  const char* function = nullptr;
  const char* data = nullptr;
  int line = 0;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(&file, &line, &function, &data, &flags)) {
    text += fmt::format("{} {}:{} {} {:x} {}\n", code, file, line, function, flags, data);
  }
  return text;
}

int queued_openssl_errors() {
  int count = 0;
  while (ERR_get_error() != 0) {
    ++count;
  }
  return count;
}

}  // namespace ocsp_plus::testing
