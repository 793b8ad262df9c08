#include "crypto/certificate.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>
#include <new>
#include <utility>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

constexpr long kStatusRequest = 5;  // TLS ExtensionType status_request, RFC 6066 section 8

// Decodes an extension; null if it is absent, duplicate or malformed.
template <typename Pointer>
Pointer extension(x509_st* certificate, int nid) {
  return Pointer(static_cast<typename Pointer::pointer>(X509_get_ext_d2i(certificate, nid, nullptr, nullptr)));
}

// Returns whether an IA5String is safe in a log line, a request line or a comparison: an embedded NUL once made
// "www.bank.example\0.evil.example" pass as its first half.
bool is_plain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char byte) { return byte > 0x20 && byte < 0x7f; });
}

std::string address_text(ByteView address) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  const int family = address.size() == 4 ? AF_INET : AF_INET6;
  if ((address.size() != 4 && address.size() != 16) ||
      inet_ntop(family, address.data(), text.data(), text.size()) == nullptr) {
    return {};
  }
  return text.data();
}

std::vector<std::string> subject_names(x509_st* certificate) {
  std::vector<std::string> names;
  const auto alternatives = extension<GeneralNamesPtr>(certificate, NID_subject_alt_name);
  for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    std::string text;
    if (name->type == GEN_DNS) {
      text = view(name->d.dNSName).text();
    } else if (name->type == GEN_IPADD) {
      text = address_text(view(name->d.iPAddress));
    }
    if (is_plain(text)) {
      names.push_back(std::move(text));
    }
  }
  return names;
}

void read_access_urls(x509_st* certificate, Certificate& out) {
  const auto access = extension<AuthorityInfoAccessPtr>(certificate, NID_info_access);
  for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(access.get()); ++i) {
    const ACCESS_DESCRIPTION* description = sk_ACCESS_DESCRIPTION_value(access.get(), i);
    if (description->location->type != GEN_URI) {
      continue;
    }
    // Verbatim: the URL parser reports what is wrong with it.
    const std::string_view url = view(description->location->d.uniformResourceIdentifier).text();
    const int method = OBJ_obj2nid(description->method);
    if (method == NID_ad_OCSP) {
      out.ocsp_urls.emplace_back(url);
    } else if (method == NID_ad_ca_issuers) {
      out.ca_issuers_urls.emplace_back(url);
    }
  }
}

bool has_must_staple(x509_st* certificate) {
  const auto features = extension<TlsFeaturePtr>(certificate, NID_tlsfeature);
  for (int i = 0; i < sk_ASN1_INTEGER_num(features.get()); ++i) {
    if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features.get(), i)) == kStatusRequest) {
      return true;
    }
  }
  return false;
}

template <std::size_t N>
bool digest(ByteView bytes, const EVP_MD* algorithm, std::array<std::uint8_t, N>& out) {
  return EVP_Digest(bytes.data(), bytes.size(), out.data(), nullptr, algorithm, nullptr) == 1;
}

enum class KeyIdentifiers { kAbsent, kEqual, kDifferent };  // absent: one of the two certificates has none

KeyIdentifiers compare_key_identifiers(x509_st* leaf, x509_st* issuer) {
  const ByteView named = authority_key_identifier(leaf);
  const ByteView own = subject_key_identifier(issuer);
  if (named.empty() || own.empty()) {
    return KeyIdentifiers::kAbsent;
  }
  return named == own ? KeyIdentifiers::kEqual : KeyIdentifiers::kDifferent;
}

// Returns NIST's name of the curve, else OpenSSL's, else the number of bits.
std::string curve_of(const EVP_PKEY* key) {
  std::array<char, 80> name = {};
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), nullptr) != 1) {
    return std::to_string(EVP_PKEY_get_bits(key));
  }
  const char* const nist = EC_curve_nid2nist(OBJ_txt2nid(name.data()));
  return nist == nullptr ? name.data() : nist;
}

// Returns whether an RSA key's exponent makes a verification as expensive as a signature; an attacker can make such a
// key. The bound is OpenSSL's own for keys over 3,072 bits.
bool has_large_exponent(const EVP_PKEY* key) {
  BIGNUM* exponent = nullptr;
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bn_param(key, "e", &exponent) != 1) {
    return false;
  }
  const int bits = BN_num_bits(exponent);
  BN_free(exponent);
  return bits > 64;
}

