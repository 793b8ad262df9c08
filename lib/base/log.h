// Log lines: one event, one line, a sentence first and key=value pairs after it.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/ports.h"
#include "base/printable.h"

namespace ocsp_plus {

// In double quotes, with quotes, backslashes and everything that is unsafe to show or no UTF-8 (base/printable.h)
// escaped as \xNN: certificate subjects and responders may write anything, including line feeds.
std::string quoted(std::string_view text);

// What is unsafe to show is escaped, also where it was not quoted.
template <typename... Args>
void log(LogSink& sink, LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (sink.enabled(level)) {
    sink.write(level, printable(fmt::format(format, std::forward<Args>(args)...)));
  }
}

}  // namespace ocsp_plus
