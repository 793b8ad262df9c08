#include "admin/metrics_text.h"

#include <array>
#include <cstddef>

#include "base/printable.h"

namespace ocsp_plus::admin {
namespace {

struct Description {
  std::string_view name, type, help;
};

constexpr std::array kMetrics = {
#define OCSP_PLUS_METRIC_ROW(enumerator, name, type, help) Description{name, type, help},
    OCSP_PLUS_METRICS(OCSP_PLUS_METRIC_ROW)
#undef OCSP_PLUS_METRIC_ROW
};

}  // namespace

std::string MetricsText::full_name(Metric metric) {
  return fmt::format("ocsp_plus_{}", kMetrics[static_cast<std::size_t>(metric)].name);
}

// OpenMetrics declares a counter's family without _total.
void MetricsText::declare(Metric metric, std::string* out) const {
  const Description& about = kMetrics[static_cast<std::size_t>(metric)];
  std::string family = full_name(metric);
  constexpr std::string_view kTotal = "_total";
  if (open_ && about.type == "counter") {
    family.resize(family.size() - kTotal.size());
  }
  *out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, about.help, family, about.type);
}

// Invalid UTF-8 becomes U+FFFD; backslash, quote and line feed are escaped. The format has
// no other escapes, so unsafe characters become the literal text \xNN.
std::string MetricsText::label(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character found = first_character(text);
    const std::string_view character = text.substr(0, found.bytes);
    if (found.kind == Character::Kind::kInvalid) {
      out += "\xef\xbf\xbd";
    } else if (found.code == '\n') {
      out += "\\n";
    } else if (found.kind == Character::Kind::kUnsafe) {
      for (const char byte : character) {
        out += fmt::format("\\\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      out += found.code == '\\' || found.code == '"' ? "\\" : "";
      out += character;
    }
    text.remove_prefix(found.bytes);
  }
  return out;
}

std::string MetricsText::seconds(std::uint64_t milliseconds) {
  return fmt::format("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
}

}  // namespace ocsp_plus::admin
