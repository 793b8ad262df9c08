// What the tests take from Catch2 2's only header, out of the headers of Catch2 3. CMakeLists.txt puts this directory
// into the include path where version 3 is what is installed.
#pragma once

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

namespace Catch::Matchers {

// Version 3 keeps this name for ranges.
inline StringContainsMatcher Contains(const std::string& part, CaseSensitive sensitivity = CaseSensitive::Yes) {
  return ContainsSubstring(part, sensitivity);
}

}  // namespace Catch::Matchers
