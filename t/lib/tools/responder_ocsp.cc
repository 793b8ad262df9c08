#include "responder_ocsp.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstring>

namespace responder {
namespace {

using TimePtr = std::unique_ptr<ASN1_GENERALIZEDTIME, Free<ASN1_GENERALIZEDTIME_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, Free<ASN1_INTEGER_free>>;
using BnPtr = std::unique_ptr<BIGNUM, Free<BN_free>>;
using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, Free<OCSP_RESPONSE_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;

TimePtr time_at(long seconds) {
  return TimePtr(ASN1_GENERALIZEDTIME_set(nullptr, seconds));
}

std::string to_der(OCSP_RESPONSE* response) {
  unsigned char* data = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &data);
  if (size <= 0) {
    return "";
  }
  std::string out(reinterpret_cast<char*>(data), static_cast<size_t>(size));
  OPENSSL_free(data);
  return out;
}

// DER of one element; the content is below 64 kB.
std::string element(char tag, const std::string& content) {
  const size_t size = content.size();
  std::string out(1, tag);
  if (size < 0x80) {
    out += static_cast<char>(size);
  } else {
    out += {'\x82', static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
  }
  return out + content;
}

// A successful response with a NULL behind its BasicOCSPResponse.
std::string with_inner_trailing(OCSP_BASICRESP* basic) {
  unsigned char* data = nullptr;
  const int size = i2d_OCSP_BASICRESP(basic, &data);
  std::string inner(reinterpret_cast<char*>(data), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(data);
  inner += std::string("\x05\x00", 2);
  const std::string type = element('\x06', "\x2b\x06\x01\x05\x05\x07\x30\x01\x01");
  const std::string bytes = element('\x30', type + element('\x04', inner));
  return element('\x30', std::string("\x0a\x01\x00", 3) + element('\xa0', bytes));
}

std::string load(const std::string& cert, const std::string& key, Signer* signer) {
  BioPtr cert_file(BIO_new_file(cert.c_str(), "r"));
  BioPtr key_file(BIO_new_file(key.c_str(), "r"));
  if (!cert_file || !key_file) {
    return "cannot open " + (cert_file ? key : cert);
  }
  signer->cert.reset(PEM_read_bio_X509(cert_file.get(), nullptr, nullptr, nullptr));
  signer->key.reset(PEM_read_bio_PrivateKey(key_file.get(), nullptr, nullptr, nullptr));
  return signer->cert && signer->key ? "" : "cannot read " + cert + " or " + key;
}

// A CertID like this one with another hash (NULL: the same) and the serial moved by an amount.
CertIdPtr cert_id(const Signer& issuer, const EVP_MD* digest, OCSP_CERTID* like, unsigned long move) {
  ASN1_INTEGER* serial = nullptr;
  ASN1_OBJECT* algorithm = nullptr;
  OCSP_id_get0_info(nullptr, &algorithm, nullptr, &serial, like);
  BnPtr number(ASN1_INTEGER_to_BN(serial, nullptr));
  BN_add_word(number.get(), move);
  IntegerPtr moved(BN_to_ASN1_INTEGER(number.get(), nullptr));
  if (digest == nullptr) {
    digest = EVP_get_digestbyobj(algorithm);
  }
  return CertIdPtr(OCSP_cert_id_new(digest, X509_get_subject_name(issuer.cert.get()),
                                    X509_get0_pubkey_bitstr(issuer.cert.get()), moved.get()));
}

int reason_code(const std::string& reason) {
  static const std::map<std::string, int> codes = {{"none", -1},
                                                   {"unspecified", OCSP_REVOKED_STATUS_UNSPECIFIED},
                                                   {"key_compromise", OCSP_REVOKED_STATUS_KEYCOMPROMISE},
                                                   {"superseded", OCSP_REVOKED_STATUS_SUPERSEDED},
                                                   {"cessation", OCSP_REVOKED_STATUS_CESSATIONOFOPERATION},
                                                   {"hold", OCSP_REVOKED_STATUS_CERTIFICATEHOLD}};
  auto it = codes.find(reason);
  return it == codes.end() ? -1 : it->second;
}

const EVP_MD* digest_for(EVP_PKEY* key) {
  return EVP_PKEY_is_a(key, "ED25519") == 1 ? nullptr : EVP_sha256();
}

// OpenSSL would set it to its own clock; tests may want another one.
void set_produced_at(OCSP_BASICRESP* basic, long seconds) {
  ASN1_GENERALIZEDTIME_set(const_cast<ASN1_GENERALIZEDTIME*>(OCSP_resp_get0_produced_at(basic)), seconds);
}

}  // namespace

std::string Answerer::add_issuer(const std::string& name, const std::string& cert, const std::string& key) {
  Signer signer;
  signer.name = name;
  const std::string error = load(cert, key, &signer);
  if (error.empty()) {
    issuers_.push_back(std::move(signer));
  }
  return error;
}

std::string Answerer::add_signer(const std::string& name, const std::string& cert, const std::string& key) {
  Signer signer;
  signer.name = name;
  const std::string error = load(cert, key, &signer);
  if (error.empty()) {
    signers_.push_back(std::move(signer));
  }
  return error;
}

bool Answerer::parse(const std::string& der, Request* request) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const auto* const end = data + der.size();
  request->der.reset(d2i_OCSP_REQUEST(nullptr, &data, static_cast<long>(der.size())));
  if (!request->der || data != end || OCSP_request_onereq_count(request->der.get()) < 1) {
    return false;
  }
  request->id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request->der.get(), 0));
  request->nonce = OCSP_REQUEST_get_ext_by_NID(request->der.get(), NID_id_pkix_OCSP_Nonce, -1) >= 0;
  ASN1_INTEGER* serial = nullptr;
  ASN1_OBJECT* algorithm = nullptr;
  OCSP_id_get0_info(nullptr, &algorithm, nullptr, &serial, request->id);
  BnPtr number(ASN1_INTEGER_to_BN(serial, nullptr));
  char* hex = BN_bn2hex(number.get());
  request->serial = normal_serial(hex);
  OPENSSL_free(hex);
  const int nid = OBJ_obj2nid(algorithm);
  request->hash = nid == NID_sha1 ? "sha1" : nid == NID_sha256 ? "sha256" : "other";
  return true;
}

