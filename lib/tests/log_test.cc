#include "base/log.h"

#include <catch2/catch.hpp>

#include "tests/fakes/stepped_loop.h"

namespace ocsp_plus {
namespace {

TEST_CASE("log: what somebody else wrote is quoted", "[log]") {
  using namespace std::string_literals;
  struct Case {
    std::string text, quoted;
  };
  for (const Case& c : {
           Case{"", R"("")"},
           Case{"www.example", R"("www.example")"},
           Case{"a \"b\" \\c", R"("a \x22b\x22 \x5cc")"},
           Case{"two\nlines\r\t\x7f\0."s, R"("two\x0alines\x0d\x09\x7f\x00.")"},
           Case{"M\xc3\xbcnchen \xe6\x9d\xb1 \xf0\x9f\x94\x92", "\"M\xc3\xbcnchen \xe6\x9d\xb1 \xf0\x9f\x94\x92\""},
       }) {
    CHECK(quoted(c.text) == c.quoted);
  }
}

TEST_CASE("log: a line below the level costs no formatting", "[log]") {
  testing::RecordingLog sink;
  log(sink, LogLevel::kDebug, "{}", 1);
  CHECK(sink.lines.empty());
  log(sink, LogLevel::kWarn, "{} and {}", 1, "two");
  REQUIRE(sink.lines.size() == 1);
  CHECK(sink.lines[0] == std::make_pair(LogLevel::kWarn, std::string("1 and two")));
}

}  // namespace
}  // namespace ocsp_plus
