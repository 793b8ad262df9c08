// What two OpenSSLs come to is in t/openssl.t, where there are two.
#include "crypto/one_openssl.h"

#include <openssl/crypto.h>

#include <catch2/catch.hpp>

namespace ocsp_plus::crypto {

TEST_CASE("one_openssl: this program has one, and the right one", "[one_openssl]") {
  const auto checked = check_one_openssl();
  INFO((checked ? "" : checked.error().detail));
  CHECK(checked.has_value());
}

TEST_CASE("one_openssl: versions", "[one_openssl]") {
  CHECK(version_fits(0x30000110, 0x30000110));
  CHECK(version_fits(0x30000110, 0x30000020));  // a patch less
  CHECK(version_fits(0x30000110, 0x30200010));
  CHECK_FALSE(version_fits(0x30200010, 0x30000110));  // what 3.2 has 3.0 may lack
  CHECK_FALSE(version_fits(0x30000110, 0x1010117f));
  CHECK_FALSE(version_fits(0x30000110, 0x40000000));
}

TEST_CASE("one_openssl: 3.6.0 alone is not stapled with", "[one_openssl]") {
  CHECK_FALSE(may_staple(0x30600000));
  for (const unsigned long version : {0x30000130UL, 0x30500090UL, 0x305000f0UL, 0x30600010UL, 0x30600050UL,
                                      0x30700000UL, 0x40000000UL, 0x40000010UL}) {
    CHECK(may_staple(version));
  }
  CHECK(check_stapling().has_value() == may_staple(OpenSSL_version_num()));
}

}  // namespace ocsp_plus::crypto
