// Log lines: one line per event, a sentence followed by key=value pairs.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/ports.h"
#include "base/printable.h"

namespace ocsp_plus {

// Returns `text` in double quotes. Quotes, backslashes, unsafe characters and bytes that are not UTF-8
// (base/printable.h) become \xNN: certificates and responders may contain anything, line feeds included.
std::string quoted(std::string_view text);

// Writes one line if `level` is enabled. Escapes unsafe characters, also in unquoted arguments.
template <typename... Args>
void log(LogSink& sink, LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (sink.enabled(level)) {
    sink.write(level, printable(fmt::format(format, std::forward<Args>(args)...)));
  }
}

}  // namespace ocsp_plus
