#include "engine/share_access.h"

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "base/poll_loop.h"

using namespace ocsp_plus;
using engine::ShareTexts;

namespace {

Result<engine::ShareSettings> read(std::vector<std::string_view> places, const ShareTexts& from = {}) {
  ShareTexts texts;
  texts.places = std::move(places);
  texts.sentinel = from.sentinel;
  texts.prefix = from.prefix;
  texts.user = from.user;
  texts.password = from.password;
  texts.timeout = from.timeout;
  texts.certificate = from.certificate;
  texts.key = from.key;
  return engine::read_share(std::move(texts));
}

ShareTexts with(std::string_view ShareTexts::*member, std::string_view value) {
  ShareTexts texts;
  texts.*member = value;
  return texts;
}

}  // namespace

TEST_CASE("share_access: what is not given has its default", "[redis]") {
  const auto settings = read({"redis://a", "unix:/b"});
  REQUIRE(settings);
  CHECK(settings->places.size() == 2);
  CHECK(settings->places[0].port == 6379);
  CHECK(settings->prefix == "ocsp_plus");
  CHECK(settings->timeout == 1000);
  CHECK_FALSE(settings->certificate);
}

TEST_CASE("share_access: what is given", "[redis]") {
  ShareTexts texts;
  texts.sentinel = "fleet";
  texts.prefix = "p.1";
  texts.user = "node";
  texts.password = "SECRET";
  texts.timeout = 7;
  const auto settings = read({"rediss://a/3"}, texts);
  REQUIRE(settings);
  CHECK(settings->places[0].port == 26379);  // of a sentinel
  SystemClock clock;
  PollLoop loop(clock);
  const auto access = engine::ShareAccess::open(loop, clock, *settings, 100);
  REQUIRE(access);
  const net::SharedStoreOptions& options = (*access)->options;
  CHECK(options.places.size() == 1);
  CHECK(options.sentinel == "fleet");
  CHECK(options.prefix == "p.1");
  CHECK(options.user == "node");
  CHECK(options.password == "SECRET");
  CHECK(options.timeout == 7);
  CHECK(options.tls == (*access)->tls.get());
  CHECK(options.most_response == 100);
  CHECK(engine::ShareAccess::open(loop, clock, *settings, 100000000).value()->options.most_response ==
        net::SharedStore::kMostResponse);
}

TEST_CASE("share_access: TLS is set up where a place has it", "[redis]") {
  SystemClock clock;
  PollLoop loop(clock);
  CHECK(engine::ShareAccess::open(loop, clock, *read({"redis://a", "unix:/b"}), 1).value()->tls == nullptr);
  CHECK(engine::ShareAccess::open(loop, clock, *read({"redis://a", "rediss://b"}), 1).value()->tls != nullptr);
}

TEST_CASE("share_access: what cannot be used is told without secrets", "[redis]") {
  CHECK(read({"redis://u:SECRET@h:0"}).error().reason == Reason::kInvalidArgument);
  CHECK(read({"redis://u:SECRET@h:0"}).error().detail.find("SECRET") == std::string::npos);
  CHECK(read({"unix:/a"}, with(&ShareTexts::sentinel, "s")).error().reason == Reason::kInvalidArgument);
  CHECK(read({"unix:/a"}, with(&ShareTexts::prefix, "{a}")).error().detail.find("prefix") != std::string::npos);
  CHECK(read({"unix:/a"}, with(&ShareTexts::certificate, "SECRET")).error().reason == Reason::kUnreadable);
}
