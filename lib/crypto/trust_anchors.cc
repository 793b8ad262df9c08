#include "crypto/trust_anchors.h"

#include <utility>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

using X509StorePtr = OpenSslPtr<X509_STORE, X509_STORE_free>;
using X509StoreContextPtr = OpenSslPtr<X509_STORE_CTX, X509_STORE_CTX_free>;

struct StackDeleter {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_free(stack); }
};

}  // namespace

struct TrustAnchors::Store {
  X509StorePtr x509;
};

void TrustAnchors::StoreDeleter::operator()(Store* store) const noexcept {
  delete store;
}

Result<TrustAnchors> TrustAnchors::create() {
  const ErrorMark mark;
  TrustAnchors anchors;
  anchors.store_.reset(new Store{X509StorePtr(X509_STORE_new())});
  if (anchors.store_->x509 == nullptr) {
    return fail(Reason::kInternal, "a trust store cannot be set up: " + mark.text());
  }
  return anchors;
}

Result<TrustAnchors> TrustAnchors::of(const std::vector<X509Ptr>& certificates, bool and_of_system) {
  const ErrorsSetAside aside;  // OpenSSL clears the queue after reading a file to its end
  auto anchors = create();
  if (anchors && and_of_system) {
    // A system without anchors trusts no certificate.
    X509_STORE_set_default_paths(anchors->store_->x509.get());
  }
  for (const X509Ptr& certificate : certificates) {
    if (anchors && X509_STORE_add_cert(anchors->store_->x509.get(), certificate.get()) != 1) {
      return fail(Reason::kInternal, "a trust store cannot be filled: " + ErrorsSetAside::text());
    }
  }
  return anchors;
}

Result<TrustAnchors> TrustAnchors::of_system() {
  return of({}, true);
}

x509_store_st* TrustAnchors::store() const {
  return store_->x509.get();
}

X509Ptr TrustAnchors::issuer_of(x509_st* certificate) const {
  const ErrorMark mark;
  const X509StoreContextPtr context(X509_STORE_CTX_new());
  X509* issuer = nullptr;
  if (context == nullptr || X509_STORE_CTX_init(context.get(), store_->x509.get(), certificate, nullptr) != 1 ||
      X509_STORE_CTX_get1_issuer(&issuer, context.get(), certificate) != 1) {
    return nullptr;
  }
  return X509Ptr(issuer);
}

std::string TrustAnchors::objection(const std::vector<X509Ptr>& chain, UnixSeconds now) const {
  const ErrorMark mark;
  const std::unique_ptr<STACK_OF(X509), StackDeleter> others(sk_X509_new_null());
  const X509StoreContextPtr context(X509_STORE_CTX_new());
  if (chain.empty() || others == nullptr || context == nullptr) {
    return "there is no certificate";
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    sk_X509_push(others.get(), chain[i].get());
  }
  if (X509_STORE_CTX_init(context.get(), store_->x509.get(), chain.front().get(), others.get()) != 1 ||
      X509_STORE_CTX_set_default(context.get(), "ssl_server") != 1) {
    return mark.text();
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(parameters, now);
  if (X509_verify_cert(context.get()) == 1) {
    return {};
  }
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

}  // namespace ocsp_plus::crypto