bool may_sign_certificates(x509_st* certificate) {
  return (X509_get_key_usage(certificate) & X509v3_KU_KEY_CERT_SIGN) != 0;  // all bits if it has no keyUsage
}

bool has_name_of_issuer(x509_st* leaf, x509_st* candidate) {
  return X509_NAME_cmp(X509_get_subject_name(candidate), X509_get_issuer_name(leaf)) == 0;
}

// Returns whether the leaf names another serial number of its issuer's certificate. Some leaves name only that.
bool names_other_serial(x509_st* leaf, x509_st* candidate) {
  const ASN1_INTEGER* named = X509_get0_authority_serial(leaf);
  return named != nullptr && ASN1_INTEGER_cmp(named, X509_get0_serialNumber(candidate)) != 0;
}

// Returns the rank of a candidate; lower is tried sooner. X509_check_issued() is unsuitable: it treats a serial
// number as proof, and in OpenSSL 4.0 ignores key identifiers if leaf and issuer have the same serial number.
int rank_of(x509_st* leaf, x509_st* candidate) {
  const KeyIdentifiers identifiers = compare_key_identifiers(leaf, candidate);
  const int rank = identifiers == KeyIdentifiers::kEqual ? 0 : identifiers == KeyIdentifiers::kAbsent ? 2 : 4;
  return rank + (names_other_serial(leaf, candidate) ? 1 : 0);
}

// PEM text ends when no further "-----BEGIN" is found.
bool is_end_of_pem(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

}  // namespace

void X509Deleter::operator()(x509_st* certificate) const noexcept {
  X509_free(certificate);
}

void PkeyDeleter::operator()(evp_pkey_st* key) const noexcept {
  EVP_PKEY_free(key);
}

std::string_view Certificate::label() const {
  return names.empty() ? std::string_view(subject) : std::string_view(names.front());
}

X509Ptr up_ref(x509_st* certificate) {
  X509_up_ref(certificate);
  return X509Ptr(certificate);
}

Result<CertificateId> certificate_id(x509_st* certificate) {
  const ErrorMark mark;
  CertificateId id = {};
  if (X509_digest(certificate, EVP_sha256(), id.data(), nullptr) != 1) {
    return mark.failure(Reason::kUnreadable, "the certificate cannot be hashed");
  }
  return id;
}

bool demands_staple(x509_st* certificate) {
  const ErrorMark mark;
  return has_must_staple(certificate);
}

bool is_root(x509_st* certificate) noexcept {
  const ErrorMark mark;
  return X509_get0_pubkey(certificate) == nullptr ||
         (X509_get_extension_flags(certificate) & (EXFLAG_SS | EXFLAG_INVALID)) != 0;
}

std::optional<std::array<std::uint8_t, 32>> key_sha256(x509_st* certificate) noexcept {
  const ErrorMark mark;
  std::array<std::uint8_t, 32> sum;
  return digest(view(X509_get0_pubkey_bitstr(certificate)), EVP_sha256(), sum) ? std::optional(sum) : std::nullopt;
}

std::string key_text(x509_st* certificate) {
  const ErrorMark mark;
  const EVP_PKEY* const key = X509_get0_pubkey(certificate);
  if (key == nullptr) {
    return {};
  }
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return fmt::format("RSA {}", EVP_PKEY_get_bits(key));
    case EVP_PKEY_RSA_PSS:
      return fmt::format("RSA-PSS {}", EVP_PKEY_get_bits(key));
    case EVP_PKEY_EC:
      return "ECDSA " + curve_of(key);
    default: {
      const char* const name = EVP_PKEY_get0_type_name(key);
      return name == nullptr ? std::string() : name;
    }
  }
}

