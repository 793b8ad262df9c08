#include "net/redirect.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ocsp_plus;
using net::Address;
using net::may_lead;
using net::RedirectRule;
using net::Url;
using Scope = Address::Scope;

namespace {

Scope scope_of(const std::string& text) {
  const Address address = Address::literal(text, 80);
  REQUIRE(address.length != 0);
  return address.scope();
}

Url url(const std::string& text) {
  return Url::parse(text).value();
}

}  // namespace

TEST_CASE("redirect: whom an address may lead to", "[redirect]") {
  const std::string publics[] = {"1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"};
  const std::string privates[] = {"10.0.0.1",          "172.16.0.1",    "192.168.1.1",
                                  "100.64.0.1",        "fd00::1",       "::ffff:10.0.0.1",
                                  "64:ff9b::10.0.0.1", "2002:a00:1::1", "64:ff9b:1::1.1.1.1"};
  const std::string locals[] = {"127.0.0.1",
                                "127.255.0.1",
                                "0.0.0.0",
                                "0.1.2.3",
                                "169.254.169.254",
                                "168.63.129.16",
                                "100.100.100.200",
                                "192.0.0.192",
                                "224.0.0.1",
                                "255.255.255.255",
                                "::",
                                "::1",
                                "::127.0.0.1",
                                "fe80::1",
                                "ff02::1",
                                "fd00:ec2::254",
                                "fd20:ce::254",
                                "::ffff:127.0.0.1",
                                "::ffff:169.254.169.254",
                                "::ffff:0.0.0.0",
                                "::ffff:0:127.0.0.1",
                                "64:ff9b::127.0.0.1",
                                "64:ff9b::169.254.169.254",
                                "64:ff9b:1::127.0.0.1",
                                "2002:7f00:1::1",
                                "2a00::5efe:127.0.0.1"};
  for (const std::string& to : publics) {
    INFO(to);
    CHECK(may_lead(scope_of("1.1.1.1"), scope_of(to)));
    CHECK(may_lead(scope_of("10.0.0.1"), scope_of(to)));
    CHECK(may_lead(scope_of("127.0.0.1"), scope_of(to)));
  }
  for (const std::string& to : privates) {
    INFO(to);
    CHECK(scope_of(to) == Scope::kPrivate);
    for (const std::string& from : publics) {
      CHECK_FALSE(may_lead(scope_of(from), scope_of(to)));
    }
    CHECK(may_lead(scope_of("10.0.0.1"), scope_of(to)));
    CHECK(may_lead(scope_of("127.0.0.1"), scope_of(to)));
  }
  for (const std::string& to : locals) {
    INFO(to);
    for (const char* from : {"1.1.1.1", "10.0.0.1", "127.0.0.1", "fe80::1"}) {
      CHECK_FALSE(may_lead(scope_of(from), scope_of(to)));
    }
  }
}

TEST_CASE("redirect: whose very host and port are exempt", "[redirect]") {
  RedirectRule rule(url("http://ocsp.example:8080/x"), {"other.example:80", "[fd00::1]:443"});
  CHECK(rule.permits(Scope::kLocal));  // no redirect yet
  CHECK(rule.permits_unseen());
  for (const char* to : {"http://ocsp.example:8080/y", "http://OTHER.example/", "https://[fd00:0::1]/"}) {
    INFO(to);
    rule.follow(url(to), Scope::kPublic);
    CHECK(rule.permits(Scope::kLocal));
    CHECK(rule.permits_unseen());
  }
  // Another port of a host is another server; a proxy finds the same host there all the same.
  for (const char* to : {"http://ocsp.example/", "https://ocsp.example/", "http://other.example:8080/"}) {
    INFO(to);
    rule.follow(url(to), Scope::kPublic);
    CHECK_FALSE(rule.permits(Scope::kLocal));
    CHECK_FALSE(rule.permits(Scope::kPrivate));
    CHECK(rule.permits(Scope::kPublic));
    CHECK(rule.permits_unseen());
  }
  for (const char* to : {"http://evil.example/", "http://ocsp.example.evil.example:8080/", "http://10.0.0.1/"}) {
    INFO(to);
    rule.follow(url(to), Scope::kPrivate);
    CHECK(rule.permits(Scope::kPrivate));
    CHECK_FALSE(rule.permits(Scope::kLocal));
    CHECK_FALSE(rule.permits_unseen());
  }
}

TEST_CASE("redirect: behind a proxy no other port of its own machine", "[redirect][proxy]") {
  RedirectRule rule(url("http://127.0.0.1:8080/"), {"[::1]:80"});
  rule.follow(url("http://127.0.0.1:9090/"), Scope::kPublic);
  CHECK_FALSE(rule.permits_unseen());
  rule.follow(url("http://[::1]:81/"), Scope::kPublic);
  CHECK_FALSE(rule.permits_unseen());
  rule.follow(url("http://127.0.0.1:8080/x"), Scope::kPublic);
  CHECK(rule.permits_unseen());
}
