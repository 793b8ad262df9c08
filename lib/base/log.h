// Log lines: one event, one line, a sentence first and key=value pairs after it.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/ports.h"

namespace ocsp_plus {

// In double quotes, with quotes, backslashes and everything that is not printable ASCII or part of a UTF-8 sequence
// escaped as \xNN: certificate subjects and responders may write anything, including line feeds.
std::string quoted(std::string_view text);

template <typename... Args>
void log(LogSink& sink, LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (sink.enabled(level)) {
    sink.write(level, fmt::format(format, std::forward<Args>(args)...));
  }
}

}  // namespace ocsp_plus