const Signer* Answerer::issuer_of(OCSP_CERTID* id, std::string* hash) const {
  ASN1_OBJECT* algorithm = nullptr;
  OCSP_id_get0_info(nullptr, &algorithm, nullptr, nullptr, id);
  const EVP_MD* digest = EVP_get_digestbyobj(algorithm);
  if (digest == nullptr) {
    return nullptr;
  }
  *hash = EVP_MD_get0_name(digest);
  for (const Signer& issuer : issuers_) {
    CertIdPtr own(OCSP_cert_to_id(digest, nullptr, issuer.cert.get()));
    if (own && OCSP_id_issuer_cmp(own.get(), id) == 0) {
      return &issuer;
    }
  }
  return nullptr;
}

const Signer* Answerer::choose_signer(const Signer& issuer, const Scope& scope) const {
  const std::string wanted = settings_.get(scope, "signer", "direct");
  if (wanted == "direct") {
    return &issuer;
  }
  for (const Signer& signer : signers_) {
    if (wanted == signer.name ||
        (wanted == "delegated" && X509_check_issued(issuer.cert.get(), signer.cert.get()) == X509_V_OK)) {
      return &signer;
    }
  }
  return &issuer;
}

// Someone who calls himself like the issuer and has another key.
const Signer* Answerer::foreign(const Signer& issuer) {
  Signer& made = foreign_[issuer.name];
  if (!made.cert) {
    made.key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    made.cert.reset(X509_new());
    X509_set_version(made.cert.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert.get()), 666);
    X509_set_subject_name(made.cert.get(), X509_get_subject_name(issuer.cert.get()));
    X509_set_issuer_name(made.cert.get(), X509_get_subject_name(issuer.cert.get()));
    X509_gmtime_adj(X509_getm_notBefore(made.cert.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.cert.get()), 86400L * 365);
    X509_set_pubkey(made.cert.get(), made.key.get());
    X509_sign(made.cert.get(), made.key.get(), EVP_sha256());
  }
  return &made;
}

std::string Answerer::error(int status) {
  ResponsePtr response(OCSP_response_create(status, nullptr));
  return to_der(response.get());
}

void Answerer::add_single(OCSP_BASICRESP* basic, OCSP_CERTID* id, const std::string& status, const Scope& scope,
                          const Times& times) const {
  TimePtr this_update = time_at(times.this_update);
  TimePtr next_update = times.has_next ? time_at(times.next_update) : nullptr;
  TimePtr revoked_at;
  int code = V_OCSP_CERTSTATUS_GOOD;
  int reason = -1;
  if (status == "revoked") {
    code = V_OCSP_CERTSTATUS_REVOKED;
    revoked_at = time_at(settings_.number(scope, "revoked_at", static_cast<long>(wall_clock()) - 3600));
    reason = reason_code(settings_.get(scope, "reason", "none"));
  } else if (status == "unknown") {
    code = V_OCSP_CERTSTATUS_UNKNOWN;
  }
  OCSP_basic_add1_status(basic, id, code, reason, revoked_at.get(), this_update.get(), next_update.get());
}

