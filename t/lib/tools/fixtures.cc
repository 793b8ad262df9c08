// Writes every case of the verify table into a directory of its own, for ocsp-plus and openssl to judge:
//
//   test_fixtures DIRECTORY   DIRECTORY/CASE/{leaf.pem,issuer.pem,candidates.pem,response.der} and
//   DIRECTORY/cases.json
//
// "sendable": whether OpenSSL 3.6 and newer send the response. issuer.pem is the issuer, candidates.pem what an
// operator may have in its place: other certificates of its name first. cases.json: [{"case", "group", "name",
// "reason", "sendable", "at", "policy"}]; where "policy" is true the case needs a policy that the command line does
// not offer.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/verify_cases.h"

namespace {

namespace fs = std::filesystem;
using namespace ocsp_plus;  // NOLINT: nothing but the tool

void write(const fs::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + path.string());
  }
}

nlohmann::ordered_json write_case(const fs::path& root, const char* group, const testing::VerifyCase& each) {
  testing::VerifySetup setup;
  each.change(setup);
  const std::string name = testing::file_name(each.name);
  const fs::path directory = root / name;
  if (!fs::create_directory(directory)) {
    throw std::runtime_error("two cases are called " + directory.string());
  }
  std::string candidates;
  for (const testing::Identity& decoy : setup.decoys) {
    candidates += decoy.pem();
  }
  const std::string issuer = setup.issuer->pem();
  write(directory / "leaf.pem", setup.leaf->pem());
  write(directory / "issuer.pem", issuer);
  write(directory / "candidates.pem", candidates + issuer);
  write(directory / "response.der", ByteView(setup.response()).text());

  const crypto::VerifyPolicy usual;
  const bool policy = setup.policy.clock_skew != usual.clock_skew ||
                      setup.policy.accept_sha256_only != usual.accept_sha256_only ||
                      setup.policy.must_be_sendable != usual.must_be_sendable ||
                      setup.policy.max_age_without_next_update != usual.max_age_without_next_update;
  return {{"case", name},
          {"group", group},
          {"name", each.name},
          {"reason", std::string(token(each.expected))},
          {"sendable", setup.sendable()},
          {"at", to_rfc3339(setup.now)},
          {"policy", policy}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: test_fixtures DIRECTORY\n");
    return 2;
  }
  try {
    auto all = nlohmann::ordered_json::array();
    fs::create_directories(argv[1]);
    for (const testing::CaseGroup& group : testing::verify_cases()) {
      for (const testing::VerifyCase& each : group.cases) {
        all.push_back(write_case(argv[1], group.name, each));
      }
    }
    write(fs::path(argv[1]) / "cases.json", all.dump(1));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "test_fixtures: %s\n", error.what());
    return 1;
  }
  return 0;
}
