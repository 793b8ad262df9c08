#include "crypto/certificate_message.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ocsp_plus;
using crypto::CertificateEntry;
using crypto::parse_certificate_status;
using crypto::parse_certificates;

namespace {

std::string number(std::size_t value, int width) {
  std::string octets;
  while (--width >= 0) {
    octets += static_cast<char>(value >> (8 * width) & 0xff);
  }
  return octets;
}

std::string vector(const std::string& content, int width) {
  return number(content.size(), width) + content;
}

std::string status(const std::string& response) {
  return number(1, 1) + vector(response, 3);
}

std::string extension(std::size_t type, const std::string& data) {
  return number(type, 2) + vector(data, 2);
}

std::string entry(const std::string& certificate, const std::string& extensions) {
  return vector(certificate, 3) + vector(extensions, 2);
}

std::string message(const std::string& entries) {
  return vector("", 1) + vector(entries, 3);
}

// Borrowed bytes of exactly this size, so that a sanitizer sees what is read beyond them.
struct Parsed {
  explicit Parsed(const std::string& body, bool is_tls12 = false)
      : bytes(body.begin(), body.end()), entries(parse_certificates(bytes, is_tls12)) {}
  Bytes bytes;
  std::optional<std::vector<CertificateEntry>> entries;
};

std::string text(const CertificateEntry& entry) {
  return std::string(entry.certificate.text()) + ":" +
         (entry.staple.has_value() ? std::string(entry.staple->text()) : "none");
}

}  // namespace

TEST_CASE("certificate_message: certificates and their staples", "[certificate_message][rfc8446-4.4.2]") {
  const std::string other = extension(18, "timestamps");
  const Parsed parsed(message(entry("leaf", extension(5, status("first")) + other) +
                              entry("inner", other + extension(5, status("second"))) + entry("outer", other) +
                              entry("root", "")));
  REQUIRE(parsed.entries.has_value());
  REQUIRE(parsed.entries->size() == 4);
  CHECK(text(parsed.entries->at(0)) == "leaf:first");
  CHECK(text(parsed.entries->at(1)) == "inner:second");
  CHECK(text(parsed.entries->at(2)) == "outer:none");
  CHECK(text(parsed.entries->at(3)) == "root:none");
}

TEST_CASE("certificate_message: TLS 1.2 has neither context nor extensions", "[certificate_message][rfc5246-7.4.2]") {
  const std::string body = vector(vector("leaf", 3) + vector("inner", 3), 3);
  const Parsed parsed(body, true);
  REQUIRE(parsed.entries.has_value());
  REQUIRE(parsed.entries->size() == 2);
  CHECK(text(parsed.entries->at(0)) == "leaf:none");
  CHECK(text(parsed.entries->at(1)) == "inner:none");
  CHECK_FALSE(Parsed(body, false).entries.has_value());
  CHECK_FALSE(Parsed(message(entry("leaf", "")), true).entries.has_value());
}

TEST_CASE("certificate_message: a context and an empty list", "[certificate_message]") {
  const Parsed with_context(vector("context", 1) + vector(entry("leaf", ""), 3));
  REQUIRE(with_context.entries.has_value());
  CHECK(with_context.entries->size() == 1);
  for (const bool is_tls12 : {false, true}) {
    const Parsed empty(is_tls12 ? vector("", 3) : message(""), is_tls12);
    REQUIRE(empty.entries.has_value());
    CHECK(empty.entries->empty());
  }
}

TEST_CASE("certificate_message: cut anywhere or with more octets it is refused", "[certificate_message]") {
  const std::string whole =
      message(entry("leaf", extension(5, status("first"))) + entry("inner", extension(5, status("second"))));
  const std::string whole12 = vector(vector("leaf", 3) + vector("inner", 3), 3);
  REQUIRE(Parsed(whole).entries.has_value());
  REQUIRE(Parsed(whole12, true).entries.has_value());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK_FALSE(Parsed(whole.substr(0, size)).entries.has_value());
  }
  for (std::size_t size = 0; size < whole12.size(); ++size) {
    INFO(size);
    CHECK_FALSE(Parsed(whole12.substr(0, size), true).entries.has_value());
  }
  CHECK_FALSE(Parsed(whole + '\0').entries.has_value());
  CHECK_FALSE(Parsed(whole12 + '\0', true).entries.has_value());
}

TEST_CASE("certificate_message: the list cut anywhere, its length as well", "[certificate_message]") {
  const std::string first = entry("leaf", extension(5, status("first")));
  const std::string entries = first + entry("inner", extension(5, status("second")));
  for (std::size_t size = 1; size < entries.size(); ++size) {
    INFO(size);
    CHECK(Parsed(message(entries.substr(0, size))).entries.has_value() == (size == first.size()));
  }
}

TEST_CASE("certificate_message: lengths that lie", "[certificate_message]") {
  const std::string most24 = "\xff\xff\xff", most16 = "\xff\xff", nothing24(3, '\0');
  const std::string bodies[] = {
      "\xff",
      vector("", 1) + most24,
      vector("", 1) + most24 + entry("leaf", ""),
      vector("", 1) + number(entry("leaf", "").size() - 1, 3) + entry("leaf", ""),
      message(most24 + "leaf" + vector("", 2)),
      message(nothing24 + vector("", 2)),  // a certificate has at least one octet
      message(vector("leaf", 3) + most16),
      message(vector("leaf", 3) + most16 + extension(5, status("first"))),
      message(entry("leaf", number(5, 2) + most16)),
      message(entry("leaf", number(5, 2) + most16 + status("first"))),
      message(entry("leaf", number(18, 2) + number(1, 2))),
      message(entry("leaf", number(5, 1))),
      message(entry("leaf", extension(5, status("first")) + extension(5, status("second")))),
      message(entry("leaf", extension(5, "") + extension(5, status("second")))),
  };
  for (const std::string& body : bodies) {
    INFO(to_hex(ByteView(body)));
    CHECK_FALSE(Parsed(body).entries.has_value());
  }
}

// The message stays readable around it, so that the verdict is about the staple.
TEST_CASE("certificate_message: a CertificateStatus without a response", "[certificate_message][rfc6066-8]") {
  const std::string whole = status("first");
  CHECK(parse_certificate_status(ByteView(whole)).text() == "first");
  std::vector<std::string> bad = {whole + '\0', status(""),
                                  number(1, 1) +
                                      "\xff\xff\xff"
                                      "first",
                                  number(2, 1) + vector("first", 3), number(0, 1) + vector("first", 3)};
  for (std::size_t size = 0; size < whole.size(); ++size) {
    bad.push_back(whole.substr(0, size));
  }
  for (const std::string& data : bad) {
    INFO(to_hex(ByteView(data)));
    const Bytes exact(data.begin(), data.end());
    CHECK(parse_certificate_status(exact).empty());
    const Parsed parsed(message(entry("leaf", extension(5, data)) + entry("inner", extension(5, status("second")))));
    REQUIRE(parsed.entries.has_value());
    CHECK(text(parsed.entries->at(0)) == "leaf:");
    CHECK(text(parsed.entries->at(1)) == "inner:second");
  }
}
