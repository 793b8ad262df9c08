// Certificates as the engine needs them: what identifies one, whom to ask about it, and who issued it.
//
// Trust: certificates come from the operator's configuration (or, later, from connections' own configuration).
// They are parsed by OpenSSL; subjects are untrusted text, made printable here (control bytes escaped); names and
// URLs with anything but printable ASCII in them are left out.
//
// OpenSSL's error queue is after each function as it was before.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

struct x509_st;      // OpenSSL's X509
struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace ocsp_plus::crypto {

struct X509Deleter {
  void operator()(x509_st* certificate) const noexcept;
};
using X509Ptr = std::unique_ptr<x509_st, X509Deleter>;

// A reference of one's own.
X509Ptr up_ref(x509_st* certificate);

struct PkeyDeleter {
  void operator()(evp_pkey_st* key) const noexcept;
};
using PkeyPtr = std::unique_ptr<evp_pkey_st, PkeyDeleter>;

// What is kept of a certificate. Owns its data; no OpenSSL object stays behind (10,000 of these live in each worker).
struct Certificate {
  CertificateId id = {};
  std::string subject;             // RFC 2253 one line, UTF-8 where the certificate is; for people
  std::string issuer;              // likewise
  std::vector<std::string> names;  // dNSName and iPAddress of subjectAltName, in order
  Bytes serial;                    // content octets of the INTEGER as in the DER: two's complement, big-endian
  UnixSeconds not_before = 0;
  UnixSeconds not_after = 0;
  bool must_staple = false;                  // TLS feature extension with status_request (5), RFC 7633
  std::vector<std::string> ocsp_urls;        // accessMethod id-ad-ocsp of AIA, in order, RFC 5280 section 4.2.2.1
  std::vector<std::string> ca_issuers_urls;  // accessMethod id-ad-caIssuers, in order

  // The first name, else the subject: what log lines call it.
  std::string_view label() const;
};

// SHA-256 of its DER. Fails with kUnreadable, kOutOfMemory.
Result<CertificateId> certificate_id(x509_st* certificate);

// Whether clients that honour it refuse the certificate without a staple; as Certificate::must_staple.
bool demands_staple(x509_st* certificate);

// Reads a certificate. `certificate` is borrowed for the call only. Fails with kUnreadable where validity or serial
// cannot be read (TLS servers and clients may well use such a certificate) and with kOutOfMemory; an extension that
// is malformed counts as absent.
Result<Certificate> describe(x509_st* certificate);

// As Certificate::label(), also of a certificate that describe() cannot read.
std::string label_of(x509_st* certificate);

// An issuer, shared by all certificates it issued. Immutable. Any certificate will do: whether it may be a CA
// (basicConstraints, validity) is judged by clients when they build the chain, and hand-made private CAs often lack
// what public ones have.
class Issuer {
 public:
  // Takes a reference of its own on `certificate`. Fails with kUnreadable where its public key cannot be used, and
  // with kOutOfMemory.
  static Result<std::unique_ptr<Issuer>> create(x509_st* certificate);

  const CertificateId& id() const { return id_; }
  const std::string& subject() const { return subject_; }
  x509_st* certificate() const { return certificate_.get(); }  // borrowed
  evp_pkey_st* key() const { return key_.get(); }              // borrowed

  // Hashes of the issuer's own DER name and of its public key's BIT STRING content (RFC 6960 section 4.1.1).
  const std::array<std::uint8_t, 20>& name_sha1() const { return name_sha1_; }
  const std::array<std::uint8_t, 20>& key_sha1() const { return key_sha1_; }
  const std::array<std::uint8_t, 32>& name_sha256() const { return name_sha256_; }
  const std::array<std::uint8_t, 32>& key_sha256() const { return key_sha256_; }

 private:
  Issuer() = default;

  CertificateId id_ = {};
  std::string subject_;
  X509Ptr certificate_;
  PkeyPtr key_;
  std::array<std::uint8_t, 20> name_sha1_ = {};
  std::array<std::uint8_t, 20> key_sha1_ = {};
  std::array<std::uint8_t, 32> name_sha256_ = {};
  std::array<std::uint8_t, 32> key_sha256_ = {};
};

// Certificates in the order of their subjects, as X509_NAME_cmp() has it: neither case nor string types count. Looked
// up by the name of a leaf's issuer.
struct IssuerOf {
  x509_st* leaf = nullptr;  // borrowed
};
struct BySubject {
  using is_transparent = void;
  bool operator()(const X509Ptr& a, const X509Ptr& b) const;
  bool operator()(const X509Ptr& a, IssuerOf b) const;
  bool operator()(IssuerOf a, const X509Ptr& b) const;
};

// keyIdentifier of the extension, RFC 5280 sections 4.2.1.2 and 4.2.1.1; borrowed, empty where there is none.
ByteView subject_key_identifier(x509_st* certificate);
ByteView authority_key_identifier(x509_st* certificate);

// Those of `candidates` that may have issued `leaf`, each certificate once: the subject is the leaf's issuer, and
// keyUsage does not forbid to sign certificates. In the order in which a signature is worth a try: the leaf's
// authority key identifier is theirs; one of the two has none; they differ (a CA renewed with its key may have
// another identifier, and always has another serial number than older leaves name, RFC 5280 section 4.2.1.1). None of
// that proves anything: the signature decides. Borrowed from `candidates`, which may hold null.
std::vector<x509_st*> rank_issuers(x509_st* leaf, const std::vector<x509_st*>& candidates);

// Of candidates that others may have put together, so many are tried.
constexpr std::size_t kMostIssuersTried = 16;

// The first of rank_issuers() whose key verifies the leaf's signature, of the first kMostIssuersTried. No signature
// is verified where a single candidate has the name, and the key identifier as well, so that thousands of
// certificates stay cheap. Borrowed from `candidates`; nullptr if none did. Throws std::bad_alloc where that cannot
// be told for want of memory.
x509_st* find_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates);

// Why find_issuer() found none among `candidates`; of several reasons the one that came closest.
enum class IssuerFault {
  kAbsent,         // none has the name of the leaf's issuer
  kKeyIdentifier,  // one has, but neither the key identifier that the leaf names nor the key that signed it
  kKeyUsage,       // one has, but its keyUsage forbids signing certificates
  kSignature,      // one has, but its key does not verify the leaf's signature
};
IssuerFault why_no_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates);

// What is wrong with the candidate of the issuer's name, as the end of a sentence; empty for kAbsent.
std::string_view describe(IssuerFault fault) noexcept;

// Whether the key of `issuer` verifies the leaf's signature; none does that is an RSA key with an exponent of more
// than 64 bits, which would take milliseconds. Throws std::bad_alloc where there is no memory to tell.
bool signed_by(x509_st* leaf, x509_st* issuer);

// The DER of a certificate; empty if there is no memory.
Bytes der_of(x509_st* certificate);

// How long it is, without making it; 0 where that cannot be told.
std::size_t der_size(x509_st* certificate);

// Whether the subject of `candidate` is the leaf's issuer, by the name alone: no signature is verified, nothing else
// is looked at.
bool has_issuer_name(x509_st* leaf, x509_st* candidate);

// Certificates in DER, one after the other; ends at the first that does not parse.
std::vector<X509Ptr> parse_der_certificates(ByteView der);

// All certificates in PEM text, in order. Text and other PEM objects between them are skipped, as OpenSSL does. Fails
// with kUnreadable where there is none or one does not parse. Never asks for a pass phrase.
Result<std::vector<X509Ptr>> parse_pem_certificates(std::string_view pem);

}  // namespace ocsp_plus::crypto
