// OCSP requests in, OCSP responses out; nothing of HTTP. Whatever may be wrong inside the DER is made here.
#ifndef T_LIB_TOOLS_RESPONDER_OCSP_H_
#define T_LIB_TOOLS_RESPONDER_OCSP_H_

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "free.h"
#include "responder_state.h"

namespace responder {

using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using RequestPtr = std::unique_ptr<OCSP_REQUEST, Free<OCSP_REQUEST_free>>;
using BasicPtr = std::unique_ptr<OCSP_BASICRESP, Free<OCSP_BASICRESP_free>>;
using CertIdPtr = std::unique_ptr<OCSP_CERTID, Free<OCSP_CERTID_free>>;

struct Signer {
  std::string name;
  X509Ptr cert;
  KeyPtr key;
};

struct Request {
  RequestPtr der;
  OCSP_CERTID* id = nullptr;  // the first one, part of der
  std::string serial, hash;
  bool nonce = false;
};

class Answerer {
 public:
  explicit Answerer(const Settings& settings) : settings_(settings) {}

  // PEM files. Return an empty string or what is wrong.
  std::string add_issuer(const std::string& name, const std::string& cert, const std::string& key);
  std::string add_signer(const std::string& name, const std::string& cert, const std::string& key);

  // False: not a request.
  static bool parse(const std::string& der, Request* request);

  // The DER of the response that settings and fault ask for.
  std::string answer(const Request& request, int port, const Fault& fault);

  static std::string error(int status);
  // Settings have changed: responses kept for "cache" are no longer used.
  void forget() { ++generation_; }

 private:
  struct Given {
    std::string der;
    double made = 0;
    uint64_t generation = 0;
  };
  struct Times {
    long this_update, next_update;
    bool has_next;
  };

  const Signer* issuer_of(OCSP_CERTID* id, std::string* hash) const;
  const Signer* choose_signer(const Signer& issuer, const Scope& scope) const;
  const Signer* foreign(const Signer& issuer);
  std::string make(const Request& request, const Signer& issuer, const Scope& scope, const Fault& fault);
  void add_single(OCSP_BASICRESP* basic, OCSP_CERTID* id, const std::string& status, const Scope& scope,
                  const Times& times) const;

  const Settings& settings_;
  std::vector<Signer> issuers_, signers_;
  std::map<std::string, Signer> foreign_;
  std::map<std::string, Given> given_;  // the last proper response for each question
  uint64_t generation_ = 1;
};

}  // namespace responder

#endif  // T_LIB_TOOLS_RESPONDER_OCSP_H_
