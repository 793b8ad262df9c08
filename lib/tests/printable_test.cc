#include "base/printable.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <vector>

namespace ocsp_plus {
namespace {

// What is unsafe: in UTF-8, as \xNN, as \uNNNN.
struct Unsafe {
  std::string text, bytes, json;
};
const std::vector<Unsafe> kUnsafe = {
    {"\x1b", R"(\x1b)", R"(\u001b)"},                                // escape
    {"\x7f", R"(\x7f)", R"(\u007f)"},                                // delete
    {"\xc2\x80", R"(\xc2\x80)", R"(\u0080)"},                        // the first of C1
    {"\xc2\x85", R"(\xc2\x85)", R"(\u0085)"},                        // next line
    {"\xc2\x9b", R"(\xc2\x9b)", R"(\u009b)"},                        // control sequence introducer
    {"\xc2\x9f", R"(\xc2\x9f)", R"(\u009f)"},                        // the last of C1
    {"\xc2\xad", R"(\xc2\xad)", R"(\u00ad)"},                        // soft hyphen
    {"\xd8\x9c", R"(\xd8\x9c)", R"(\u061c)"},                        // Arabic letter mark
    {"\xe1\xa0\x8e", R"(\xe1\xa0\x8e)", R"(\u180e)"},                // Mongolian vowel separator
    {"\xe2\x80\x8b", R"(\xe2\x80\x8b)", R"(\u200b)"},                // zero width space
    {"\xe2\x80\x8e", R"(\xe2\x80\x8e)", R"(\u200e)"},                // left-to-right mark
    {"\xe2\x80\x8f", R"(\xe2\x80\x8f)", R"(\u200f)"},                // right-to-left mark
    {"\xe2\x80\xa8", R"(\xe2\x80\xa8)", R"(\u2028)"},                // line separator
    {"\xe2\x80\xa9", R"(\xe2\x80\xa9)", R"(\u2029)"},                // paragraph separator
    {"\xe2\x80\xaa", R"(\xe2\x80\xaa)", R"(\u202a)"},                // left-to-right embedding
    {"\xe2\x80\xae", R"(\xe2\x80\xae)", R"(\u202e)"},                // right-to-left override
    {"\xe2\x81\xa0", R"(\xe2\x81\xa0)", R"(\u2060)"},                // word joiner
    {"\xe2\x81\xa6", R"(\xe2\x81\xa6)", R"(\u2066)"},                // left-to-right isolate
    {"\xe2\x81\xa9", R"(\xe2\x81\xa9)", R"(\u2069)"},                // pop directional isolate
    {"\xef\xbb\xbf", R"(\xef\xbb\xbf)", R"(\ufeff)"},                // byte order mark
    {"\xef\xbf\xb9", R"(\xef\xbf\xb9)", R"(\ufff9)"},                // interlinear annotation
    {"\xf0\x9d\x85\xb3", R"(\xf0\x9d\x85\xb3)", R"(\ud834\udd73)"},  // musical begin beam
    {"\xf3\xa0\x80\x81", R"(\xf3\xa0\x80\x81)", R"(\udb40\udc01)"},  // language tag
};

TEST_CASE("printable: control and format characters are escaped", "[printable]") {
  for (const Unsafe& unsafe : kUnsafe) {
    CAPTURE(unsafe.bytes);
    CHECK(printable("a" + unsafe.text + "b") == "a" + unsafe.bytes + "b");
  }
}

TEST_CASE("printable: what is shown as it is", "[printable]") {
  for (const std::string text :
       {"", "www.example", "a \"b\" \\c \\x0a", "M\xc3\xbcnchen", "\xc2\xa0", "\xe6\x9d\xb1\xe4\xba\xac",
        "\xd7\x90\xd7\x91", "\xe2\x80\x90", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xf0\x9f\x94\x92", "\xef\xbf\xbd",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(printable(text) == text);
  }
}

TEST_CASE("printable: what is no UTF-8 is escaped byte by byte", "[printable][rfc3629-4]") {
  using namespace std::string_literals;
  struct Case {
    std::string text, shown;
  };
  for (const Case& c : {
           Case{"\0"s, R"(\x00)"},
           Case{"\x9b", R"(\x9b)"},  // CSI, where a terminal reads Latin-1
           Case{"M\xfcnchen", R"(M\xfcnchen)"},
           Case{"\xc3", R"(\xc3)"},  // cut off
           Case{"\xe2\x80", R"(\xe2\x80)"},
           Case{"\xf0\x9f\x94", R"(\xf0\x9f\x94)"},
           Case{"\xc3(", R"(\xc3()"},
           Case{"\xc0\x8a", R"(\xc0\x8a)"},  // overlong forms
           Case{"\xc1\xbf", R"(\xc1\xbf)"},
           Case{"\xe0\x82\x85", R"(\xe0\x82\x85)"},
           Case{"\xf0\x82\x80\xae", R"(\xf0\x82\x80\xae)"},
           Case{"\xed\xa0\x80", R"(\xed\xa0\x80)"},          // a surrogate
           Case{"\xf4\x90\x80\x80", R"(\xf4\x90\x80\x80)"},  // beyond the last
           Case{"\xf5\x80\x80\x80", R"(\xf5\x80\x80\x80)"},
           Case{"\xff\xfe", R"(\xff\xfe)"},
       }) {
    CHECK(printable(c.text) == c.shown);
  }
}

TEST_CASE("printable: into a buffer, cut between characters", "[printable]") {
  const std::string text =
      "a\xc3\xbc\xe2\x80\xae"
      "b";
  const std::string whole =
      "a\xc3\xbc\\xe2\\x80\\xae"
      "b";
  for (std::size_t size = 1; size <= whole.size() + 2; ++size) {
    std::string buffer(size + 1, '#');
    const std::size_t length = print_into(text, buffer.data(), size);
    const std::string shown = buffer.substr(0, length);
    CAPTURE(size, shown);
    CHECK(buffer[length] == '\0');
    CHECK(buffer[size] == '#');
    CHECK(whole.compare(0, length, shown) == 0);
    CHECK((length == 0 || length == 1 || length == 3 || length == 15 || length == 16));
    CHECK((size <= whole.size() || length == whole.size()));
  }
}

TEST_CASE("printable: JSON says the same in other words", "[printable][rfc8259-7]") {
  for (const Unsafe& unsafe : kUnsafe) {
    const nlohmann::json value = {{"name\n", unsafe.text + "\xc3\xbc\xf0\x9f\x94\x92"}};
    const std::string shown = printable_json(value.dump(2));
    CAPTURE(shown);
    CHECK(shown == "{\n  \"name\\n\": \"" + unsafe.json + "\xc3\xbc\xf0\x9f\x94\x92\"\n}");
    CHECK(nlohmann::json::parse(shown) == value);
  }
}

}  // namespace
}  // namespace ocsp_plus
