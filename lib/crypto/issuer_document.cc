#include "crypto/issuer_document.h"

#include <openssl/pem.h>
#include <openssl/pkcs7.h>

#include <climits>
#include <string_view>
#include <utility>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

using Pkcs7Ptr = OpenSslPtr<PKCS7, PKCS7_free>;

// Borrowed from `message`; nullptr if it is of another type.
const STACK_OF(X509) * certificates_of(const PKCS7* message) {
  if (message == nullptr || !PKCS7_type_is_signed(message) || message->d.sign == nullptr) {
    return nullptr;
  }
  return message->d.sign->cert;
}

void add_all(const PKCS7* message, std::vector<X509Ptr>* to) {
  const STACK_OF(X509)* certificates = certificates_of(message);
  for (int i = 0; i < sk_X509_num(certificates) && to->size() < kMaxIssuerCandidates; ++i) {
    to->push_back(up_ref(sk_X509_value(certificates, i)));
  }
}

std::vector<X509Ptr> read_der(ByteView document) {
  std::vector<X509Ptr> certificates;
  const auto size = static_cast<long>(document.size());
  const unsigned char* at = document.data();
  if (X509Ptr certificate{d2i_X509(nullptr, &at, size)}) {
    certificates.push_back(std::move(certificate));
    return certificates;
  }
  at = document.data();
  add_all(Pkcs7Ptr(d2i_PKCS7(nullptr, &at, size)).get(), &certificates);
  return certificates;
}

// Reads all PEM blocks in order and skips those that are neither certificates nor PKCS#7 messages.
std::vector<X509Ptr> read_pem(ByteView document) {
  std::vector<X509Ptr> certificates;
  const BioPtr certificates_in(BIO_new_mem_buf(document.data(), static_cast<int>(document.size())));
  const BioPtr messages_in(BIO_new_mem_buf(document.data(), static_cast<int>(document.size())));
  while (certificates_in != nullptr && certificates.size() < kMaxIssuerCandidates) {
    X509Ptr certificate{PEM_read_bio_X509(certificates_in.get(), nullptr, no_pass_phrase, nullptr)};
    if (certificate == nullptr) {
      break;
    }
    certificates.push_back(std::move(certificate));
  }
  while (messages_in != nullptr && certificates.size() < kMaxIssuerCandidates) {
    const Pkcs7Ptr message(PEM_read_bio_PKCS7(messages_in.get(), nullptr, no_pass_phrase, nullptr));
    if (message == nullptr) {
      break;
    }
    add_all(message.get(), &certificates);
  }
  return certificates;
}

}  // namespace

Result<std::vector<X509Ptr>> read_issuer_document(ByteView document) {
  const ErrorMark mark;
  if (document.empty() || document.size() > INT_MAX) {
    return fail(Reason::kIssuerMalformed, "the document is empty or huge");
  }
  std::vector<X509Ptr> certificates = read_der(document);
  if (certificates.empty() && document.text().find("-----BEGIN ") != std::string_view::npos) {
    certificates = read_pem(document);
  }
  if (mark.ran_out_of_memory()) {
    return fail(Reason::kOutOfMemory, "no memory to read the issuer's certificate");
  }
  if (certificates.empty()) {
    return fail(Reason::kIssuerMalformed, "neither a certificate nor a PKCS#7 message with one, in DER or PEM");
  }
  return certificates;
}

Error issuer_mismatch(const std::vector<X509Ptr>& certificates) {
  return {Reason::kIssuerMismatch,
          (certificates.empty() ? std::string("it holds none")
                                : "it holds " + name_text(X509_get_subject_name(certificates.front().get())) +
                                      (certificates.size() > 1 ? " and others" : "")) +
              ", by whose key the certificate was not signed"};
}

Result<CertificateId> issuer_reference(x509_st* leaf) {
  const ErrorMark mark;
  Bytes text = name_der(X509_get_issuer_name(leaf)).copy();
  if (const ASN1_OCTET_STRING* key = X509_get0_authority_key_id(leaf)) {
    const ByteView identifier = view(key);
    text.insert(text.end(), identifier.begin(), identifier.end());
  }
  CertificateId reference = {};
  if (EVP_Digest(text.data(), text.size(), reference.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    return mark.failure(Reason::kInternal, "the issuer's name cannot be hashed");
  }
  return reference;
}

}  // namespace ocsp_plus::crypto
