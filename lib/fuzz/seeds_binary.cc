// Seeds of the binary targets.
#include <cstring>

#include "fuzz/fuzz.h"
#include "store/layout.h"
#include "tests/fakes/engine_fixture.h"

namespace ocsp_plus::fuzz {
namespace {

std::string big_endian(std::uint64_t value, int bytes) {
  std::string text;
  while (bytes-- > 0) {
    text += static_cast<char>(value >> 8 * bytes & 0xff);
  }
  return text;
}

std::string little_endian(std::uint64_t value, int bytes) {
  const std::string text = big_endian(value, bytes);
  return {text.rbegin(), text.rend()};
}

Seed seed(const char* name, const std::string& bytes) {
  return {name, ByteView(bytes).copy()};
}

// --- zone --------------------------------------------------------------------------------------------------------

std::string patch(std::size_t offset, const std::string& bytes) {
  return big_endian(offset, 2) + big_endian(bytes.size() - 1, 1) + bytes;
}

// --- dns ---------------------------------------------------------------------------------------------------------

// Returns a resource record for the answer whose owner is the queried name.
std::string record(int type, const std::string& data, std::uint32_t ttl = 60) {
  return "\xc0\x0c" + big_endian(static_cast<std::uint64_t>(type), 2) + big_endian(1, 2) + big_endian(ttl, 4) +
         big_endian(data.size(), 2) + data;
}

std::string answer(std::uint64_t flags, std::uint64_t records, const std::string& rest) {
  return std::string(1, '\0') + big_endian(flags, 2) + big_endian(1, 2) + big_endian(records, 2) + big_endian(0, 4) +
         rest;
}

}  // namespace

std::vector<Seed> zone_seeds() {
  constexpr std::size_t kSize = 36 << 10;  // as in fuzz_zone.cc
  const store::Geometry geometry = store::Geometry::of(kSize);
  const auto at_entry = [&geometry](std::size_t entry, std::size_t field) {
    return geometry.entries + entry * sizeof(store::Entry) + field;
  };
  constexpr std::size_t kWord = 0;
  constexpr std::size_t kGeneration = 8;
  const std::size_t first_length = geometry.arena + offsetof(store::BlobHeader, length);
  std::vector<Seed> seeds;
  for (char use = 0; use < 4; ++use) {
    seeds.push_back(seed(("untouched_" + std::to_string(use)).c_str(), std::string(1, use)));
  }
  const auto add = [&seeds](const char* name, const std::string& patches) {
    seeds.push_back(seed(name, '\1' + patches));
  };
  add("word_beyond_arena", patch(at_entry(0, kWord), little_endian(UINT64_C(1) << 32 | UINT32_MAX, 8)));
  add("word_misplaced", patch(at_entry(0, kWord), little_endian(UINT64_C(1) << 32 | 1, 8)));
  add("two_words_alike", patch(at_entry(1, kWord), little_endian(UINT64_C(1) << 32, 8)));
  add("entry_of_no_generation", patch(at_entry(2, kGeneration), little_endian(0, 4)));
  add("length_huge", patch(first_length, little_endian(UINT32_MAX, 4)));
  add("length_to_the_end", patch(first_length, little_endian(geometry.arena_bytes - sizeof(store::BlobHeader), 4)));
  add("length_zero", patch(first_length, little_endian(0, 4)));
  add("index_full_of_tombstones", patch(geometry.index, std::string(256, '\xff')));
  add("index_beyond_entries", patch(geometry.index, little_endian(0x7fffffff, 4) + little_endian(0xfffffffe, 4)));
  add("entries_high", patch(offsetof(store::Header, entries), little_endian(UINT32_MAX, 4)));
  add("lease_of_the_future", patch(offsetof(store::Header, lease), std::string(32, '\x7f')));
  add("other_size", patch(offsetof(store::Header, size), little_endian(1 << 20, 8)));
  add("other_version", patch(offsetof(store::Header, layout_version), little_endian(9, 4)));
  return seeds;
}

std::vector<Seed> dns_seeds() {
  const std::string v4("\xc0\x00\x02\x01", 4);
  const std::string v6 = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\1';
  const std::string name("\5other\7example\0", 15);
  std::string many;
  for (char i = 0; i < 40; ++i) {
    many += record(1, v4.substr(0, 3) + i);
  }
  constexpr std::uint64_t kNoError = 0x8580;
  return {
      seed("a", answer(kNoError, 1, record(1, v4))),
      seed("aaaa", answer(kNoError, 1, record(28, v6))),
      seed("alias", answer(kNoError, 2, record(5, name) + record(1, v4))),
      seed("alias_of_itself", answer(kNoError, 1, record(5, "\xc0\x0c"))),
      seed("forty_addresses", answer(kNoError, 40, many)),
      seed("short_address", answer(kNoError, 1, record(1, v4.substr(1)))),
      seed("long_ttl", answer(kNoError, 1, record(1, v4, UINT32_MAX))),
      seed("fewer_records_than_said", answer(kNoError, 9, record(1, v4))),
      seed("pointer_to_itself", answer(kNoError, 1, "\xc0\x1e" + record(1, v4).substr(2))),
      seed("truncated", answer(kNoError | 0x0200, 0, "")),
      seed("servfail", answer(kNoError | 2, 0, "")),
      seed("nxdomain", answer(kNoError | 3, 0, "")),
      seed("refused", answer(kNoError | 5, 0, "")),
      seed("no_records", answer(kNoError, 0, "")),
      seed("raw_header", std::string("\1\x85\x80\0\1\0\1\0\0\0\0", 11)),
      seed("raw_other_question", std::string("\1\x85\x80\0\1\0\1\0\0\0\0", 11) + name + std::string("\0\1\0\1", 4)),
      seed("raw_nothing", "\1"),
  };
}

// --- cache -------------------------------------------------------------------------------------------------------

std::vector<Seed> cache_seeds() {
  const auto& leaf = testing::test_leaf(0);
  const auto& ca = testing::test_ca();
  const Bytes good = testing::good_response(leaf, ca);
  Bytes torn = good;
  torn.resize(torn.size() / 2);
  Bytes followed = good;
  followed.insert(followed.end(), {0x0d, 0x0a});
  return {
      {"good", good},
      {"followed", followed},
      {"revoked", testing::revoked_response(leaf, ca)},
      {"unknown", testing::unknown_response(leaf, ca)},
      {"ended", testing::good_response(leaf, ca, testing::kNow - 9 * testing::kDay, testing::kNow - 1)},
      {"of_another", testing::good_response(testing::test_leaf(1), ca)},
      {"try_later", testing::error_response(3)},
      {"torn", torn},
      {"empty", {}},
      {"too_large", Bytes(8193, 0x30)},
      seed("pem", "text\n-----BEGIN OCSP RESPONSE-----\nMAMKAQM=\n-----END OCSP RESPONSE-----\n"),
      seed("pem_with_header",
           "-----BEGIN OCSP RESPONSE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nMAMKAQM=\n"
           "-----END OCSP RESPONSE-----\n"),
      seed("pem_of_another", "-----BEGIN CERTIFICATE-----\nMAMKAQM=\n-----END CERTIFICATE-----\n"),
      seed("pem_open", "-----BEGIN OCSP RESPONSE-----\nMAMKAQM=\n"),
  };
}

// --- issuer ------------------------------------------------------------------------------------------------------

std::vector<Seed> issuer_seeds() {
  const auto& ca = testing::test_ca();
  const auto& leaf = testing::test_leaf(0);
  const Bytes der = ca.der();
  Bytes torn = der;
  torn.resize(torn.size() / 2);
  Bytes trailed = der;
  trailed.insert(trailed.end(), 5, 0);
  Bytes flipped = der;
  flipped.back() ^= 1;
  // Builds a ContentInfo of SignedData with certificates and without signers.
  namespace asn1 = testing::der;
  const auto message = [](const std::vector<Bytes>& certificates) {
    return asn1::sequence(
        {asn1::oid("1.2.840.113549.1.7.2"),
         asn1::tlv(0xa0, asn1::sequence({asn1::integer(Bytes{1}), asn1::tlv(0x31, Bytes()),
                                         asn1::sequence({asn1::oid("1.2.840.113549.1.7.1")}),
                                         asn1::tlv(0xa0, asn1::join(certificates)), asn1::tlv(0x31, Bytes())}))});
  };
  return {
      {"der", der},
      {"der_of_leaf", leaf.der()},
      {"der_torn", torn},
      {"der_trailed", trailed},
      {"der_flipped", flipped},
      {"p7c", message({leaf.der(), der})},
      {"p7c_of_none", message({})},
      {"p7c_of_many", message(std::vector<Bytes>(40, leaf.der()))},
      {"p7c_of_other_type", asn1::sequence({asn1::oid("1.2.840.113549.1.7.1"), asn1::tlv(0xa0, asn1::null())})},
      {"p7c_without_content", asn1::sequence({asn1::oid("1.2.840.113549.1.7.2")})},
      seed("pem", "text\n" + leaf.pem() + ca.pem()),
      seed("pem_p7c", "-----BEGIN PKCS7-----\nMAsGCSqGSIb3DQEHAg==\n-----END PKCS7-----\n"),
      seed("pem_encrypted",
           "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nMAMKAQM=\n"
           "-----END CERTIFICATE-----\n"),
      seed("pem_open", "-----BEGIN CERTIFICATE-----\nMAMKAQM=\n"),
      seed("page", "<html><body>Please log in</body></html>"),
  };
}

}  // namespace ocsp_plus::fuzz
