#include "crypto/response_file.h"

#include <openssl/pem.h>

#include <climits>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

constexpr std::string_view kName = "OCSP RESPONSE";

}  // namespace

Result<Bytes> response_from_file(std::string_view file) {
  const ErrorMark mark;
  // A DER response begins with the tag of a SEQUENCE, "0"; PEM may have comments before its block.
  if (file.find("-----BEGIN ") == std::string_view::npos || file.front() == '0') {
    return ByteView(file).copy();
  }
  if (file.size() > INT_MAX) {
    return fail(Reason::kUnreadable, "the PEM text is too large");
  }
  const BioPtr memory(BIO_new_mem_buf(file.data(), static_cast<int>(file.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  const bool is_read = memory != nullptr && PEM_read_bio(memory.get(), &name, &header, &data, &size) == 1;
  const TextPtr name_owner(name);
  const TextPtr header_owner(header);
  const BytesPtr data_owner(data);
  if (!is_read) {
    return fail(Reason::kUnreadable, "its PEM armour is broken: " + mark.text());
  }
  if (name != kName) {
    return fail(Reason::kUnreadable, "it is PEM, but not -----BEGIN OCSP RESPONSE-----");
  }
  return Bytes(data, data + size);
}

}  // namespace ocsp_plus::crypto
