// Evaluates the staples of the certificates that a server sends after its own, which TLS 1.3 has room for (RFC 8446
// section 4.4.2.1). Pure functions, as in cli/stapling.h.
//
// GnuTLS and Java judge each of them unasked, so a bad one costs connections that none would not.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/finding.h"
#include "cli/verdict.h"
#include "crypto/certificate.h"
#include "crypto/tls_probe.h"
#include "crypto/trust_anchors.h"
#include "crypto/verify.h"

namespace ocsp_plus::cli {

struct ChainCertificate {
  std::size_t position = 0;  // in the server's message, where its own certificate has 0
  std::string subject;
  bool stapled = false;
  std::optional<crypto::Verdict> verdict;  // on the staple; nothing without a staple or an issuer
  std::vector<Finding> findings;           // never empty, most severe first
};

// Returns those certificates of which there is something to tell: they have a staple or are passed over by one. With
// Bounds::chain all but roots, which have no status. The bound on the age is for leaves only: a CA's own status is
// renewed once in months.
std::vector<ChainCertificate> judge_chain(const crypto::TlsSeen& seen, const crypto::TrustAnchors& anchors,
                                          const Bounds& bounds, UnixSeconds now);

// Adds a finding if no staple is at `position`, but one after it.
void judge_gap(const std::vector<std::optional<Bytes>>& staples, std::size_t position,
               std::vector<Finding>* findings);

// Return the issuer of the certificate at `position` among those after it, the issuer of a certificate among the
// anchors; null if it is not there.
std::unique_ptr<crypto::Issuer> sent_issuer(const std::vector<crypto::X509Ptr>& chain, std::size_t position);
std::unique_ptr<crypto::Issuer> known_issuer(x509_st* certificate, const crypto::TrustAnchors& anchors);

// "position 1, CN=Example CA"
std::string where(const ChainCertificate& certificate);

// All of its findings in one line without its end.
std::string text_of(const ChainCertificate& certificate);

Json chain_json(const ChainCertificate& certificate);

}  // namespace ocsp_plus::cli
