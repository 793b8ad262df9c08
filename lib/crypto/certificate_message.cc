#include "crypto/certificate_message.h"

namespace ocsp_plus::crypto {
namespace {

constexpr std::size_t kStatusRequest = 5;  // ExtensionType
constexpr std::size_t kOcsp = 1;           // CertificateStatusType

// Reads numbers and vectors of TLS (RFC 8446 section 3) from the start of what is left.
class Reader {
 public:
  explicit Reader(ByteView bytes) : left_(bytes) {}

  bool at_end() const { return left_.empty(); }

  std::optional<std::size_t> number(std::size_t width) {
    const auto bytes = take(width);
    if (!bytes.has_value()) {
      return std::nullopt;
    }
    std::size_t value = 0;
    for (const std::uint8_t byte : *bytes) {
      value = value << 8 | byte;
    }
    return value;
  }

  // A vector whose length is a number of `width` octets.
  std::optional<ByteView> vector(std::size_t width) {
    const auto size = number(width);
    return size.has_value() ? take(*size) : std::nullopt;
  }

 private:
  std::optional<ByteView> take(std::size_t size) {
    if (size > left_.size()) {
      return std::nullopt;
    }
    const ByteView taken(left_.data(), size);
    left_ = ByteView(left_.data() + size, left_.size() - size);
    return taken;
  }

  ByteView left_;
};

// Returns whether the extensions of an entry are well-formed; `entry` then has its staple.
bool read_extensions(ByteView extensions, CertificateEntry* entry) {
  Reader reader(extensions);
  while (!reader.at_end()) {
    const auto type = reader.number(2);
    const auto data = reader.vector(2);
    if (!type.has_value() || !data.has_value() || (*type == kStatusRequest && entry->staple.has_value())) {
      return false;
    }
    if (*type == kStatusRequest) {
      entry->staple = parse_certificate_status(*data);
    }
  }
  return true;
}

}  // namespace

std::optional<std::vector<CertificateEntry>> parse_certificates(ByteView body, bool is_tls12) {
  Reader message(body);
  if (!is_tls12 && !message.vector(1).has_value()) {
    return std::nullopt;
  }
  const auto list = message.vector(3);
  if (!list.has_value() || !message.at_end()) {
    return std::nullopt;
  }
  std::vector<CertificateEntry> entries;
  for (Reader reader(*list); !reader.at_end();) {
    CertificateEntry entry;
    const auto certificate = reader.vector(3);
    if (!certificate.has_value() || certificate->empty()) {
      return std::nullopt;
    }
    entry.certificate = *certificate;
    if (!is_tls12) {
      const auto extensions = reader.vector(2);
      if (!extensions.has_value() || !read_extensions(*extensions, &entry)) {
        return std::nullopt;
      }
    }
    entries.push_back(entry);
  }
  return entries;
}

ByteView parse_certificate_status(ByteView status) {
  Reader reader(status);
  const auto type = reader.number(1);
  const auto response = reader.vector(3);
  return type == kOcsp && response.has_value() && reader.at_end() ? *response : ByteView();
}

}  // namespace ocsp_plus::crypto
