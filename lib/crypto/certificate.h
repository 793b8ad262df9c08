// Certificates as the engine needs them: their identity, their responders and their issuers.
//
// Certificates come from the operator's configuration or are loaded per connection. OpenSSL parses them. Subjects are
// untrusted and have control bytes escaped here; names and URLs that are not printable ASCII are left out.
//
// Every function leaves OpenSSL's error queue unchanged.
#pragma once

#include <memory>
#include <optional>
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

// Takes a new reference.
X509Ptr up_ref(x509_st* certificate);

struct PkeyDeleter {
  void operator()(evp_pkey_st* key) const noexcept;
};
using PkeyPtr = std::unique_ptr<evp_pkey_st, PkeyDeleter>;

// The needed fields of a certificate. Owns its data and keeps no OpenSSL object: each worker may hold 10,000.
struct Certificate {
  CertificateId id = {};
  std::string subject;             // RFC 2253 on one line, UTF-8 if the certificate is; for people
  std::string issuer;              // as `subject`
  std::vector<std::string> names;  // dNSName and iPAddress of subjectAltName, in order
  std::string key;                 // key_text()
  Bytes serial;                    // content octets of the INTEGER as in the DER: two's complement, big-endian
  Bytes issuer_name;               // the issuer's name, DER, as this certificate writes it
  bool is_root = false;            // is_root()
  UnixSeconds not_before = 0;
  UnixSeconds not_after = 0;
  bool must_staple = false;                  // TLS feature extension with status_request (5), RFC 7633
  std::vector<std::string> ocsp_urls;        // accessMethod id-ad-ocsp of AIA, in order, RFC 5280 section 4.2.2.1
  std::vector<std::string> ca_issuers_urls;  // accessMethod id-ad-caIssuers, in order

  // Returns the first name, else the subject, for log lines.
  std::string_view label() const;
};

// Returns the SHA-256 of the DER. Fails with kUnreadable, kOutOfMemory.
Result<CertificateId> certificate_id(x509_st* certificate);

// Returns the SHA-256 sum of the certificate's key, as Issuer::key_sha256(); nothing if it cannot be hashed.
std::optional<std::array<std::uint8_t, 32>> key_sha256(x509_st* certificate) noexcept;

// Returns type and size of the certificate's key for people, as "RSA 2048", "ECDSA P-256", "ED25519"; empty if
// OpenSSL cannot decode it.
std::string key_text(x509_st* certificate);

// Returns whether OpenSSL takes the certificate for one that issued itself, or cannot tell.
bool is_root(x509_st* certificate) noexcept;

// Returns Certificate::must_staple without parsing the rest.
bool demands_staple(x509_st* certificate);

// Reads a certificate, borrowed for the call. Fails with kUnreadable if validity or serial is malformed (TLS servers
// and clients may still use such a certificate) and with kOutOfMemory; a malformed extension counts as absent.
Result<Certificate> describe(x509_st* certificate);

// Returns Certificate::label(), also for a certificate that describe() cannot read.
std::string label_of(x509_st* certificate);

// An issuer, shared by all certificates it issued. Immutable. Any certificate qualifies: clients check
// basicConstraints and validity when they build the chain, and private CAs often lack what public ones have.
class Issuer {
 public:
  // Takes its own reference on `certificate`. Fails with kUnreadable if its public key is unusable, and with
  // kOutOfMemory.
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

// Returns whether the certificate writes its issuer's name as the issuer itself does, octet for octet. Where it does
// not, the hash of a CertID can be of either (RFC 6960 section 4.1.1 leaves that open), and clients differ.
bool spells_issuer(const Certificate& certificate, const Issuer& issuer);

// Orders certificates by subject with X509_NAME_cmp(), which ignores case and string types, for lookups by the name
// of a leaf's issuer.
struct IssuerOf {
  x509_st* leaf = nullptr;  // borrowed
};
struct BySubject {
  using is_transparent = void;
  bool operator()(const X509Ptr& a, const X509Ptr& b) const;
  bool operator()(const X509Ptr& a, IssuerOf b) const;
  bool operator()(IssuerOf a, const X509Ptr& b) const;
};

// Return the extension's keyIdentifier (RFC 5280 sections 4.2.1.2 and 4.2.1.1); borrowed, empty if there is none.
ByteView subject_key_identifier(x509_st* certificate);
ByteView authority_key_identifier(x509_st* certificate);

// Returns the `candidates` that may have issued `leaf`, each once: their subject is the leaf's issuer, and their
// keyUsage permits signing certificates. Ordered by likelihood: the key identifiers match; one is absent; they differ
// (a CA renewed with the same key may have another identifier, and always has another serial number than older leaves
// name, RFC 5280 section 4.2.1.1). This proves nothing: only the signature does. Borrowed from `candidates`, which
// may contain null.
std::vector<x509_st*> rank_issuers(x509_st* leaf, const std::vector<x509_st*>& candidates);

// Bounds the signature verifications that an untrusted list of candidates can cause.
constexpr std::size_t kMostIssuersTried = 16;

// Returns the first of rank_issuers() whose key verifies the leaf's signature, among the first kMostIssuersTried. A
// single candidate with matching name and key identifier is returned without a verification, so that thousands of
// certificates stay cheap. Borrowed from `candidates`; nullptr if none matches. Throws std::bad_alloc.
x509_st* find_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates);

// Why find_issuer() found none among `candidates`; for several candidates the reason of the closest one.
enum class IssuerFault {
  kAbsent,         // none has the name of the leaf's issuer
  kKeyIdentifier,  // one has, but neither the leaf's key identifier nor the key that signed it
  kKeyUsage,       // one has, but its keyUsage forbids signing certificates
  kSignature,      // one has, but its key does not verify the leaf's signature
};
IssuerFault why_no_issuer(x509_st* leaf, const std::vector<x509_st*>& candidates);

// Returns the fault of the candidate as the end of a sentence; empty for kAbsent.
std::string_view describe(IssuerFault fault) noexcept;

// Returns whether the key of `issuer` verifies the leaf's signature. An RSA key with an exponent of more than 64
// bits, which would take milliseconds, never does. Throws std::bad_alloc.
bool signed_by(x509_st* leaf, x509_st* issuer);

// Returns the DER of a certificate; empty if memory runs out.
Bytes der_of(x509_st* certificate);

// Returns the size of der_of() without encoding; 0 on failure.
std::size_t der_size(x509_st* certificate);

// Returns whether the subject of `candidate` equals the leaf's issuer name. Checks nothing else.
bool has_issuer_name(x509_st* leaf, x509_st* candidate);

// Parses concatenated DER certificates; stops at the first that does not parse.
std::vector<X509Ptr> parse_der_certificates(ByteView der);

// Parses all certificates in PEM text, in order, and skips text and other PEM objects, as OpenSSL does. Fails with
// kUnreadable if there is none or one does not parse. Never asks for a pass phrase.
Result<std::vector<X509Ptr>> parse_pem_certificates(std::string_view pem);

}  // namespace ocsp_plus::crypto
