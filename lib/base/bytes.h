// Byte strings, and the identity of a certificate.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocsp_plus {

using Bytes = std::vector<std::uint8_t>;

// A borrowed run of bytes; valid as long as the bytes it was made from.
class ByteView {
 public:
  constexpr ByteView() = default;
  constexpr ByteView(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  ByteView(const Bytes& bytes) : data_(bytes.data()), size_(bytes.size()) {}  // NOLINT: implicit
  template <std::size_t N>
  constexpr ByteView(const std::array<std::uint8_t, N>& bytes) : data_(bytes.data()), size_(N) {}  // NOLINT: implicit
  explicit ByteView(std::string_view text)
      : data_(reinterpret_cast<const std::uint8_t*>(text.data())), size_(text.size()) {}

  constexpr const std::uint8_t* data() const { return data_; }
  constexpr std::size_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }
  constexpr const std::uint8_t* begin() const { return data_; }
  constexpr const std::uint8_t* end() const { return data_ + size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  Bytes copy() const { return Bytes(begin(), end()); }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

inline bool operator==(ByteView a, ByteView b) {
  return a.text() == b.text();
}
inline bool operator!=(ByteView a, ByteView b) {
  return !(a == b);
}

// A sum that is the same in all processes, eight bytes at a time. It tells accidents, not forgeries.
std::uint64_t checksum(ByteView bytes, std::uint64_t sum = 0xcbf29ce484222325) noexcept;

// The SHA-256 of a certificate's DER; shown as lower-case hex.
using CertificateId = std::array<std::uint8_t, 32>;

std::string to_hex(ByteView bytes);
// The value of a hexadecimal digit of either case; -1 for anything else.
int hex_digit(char character);
// Parses to_hex() of `size` bytes, in either case; false for any other text.
bool parse_hex(std::string_view hex, std::uint8_t* to, std::size_t size);
// parse_hex() for an identifier, which is an array of bytes; returns nothing for any other text.
template <typename Id>
std::optional<Id> parse_hex(std::string_view hex) {
  Id id = {};
  return parse_hex(hex, id.data(), id.size()) ? std::optional<Id>(id) : std::nullopt;
}
inline std::optional<CertificateId> parse_id(std::string_view hex) {
  return parse_hex<CertificateId>(hex);
}

}  // namespace ocsp_plus