Result<Certificate> describe(x509_st* certificate) {
  const ErrorMark mark;
  const auto id = certificate_id(certificate);
  RETURN_IF_ERROR(id);
  Certificate out;
  out.id = *id;
  out.subject = name_text(X509_get_subject_name(certificate));
  out.issuer = name_text(X509_get_issuer_name(certificate));
  out.issuer_name = name_der(X509_get_issuer_name(certificate)).copy();
  out.is_root = is_root(certificate);
  out.key = key_text(certificate);
  out.serial = integer_octets(X509_get0_serialNumber(certificate));
  const auto not_before = parse_certificate_time(X509_get0_notBefore(certificate));
  const auto not_after = parse_certificate_time(X509_get0_notAfter(certificate));
  out.names = subject_names(certificate);
  out.must_staple = has_must_staple(certificate);
  read_access_urls(certificate, out);
  // If memory ran out, a field may only seem malformed or an extension absent.
  if (mark.ran_out_of_memory()) {
    return fail(Reason::kOutOfMemory, "no memory to read the certificate of " + out.subject);
  }
  if (out.serial.empty() || !not_before || !not_after) {
    const char* field = !not_after ? "notAfter" : !not_before ? "notBefore" : "serialNumber";
    return fail(Reason::kUnreadable, fmt::format("{} of {} is malformed", field, out.subject));
  }
  out.not_before = *not_before;
  out.not_after = *not_after;
  return out;
}

std::string label_of(x509_st* certificate) {
  const ErrorMark mark;
  const std::vector<std::string> names = subject_names(certificate);
  return names.empty() ? name_text(X509_get_subject_name(certificate)) : names.front();
}

Result<std::unique_ptr<Issuer>> Issuer::create(x509_st* certificate) {
  const ErrorMark mark;
  const auto id = certificate_id(certificate);
  RETURN_IF_ERROR(id);
  std::unique_ptr<Issuer> issuer(new Issuer);
  issuer->id_ = *id;
  issuer->subject_ = name_text(X509_get_subject_name(certificate));
  issuer->key_.reset(X509_get_pubkey(certificate));
  // The key has no bits if OpenSSL ran out of memory while decoding it.
  if (issuer->key_ == nullptr || EVP_PKEY_get_bits(issuer->key_.get()) <= 0) {
    return mark.failure(Reason::kUnreadable, "the public key of " + issuer->subject_ + " cannot be used");
  }
  X509_up_ref(certificate);
  issuer->certificate_.reset(certificate);

  const ByteView name = name_der(X509_get_subject_name(certificate));
  const ByteView key = view(X509_get0_pubkey_bitstr(certificate));
  if (!digest(name, EVP_sha1(), issuer->name_sha1_) || !digest(key, EVP_sha1(), issuer->key_sha1_) ||
      !digest(name, EVP_sha256(), issuer->name_sha256_) || !digest(key, EVP_sha256(), issuer->key_sha256_)) {
    return mark.failure(Reason::kInternal, "hashing " + issuer->subject_ + " failed");
  }
  return issuer;
}

bool BySubject::operator()(const X509Ptr& a, const X509Ptr& b) const {
  return X509_NAME_cmp(X509_get_subject_name(a.get()), X509_get_subject_name(b.get())) < 0;
}

bool BySubject::operator()(const X509Ptr& a, IssuerOf b) const {
  return X509_NAME_cmp(X509_get_subject_name(a.get()), X509_get_issuer_name(b.leaf)) < 0;
}

bool BySubject::operator()(IssuerOf a, const X509Ptr& b) const {
  return X509_NAME_cmp(X509_get_issuer_name(a.leaf), X509_get_subject_name(b.get())) < 0;
}

ByteView subject_key_identifier(x509_st* certificate) {
  const ErrorMark mark;
  const ASN1_OCTET_STRING* identifier = X509_get0_subject_key_id(certificate);
  return identifier == nullptr ? ByteView() : view(identifier);
}

ByteView authority_key_identifier(x509_st* certificate) {
  const ErrorMark mark;
  const ASN1_OCTET_STRING* identifier = X509_get0_authority_key_id(certificate);
  return identifier == nullptr ? ByteView() : view(identifier);
}

std::vector<x509_st*> rank_issuers(x509_st* leaf, const std::vector<x509_st*>& candidates) {
  const ErrorMark mark;
  std::vector<std::pair<int, x509_st*>> fitting;
  for (x509_st* candidate : candidates) {
    // The same certificate is often both in the chain and among the trusted ones.
    const auto is_same = [candidate](const auto& other) { return X509_cmp(candidate, other.second) == 0; };
    if (candidate != nullptr && has_name_of_issuer(leaf, candidate) && may_sign_certificates(candidate) &&
        std::none_of(fitting.begin(), fitting.end(), is_same)) {
      fitting.emplace_back(rank_of(leaf, candidate), candidate);
    }
  }
  std::stable_sort(fitting.begin(), fitting.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<x509_st*> ranked;
  ranked.reserve(fitting.size());
  for (const auto& [rank, candidate] : fitting) {
    ranked.push_back(candidate);
  }
  if (mark.ran_out_of_memory()) {
    throw std::bad_alloc();  // a candidate may only seem not to match
  }
  return ranked;
}

x509_st* find_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates) {
  const std::vector<x509_st*> ranked = rank_issuers(leaf, candidates);
  if (ranked.size() == 1 && compare_key_identifiers(leaf, ranked.front()) == KeyIdentifiers::kEqual) {
    return ranked.front();
  }
  const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(std::min(ranked.size(), kMostIssuersTried));
  const auto found = std::find_if(ranked.begin(), end, [leaf](x509_st* issuer) { return signed_by(leaf, issuer); });
  return found == end ? nullptr : *found;
}

