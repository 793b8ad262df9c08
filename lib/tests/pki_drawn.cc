// Single responses of which an OpenSSL that selects (crypto/sendable.h) finds some and leaves others out.
#include <openssl/evp.h>

#include <stdexcept>

#include "tests/fakes/mmap_zone.h"
#include "tests/pki.h"

namespace ocsp_plus::testing {
namespace {

Bytes hash_under(const std::string& algorithm, ByteView octets) {
  Bytes out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  if (EVP_Digest(octets.data(), octets.size(), out.data(), &size, EVP_get_digestbyname(algorithm.c_str()), nullptr) !=
      1) {
    throw std::runtime_error("no such hash: " + algorithm);
  }
  out.resize(size);
  return out;
}

}  // namespace

SingleSpec draw_single(TestRandom& random, const Identity& leaf) {
  static const std::vector<std::string> hashes = {"SHA1", "SHA256", "SHA1", "SHA256", "SHA384", "MD5"};
  SingleSpec single;
  single.hash = hashes[random.below(hashes.size())];
  single.status = random.below(4) == 0 ? Status::kRevoked : Status::kGood;
  if (random.below(3) == 0) {
    single.serial = Bytes{0x2b};
  }
  if (const auto name = random.below(4); name == 0) {
    single.name_hash = hash_under(single.hash, leaf.described().issuer_name);  // as the leaf writes it
  } else if (name == 1) {
    single.name_hash = hash_under(single.hash, Bytes{1});
  }
  if (random.below(4) == 0) {
    single.key_hash = Bytes(20, 7);
  }
  return single;
}

}  // namespace ocsp_plus::testing
