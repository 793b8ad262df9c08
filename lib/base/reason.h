// The reasons for success and failure: one table for the whole project.
//
// The log, the status document, the metrics and the command line print the same tokens, so operators can search for
// one word everywhere. Shared memory stores the numbers and scripts match the tokens: never renumber or rename, only
// append within a block. docs/operations.md lists every token; scripts/check-docs compares the two.
#pragma once

#include <cstdint>
#include <string_view>

namespace ocsp_plus {

// X(number, enumerator, token, meaning)
#define OCSP_PLUS_REASONS(X)                                                                                         \
  X(0, kNotChecked, "not_checked", "nothing has been checked yet")                                                   \
  X(1, kOk, "ok", "fit to staple")                                                                                   \
  /* OCSPResponseStatus, RFC 6960 section 4.2.1 */                                                                   \
  X(10, kMalformedRequest, "malformed_request", "the responder reports a malformed request")                         \
  X(11, kInternalError, "internal_error", "the responder reports an internal error")                                 \
  X(12, kTryLater, "try_later", "the responder asks to try later")                                                   \
  X(13, kSigRequired, "sig_required", "the responder requires signed requests")                                      \
  X(14, kUnauthorized, "unauthorized", "the responder has no record of this certificate")                            \
  X(15, kUnknownResponseStatus, "unknown_response_status", "RFC 6960 does not define the response status")           \
  /* structure */                                                                                                    \
  X(20, kMalformedResponse, "malformed_response", "the bytes are not an OCSP response")                              \
  X(21, kTrailingData, "trailing_data", "bytes follow the end of the response or of a part of it")                   \
  X(22, kNotBasicResponse, "not_basic_response", "the response is not of type id-pkix-ocsp-basic")                   \
  X(23, kUnsupportedVersion, "unsupported_version", "the response version is not 1")                                 \
  X(24, kUnknownCriticalExtension, "unknown_critical_extension", "a critical extension is not understood")           \
  X(25, kNoSingleResponse, "no_single_response", "the response holds no single response")                            \
  X(26, kOtherSerial, "other_serial", "the response is for another serial number")                                   \
  X(27, kOtherIssuer, "other_issuer", "the response is for a certificate of another issuer")                         \
  X(28, kUnsupportedHash, "unsupported_hash", "no CertID uses SHA-1 or SHA-256, or the first a hash OpenSSL lacks")  \
  X(29, kSha256Only, "sha256_only", "only a SHA-256 CertID matches and ocsp_plus_certid is not auto")                \
  X(30, kNotSendable, "not_sendable", "this version of OpenSSL does not send it with this certificate")              \
  /* times; 46 was producedAt before thisUpdate, which no client refuses */                                          \
  X(40, kMalformedTime, "malformed_time", "a time does not have the form of RFC 5280")                               \
  X(41, kThisUpdateInFuture, "this_update_in_future", "thisUpdate is in the future")                                 \
  X(42, kExpired, "expired", "the response has expired")                                                             \
  X(43, kNextUpdateBeforeThisUpdate, "next_update_before_this_update", "nextUpdate is not after thisUpdate")         \
  X(44, kTooOldWithoutNextUpdate, "too_old_without_next_update", "no nextUpdate and thisUpdate is over a day old")   \
  X(45, kProducedAtInFuture, "produced_at_in_future", "producedAt is in the future")                                 \
  X(47, kProducedAtOutsideSigner, "produced_at_outside_signer", "producedAt is outside the signer's validity")       \
  X(48, kCertificateExpired, "certificate_expired", "the certificate itself has expired")                            \
  /* signer and signature */                                                                                         \
  X(60, kSignerNotFound, "signer_not_found", "neither the issuer nor an embedded certificate is the signer")         \
  X(61, kSignerNotIssuedByIssuer, "signer_not_issued_by_issuer", "the signer was not issued by the issuer itself")   \
  X(62, kSignerWithoutOcspSigning, "signer_without_ocsp_signing", "the signer lacks the OCSPSigning key usage")      \
  X(63, kSignerExpired, "signer_expired", "the signer's certificate has expired")                                    \
  X(64, kSignerNotYetValid, "signer_not_yet_valid", "the signer's certificate is not valid yet")                     \
  X(65, kSignerKeyUsage, "signer_key_usage", "the signer's key usage forbids signing")                               \
  X(66, kSignerCriticalExtension, "signer_critical_extension", "the signer has a critical extension not understood") \
  X(67, kBadSignature, "bad_signature", "the signature does not verify")                                             \
  X(68, kWeakSignature, "weak_signature", "the signature algorithm is too weak")                                     \
  X(69, kWeakKey, "weak_key", "the signer's key is too weak")                                                        \
  X(70, kUnsupportedSignature, "unsupported_signature", "the signature algorithm is not supported")                  \
  X(71, kSignerIsCa, "signer_is_ca", "the signer is a CA, and not the issuer")                                       \
  /* verified, but not good */                                                                                       \
  X(80, kRevoked, "revoked", "the certificate is revoked")                                                           \
  X(81, kUnknown, "unknown", "the responder does not know the certificate")                                          \
  X(82, kNotNewer, "not_newer", "the response is not newer than the current one")                                    \
  X(83, kMessageTooLarge, "message_too_large", "the Certificate message would be longer than Java accepts")          \
  /* reaching the responder */                                                                                       \
  X(100, kUrlMalformed, "url_malformed", "the responder URL is malformed")                                           \
  X(101, kUrlScheme, "url_scheme", "the responder URL has a scheme that is not supported")                           \
  X(102, kDnsNotFound, "dns_not_found", "the responder's name does not exist")                                       \
  X(103, kDnsNoAddress, "dns_no_address", "the responder's name has no usable address")                              \
  X(104, kDnsTimeout, "dns_timeout", "no DNS server answered in time")                                               \
  X(105, kDnsFailed, "dns_failed", "the DNS servers failed or refused")                                              \
  X(106, kConnectRefused, "connect_refused", "the responder refused the connection")                                 \
  X(107, kConnectUnreachable, "connect_unreachable", "the responder cannot be reached")                              \
  X(108, kConnectionReset, "connection_reset", "the responder reset the connection")                                 \
  X(109, kTimeout, "timeout", "no complete answer before the deadline")                                              \
  X(110, kTruncated, "truncated", "the connection closed before the answer was complete")                            \
  X(111, kTooLarge, "too_large", "the body is larger than ocsp_plus_max_response")                                   \
  X(112, kHeadersTooLarge, "headers_too_large", "the HTTP headers are too large")                                    \
  X(113, kHttpStatus, "http_status", "the HTTP status is not 200")                                                   \
  X(114, kHttpMalformed, "http_malformed", "the answer is not HTTP")                                                 \
  X(115, kRedirectLimit, "redirect_limit", "too many redirects, or a loop")                                          \
  X(116, kRedirectScheme, "redirect_scheme", "the redirect leads to a scheme that is not allowed")                   \
  X(117, kNetworkError, "network_error", "a system call of the exchange failed")                                     \
  X(118, kTlsFailed, "tls_failed", "the TLS handshake with the responder failed")                                    \
  X(119, kTlsCertificate, "tls_certificate", "the responder's TLS certificate is not trusted")                       \
  X(120, kTlsName, "tls_name", "the responder's TLS certificate is for another name")                                \
  X(121, kProxyFailed, "proxy_failed", "the proxy cannot be reached, or fails itself")                               \
  X(122, kProxyAuth, "proxy_auth", "the proxy rejects the user or password")                                         \
  X(123, kProxyRefused, "proxy_refused", "the proxy refuses to connect to the responder")                            \
  X(124, kIssuerMalformed, "issuer_malformed", "the caIssuers URL does not deliver a certificate")                   \
  X(125, kIssuerMismatch, "issuer_mismatch", "the caIssuers URL delivers another certificate")                       \
  X(126, kAddressForbidden, "address_forbidden", "a certificate loaded per connection names a non-public address")   \
  X(127, kRedirectForbidden, "redirect_forbidden", "a redirect leads to a forbidden address")                        \
  /* the shared store */                                                                                             \
  X(150, kStoreUnreachable, "store_unreachable", "the shared store cannot be reached, or cannot serve now")          \
  X(151, kStoreTimeout, "store_timeout", "the shared store did not answer in time")                                  \
  X(152, kStoreAuth, "store_auth", "the shared store refuses the user or the password")                              \
  X(153, kStoreDenied, "store_denied", "the shared store refuses a command")                                         \
  X(154, kStoreMalformed, "store_malformed", "what the shared store answers is malformed or too large")              \
  X(155, kAskedElsewhere, "asked_elsewhere", "another node asks the responder")                                      \
  /* ourselves */                                                                                                    \
  X(200, kZoneFull, "zone_full", "the shared zone has no room")                                                      \
  X(201, kZoneBusy, "zone_busy", "the shared zone is being written by another process")                              \
  X(202, kLeaseLost, "lease_lost", "another worker is now the designated worker")                                    \
  X(203, kOutOfMemory, "out_of_memory", "an allocation failed")                                                      \
  X(204, kUnreadable, "unreadable", "a file could not be read or parsed")                                            \
  X(205, kNoIssuer, "no_issuer", "no issuer certificate was found")                                                  \
  X(206, kInvalidArgument, "invalid_argument", "an argument is not valid")                                           \
  X(207, kInternal, "internal", "an unexpected failure inside ocsp_plus")                                            \
  X(208, kDiskFull, "disk_full", "the cache directory has no room")                                                  \
  X(209, kCertificateTooLarge, "certificate_too_large", "the certificate is too large to be handed over")            \
  X(210, kUnwritable, "unwritable", "the cache directory cannot be written to")                                      \
  X(211, kNoResponder, "no_responder", "the certificate names no OCSP responder")

enum class Reason : std::uint16_t {
#define OCSP_PLUS_REASON_ENUM(number, name, token, meaning) name = number,
  OCSP_PLUS_REASONS(OCSP_PLUS_REASON_ENUM)
#undef OCSP_PLUS_REASON_ENUM
};

// Returns the snake_case token; "not_checked" for a number outside the table (it may come from shared memory).
std::string_view token(Reason reason) noexcept;

// Returns a short English clause without a full stop.
std::string_view meaning(Reason reason) noexcept;

}  // namespace ocsp_plus