IssuerFault why_no_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates) {
  const ErrorMark mark;
  IssuerFault closest = IssuerFault::kAbsent;
  for (x509_st* candidate : candidates) {
    if (candidate == nullptr || !has_name_of_issuer(leaf, candidate)) {
      continue;
    }
    const bool differ = compare_key_identifiers(leaf, candidate) == KeyIdentifiers::kDifferent;
    closest = std::max(closest, !may_sign_certificates(candidate) ? IssuerFault::kKeyUsage
                                : differ                          ? IssuerFault::kKeyIdentifier
                                                                  : IssuerFault::kSignature);
  }
  return closest;
}

std::string_view describe(IssuerFault fault) noexcept {
  switch (fault) {
    case IssuerFault::kAbsent:
      return "";
    case IssuerFault::kKeyIdentifier:
      return "its key identifier is not the one that the certificate names";
    case IssuerFault::kKeyUsage:
      return "its key usage forbids it to sign certificates";
    case IssuerFault::kSignature:
      return "its key does not fit, the signature of the certificate does not verify with it";
  }
  return "";
}

bool spells_issuer(const Certificate& certificate, const Issuer& issuer) {
  const ErrorMark mark;
  return name_der(X509_get_subject_name(issuer.certificate())) == ByteView(certificate.issuer_name);
}

bool signed_by(x509_st* leaf, x509_st* issuer) {
  const ErrorMark mark;
  evp_pkey_st* key = X509_get0_pubkey(issuer);
  const bool verified = key != nullptr && !has_large_exponent(key) && X509_verify(leaf, key) == 1;
  if (!verified && mark.ran_out_of_memory()) {
    throw std::bad_alloc();
  }
  return verified;
}

Bytes der_of(x509_st* certificate) {
  const ErrorMark mark;
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  const BytesPtr owner(der);
  return length > 0 ? Bytes(der, der + length) : Bytes();
}

std::size_t der_size(x509_st* certificate) {
  const ErrorMark mark;
  const int length = i2d_X509(certificate, nullptr);
  return length > 0 ? static_cast<std::size_t>(length) : 0;
}

bool has_issuer_name(x509_st* leaf, x509_st* candidate) {
  const ErrorMark mark;
  return X509_NAME_cmp(X509_get_subject_name(candidate), X509_get_issuer_name(leaf)) == 0;
}

std::vector<X509Ptr> parse_der_certificates(ByteView der) {
  const ErrorMark mark;
  std::vector<X509Ptr> certificates;
  const unsigned char* at = der.data();
  while (at != der.end()) {
    X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.end() - at)));
    if (certificate == nullptr) {
      break;
    }
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

Result<std::vector<X509Ptr>> parse_pem_certificates(std::string_view pem) {
  const ErrorMark mark;
  if (pem.size() > INT_MAX) {
    return fail(Reason::kUnreadable, "the PEM text is too large");
  }
  const BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (memory == nullptr) {
    return fail(Reason::kOutOfMemory);
  }
  std::vector<X509Ptr> certificates;
  while (X509Ptr certificate{PEM_read_bio_X509_AUX(memory.get(), nullptr, no_pass_phrase, nullptr)}) {
    certificates.push_back(std::move(certificate));
  }
  if (!is_end_of_pem(mark.newest())) {
    return fail(Reason::kUnreadable,
                "certificate number " + std::to_string(certificates.size() + 1) + " does not parse: " + mark.text());
  }
  if (certificates.empty()) {
    return fail(Reason::kUnreadable, "no PEM certificate (-----BEGIN CERTIFICATE-----) in it");
  }
  return certificates;
}

}  // namespace ocsp_plus::crypto
