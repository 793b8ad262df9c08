// What the two halves of the test PKI share; tests include pki.h only.
#pragma once

#include "crypto/ossl.h"
#include "tests/pki.h"

namespace ocsp_plus::testing {

// Throws, with what OpenSSL has to say, unless `done`.
void require(bool done, const char* what);

Bytes hash(const EVP_MD* algorithm, ByteView bytes);

// The DER of an OpenSSL object by its i2d function.
template <typename T, typename Encoder>
Bytes encode(T* object, Encoder encoder) {
  unsigned char* out = nullptr;
  const int size = encoder(object, &out);
  const crypto::BytesPtr owner(out);
  require(size > 0, "encoding");
  return Bytes(out, out + size);
}

}  // namespace ocsp_plus::testing
