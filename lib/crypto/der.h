// Reads DER (X.690) element by element, for fields without an OpenSSL accessor, or with one that an nginx with
// OpenSSL linked in lacks.
#pragma once

#include <openssl/asn1.h>
#include <openssl/err.h>

#include <cstddef>
#include <optional>

#include "base/bytes.h"

namespace ocsp_plus::crypto {

// Iterates over the elements of a structure. Borrows the octets.
class Elements {
 public:
  explicit Elements(ByteView octets) : left_(octets) {}

  // Consumes the next element and returns its content; nothing if it has another tag, is truncated or has an
  // indefinite length.
  std::optional<ByteView> take(int tag, int tag_class = V_ASN1_UNIVERSAL) {
    const unsigned char* in = left_.data();
    long length = 0;
    int found = 0;
    int found_class = 0;
    ERR_set_mark();
    const int flags = ASN1_get_object(&in, &length, &found, &found_class, static_cast<long>(left_.size()));
    ERR_pop_to_mark();
    if ((flags & 0x81) != 0 || found != tag || found_class != tag_class) {
      return std::nullopt;
    }
    const ByteView content(in, static_cast<std::size_t>(length));
    left_ = {content.end(), static_cast<std::size_t>(left_.end() - content.end())};
    return content;
  }
  ByteView left() const { return left_; }
  bool empty() const { return left_.empty(); }

 private:
  ByteView left_;
};

}  // namespace ocsp_plus::crypto
