#include "crypto/ocsp_request.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/pki.h"

namespace ocsp_plus::testing {
namespace {

using crypto::CertIdHash;

// OCSPRequest ::= SEQUENCE { tbsRequest SEQUENCE { requestList SEQUENCE OF SEQUENCE { reqCert CertID } } }
Bytes expected_request(const std::string& hash, ByteView name_hash, ByteView key_hash, const Bytes& serial) {
  const Bytes id = der::sequence({der::sequence({der::oid(hash), der::tlv(0x05, {})}), der::octet_string(name_hash),
                                  der::octet_string(key_hash), der::integer(serial)});
  return der::sequence({der::sequence({der::sequence({der::sequence({id})})})});
}

std::string decoded(std::string path) {
  for (const auto& [code, byte] : {std::pair("%2B", "+"), std::pair("%2F", "/"), std::pair("%3D", "=")}) {
    for (auto at = path.find(code); at != std::string::npos; at = path.find(code)) {
      path.replace(at, 3, byte);
    }
  }
  return path;
}

}  // namespace

TEST_CASE("make_request: one CertID and nothing else", "[ocsp_request][rfc6960-4.1.1][rfc9919-2.1]") {
  const Identity ca = make_ca("CA");
  const auto issuer = ca.issuer();
  for (const Bytes& serial : {Bytes{0x2a}, Bytes{0x00}, Bytes{0x80, 0x01}, Bytes(20, 0x5a), Bytes(200, 0x11)}) {
    INFO(to_hex(serial));
    const crypto::Certificate leaf = make_leaf(ca, "leaf.example", "", serial).described();
    const auto sha1 = crypto::make_request(leaf, *issuer, CertIdHash::kSha1);
    const auto sha256 = crypto::make_request(leaf, *issuer, CertIdHash::kSha256);
    REQUIRE(sha1);
    REQUIRE(sha256);
    CHECK(sha1->der == expected_request("SHA1", issuer->name_sha1(), issuer->key_sha1(), serial));
    CHECK(sha256->der == expected_request("SHA256", issuer->name_sha256(), issuer->key_sha256(), serial));
  }
  CHECK(queued_openssl_errors() == 0);
}

TEST_CASE("make_request: the path of a GET is percent-encoded base64", "[ocsp_request][rfc6960-A.1]") {
  const Identity ca = make_ca("CA");
  const auto issuer = ca.issuer();
  bool any_plus = false;
  bool any_slash = false;
  bool any_padding = false;
  for (std::uint8_t i = 0; i < 60; ++i) {
    crypto::Certificate leaf;
    leaf.serial = Bytes(1 + i % 3, 0x7e);
    leaf.serial.back() = static_cast<std::uint8_t>(i * 4 + 3);
    const auto request = crypto::make_request(leaf, *issuer, CertIdHash::kSha1);
    REQUIRE(request);
    const std::string& path = request->get_path;
    CHECK(std::all_of(path.begin(), path.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '%'; }));
    const std::string text = decoded(path);
    CHECK(text.size() == (request->der.size() + 2) / 3 * 4);
    any_plus = any_plus || text.find('+') != std::string::npos;
    any_slash = any_slash || text.find('/') != std::string::npos;
    any_padding = any_padding || text.back() == '=';
  }
  CHECK((any_plus || any_slash));
  CHECK(any_padding);
}

TEST_CASE("make_request: a serial that is no INTEGER is refused", "[ocsp_request]") {
  const Identity ca = make_ca("CA");
  crypto::Certificate leaf;
  for (const Bytes& serial : {Bytes(), Bytes{0x00, 0x01}}) {
    leaf.serial = serial;
    CHECK_FALSE(crypto::make_request(leaf, *ca.issuer(), CertIdHash::kSha1));
  }
  CHECK(queued_openssl_errors() == 0);
}

}  // namespace ocsp_plus::testing