std::string Answerer::make(const Request& request, const Signer& issuer, const Scope& scope, const Fault& fault) {
  const long now = static_cast<long>(wall_clock()) + settings_.number(scope, "clock", 0);
  const std::string next = settings_.get(scope, "next_update", "604800");
  Times times{now + settings_.number(scope, "this_update", 0), 0, next != "none"};
  times.next_update = now + std::atol(next.c_str());
  std::string status = settings_.get(scope, "status", settings_.get(scope, "default", "good"));
  const auto arg = [&fault](long otherwise) { return fault.arg.empty() ? otherwise : std::atol(fault.arg.c_str()); };

  if (fault.name == "expired") {
    times.next_update = now - arg(3600);
    times.this_update = times.next_update - 86400;
    times.has_next = true;
  } else if (fault.name == "future") {
    times.this_update = now + arg(86400);
    times.next_update = times.this_update + 86400;
  } else if (fault.name == "older") {
    times.this_update -= arg(3600);
  }

  const std::string hash = settings_.get(scope, "hash", "request");
  std::vector<CertIdPtr> ids;
  const unsigned long move = fault.name == "other_serial" ? 1 : 0;
  if (fault.name == "other_issuer") {
    ids.push_back(cert_id(*foreign(issuer), nullptr, request.id, 0));
  } else if (hash == "sha1" || hash == "both") {
    ids.push_back(cert_id(issuer, EVP_sha1(), request.id, move));
  } else if (hash == "request") {
    ids.push_back(cert_id(issuer, nullptr, request.id, move));
  }
  if ((hash == "sha256" || hash == "both") && fault.name != "other_issuer") {
    ids.push_back(cert_id(issuer, EVP_sha256(), request.id, move));
  }

  BasicPtr basic(OCSP_BASICRESP_new());
  if (fault.name == "other_hash_first") {
    add_single(basic.get(), cert_id(issuer, EVP_sha256(), request.id, 7).get(), "good", scope, times);
  }
  if (fault.name == "other_too") {
    for (unsigned long other : {7UL, 8UL}) {
      add_single(basic.get(), cert_id(issuer, nullptr, request.id, other).get(), "revoked", scope, times);
    }
  }
  if (fault.name != "no_responses") {
    for (const CertIdPtr& id : ids) {
      add_single(basic.get(), id.get(), status, scope, times);
      if (fault.name == "two_responses_disagree") {
        add_single(basic.get(), id.get(), fault.arg.empty() ? "revoked" : fault.arg, scope, times);
      }
    }
  }

  const Signer* signer = fault.name == "foreign_signer" ? foreign(issuer) : choose_signer(issuer, scope);
  unsigned long flags = OCSP_NOTIME;
  if (settings_.get(scope, "rid", "name") == "key") {
    flags |= OCSP_RESPID_KEY;
  }
  if (signer == &issuer || fault.name == "no_certs") {
    flags |= OCSP_NOCERTS;
  }
  set_produced_at(basic.get(), fault.name == "expired" || fault.name == "older" ? times.this_update : now);
  if (OCSP_basic_sign(basic.get(), signer->cert.get(), signer->key.get(), digest_for(signer->key.get()), nullptr,
                      flags) != 1) {
    return error(OCSP_RESPONSE_STATUS_INTERNALERROR);
  }
  if (fault.name == "broken_signature") {
    const ASN1_OCTET_STRING* signature = OCSP_resp_get0_signature(basic.get());
    const_cast<unsigned char*>(ASN1_STRING_get0_data(signature))[ASN1_STRING_length(signature) - 1] ^= 1;
  }
  ResponsePtr response(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
  std::string der = to_der(response.get());
  if (fault.name == "not_basic") {
    static const char kBasic[] = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
    const size_t at = der.find(kBasic);
    if (at != std::string::npos) {
      der[at + sizeof kBasic - 2] = 2;
    }
  } else if (fault.name == "trailing") {
    der += "trailing bytes";
  } else if (fault.name == "trailing_inside") {
    der = with_inner_trailing(basic.get());
  }
  return der;
}

std::string Answerer::answer(const Request& request, int port, const Fault& fault) {
  static const std::map<std::string, int> errors = {{"malformed_request", OCSP_RESPONSE_STATUS_MALFORMEDREQUEST},
                                                    {"internal_error", OCSP_RESPONSE_STATUS_INTERNALERROR},
                                                    {"try_later", OCSP_RESPONSE_STATUS_TRYLATER},
                                                    {"sig_required", OCSP_RESPONSE_STATUS_SIGREQUIRED},
                                                    {"unauthorized", OCSP_RESPONSE_STATUS_UNAUTHORIZED}};
  auto named = errors.find(fault.name);
  if (named != errors.end()) {
    return error(named->second);
  }
  if (request.id == nullptr) {
    return error(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
  }
  const Scope scope{port, request.serial};
  std::string digest;
  const Signer* issuer = issuer_of(request.id, &digest);
  const std::string accepted = settings_.get(scope, "accept_hash", "both");
  if (issuer == nullptr || (accepted != "both" && accepted != request.hash)) {
    return error(OCSP_RESPONSE_STATUS_UNAUTHORIZED);
  }

  const std::string key = std::to_string(port) + ' ' + issuer->name + ' ' + request.serial + ' ' + digest;
  Given& given = given_[key];
  const double now = wall_clock();
  const double age = now - given.made;
  const bool keep = fault.name == "old_same" || (given.generation == generation_ &&
                                                 age < static_cast<double>(settings_.number(scope, "cache", 0)));
  if (keep && !given.der.empty() && (fault.name == "none" || fault.name == "old_same")) {
    return given.der;
  }
  std::string der = make(request, *issuer, scope, fault);
  if (fault.name == "none" || fault.name == "old_same") {
    given = {der, now, generation_};
  }
  return der;
}

}  // namespace responder
