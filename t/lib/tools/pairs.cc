// Writes certificates and a response for each, drawn at random, most of them with something odd, for t/wire_oracle.t:
//
//   test_pairs DIRECTORY COUNT SEED   DIRECTORY/pN.{pem,key,der} for N from 0 to COUNT - 1
//
// The .pem has the leaf and its issuer. Times are around now.
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <stdexcept>

#include "tests/fakes/mmap_zone.h"
#include "tests/pki.h"

namespace {

using namespace ocsp_plus;           // NOLINT: nothing but the tool
using namespace ocsp_plus::testing;  // NOLINT: nothing but the tool

void write(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + path);
  }
}

void write_key(const std::string& path, EVP_PKEY* key) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  if (file == nullptr || PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    throw std::runtime_error("cannot write " + path);
  }
}

Identity draw_leaf(TestRandom& random, const Identity& ca, int number, UnixSeconds now) {
  CertificateSpec spec;
  spec.subject = "p" + std::to_string(number);
  spec.dns_names = {spec.subject};
  spec.serial = {1, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)};
  spec.not_before = now - kDay;
  spec.not_after = now + 90 * kDay;
  spec.issuer_printable = random.below(3) == 0 ? "Pairs CA" : "";
  return make_certificate(spec, key(KeyType::kP256, "pairs"), &ca);
}

Bytes draw_response(TestRandom& random, const Identity& leaf, const Identity& ca, UnixSeconds now) {
  ResponseSpec spec;
  spec.status = random.below(20) == 0 ? 3 : 0;  // tryLater
  spec.produced_at = generalized_time(now - kHour);
  spec.by_key = random.below(2) == 0;
  spec.singles.clear();
  for (std::size_t singles = 1 + random.below(3); singles > 0; --singles) {
    SingleSpec single = random.below(2) == 0 ? SingleSpec() : draw_single(random, leaf);
    single.this_update = generalized_time(now - kHour);
    single.next_update = generalized_time(random.below(20) == 0 ? now - 1 : now + kDay);
    single.revoked_at = generalized_time(now - kDay);
    spec.singles.push_back(single);
  }
  return make_response(spec, leaf, ca, ca);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: test_pairs DIRECTORY COUNT SEED\n");
    return 2;
  }
  try {
    const UnixSeconds now = std::time(nullptr);
    TestRandom random(std::stoull(argv[3]));
    const Identity ca = make_ca("Pairs CA");
    const std::string issuer = ca.pem();
    for (int number = 0; number < std::stoi(argv[2]); ++number) {
      const Identity leaf = draw_leaf(random, ca, number, now);
      const std::string path = std::string(argv[1]) + "/p" + std::to_string(number);
      write(path + ".pem", leaf.pem() + issuer);
      write_key(path + ".key", leaf.key);
      write(path + ".der", ByteView(draw_response(random, leaf, ca, now)).text());
    }
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "test_pairs: %s\n", exception.what());
    return 1;
  }
  return 0;
}
