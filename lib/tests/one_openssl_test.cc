// What two OpenSSLs come to is in t/openssl.t, where there are two.
#include "crypto/one_openssl.h"

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

}  // namespace ocsp_plus::crypto
