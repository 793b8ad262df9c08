#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/fetch.h"
#include "net/request_text.h"
#include "tests/fakes/fake_tls.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::Address;
using net::FetchRequest;

namespace {

// 127.0.0.1 and .2 stand for the internet, .3 and .4 for private networks, all else for itself.
Address::Scope staged(const Address& address) {
  const std::string text = address.to_string();
  const char last = text.rfind("127.0.0.", 0) == 0 && text[9] == ':' ? text[8] : '0';
  return last == '1' || last == '2'   ? Address::Scope::kPublic
         : last == '3' || last == '4' ? Address::Scope::kPrivate
                                      : address.scope();
}

// Addresses on which servers listen, and names of several.
struct Stage : FetchFixture {
  Stage() {
    transport->scope_of = &staged;
    name("public.example", {"127.0.0.2"});
    name("private.example", {"127.0.0.4"});
    name("local.example", {"127.0.0.5"});
    name("mixed.example", {"127.0.0.5", "127.0.0.4", "127.0.0.2"});
    name("inside.example", {"127.0.0.5", "127.0.0.4"});
  }
  void name(const std::string& host, std::vector<std::string> addresses) {
    DnsRecord record;
    record.a = std::move(addresses);
    dns.set(host, record);
  }
  // A server at each address, on one port.
  TcpServer& at(int last_byte) {
    auto& server_there = servers[last_byte];
    if (server_there == nullptr) {
      server_there = std::make_unique<TcpServer>(loop, "127.0.0." + std::to_string(last_byte), port);
      port = server_there->port();
    }
    return *server_there;
  }
  std::string url(const std::string& host, const std::string& path = "/") const {
    return "http://" + host + ":" + std::to_string(port) + path;
  }
  static std::string moved(const std::string& to) { return http_reply("302 Found", "Location: " + to + "\r\n", ""); }
  std::size_t requests() const {
    std::size_t count = 0;
    for (const auto& [last_byte, each] : servers) {
      count += each->requests().size();
    }
    return count;
  }

  std::uint16_t port = 0;
  std::map<int, std::unique_ptr<TcpServer>> servers;
};

Reason reason_of(const net::Fetch::Outcome& outcome) {
  return outcome ? Reason::kOk : outcome.error().reason;
}

}  // namespace

TEST_CASE("fetch: redirects of a GET", "[fetch]") {
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    DYNAMIC_SECTION(status) {
      FetchFixture fixture;
      fixture.server.play(http_reply(status, "Location: /elsewhere/./x?y=%2B\r\n", "moved"));
      fixture.server.play(kOk);
      const auto& outcome = fixture.run(fixture.base());
      CHECK(body_of(outcome) == kBody);
      CHECK(fixture.server.requests().size() == 2);
      CHECK(first_line(fixture.server.requests().at(1)) == "GET /elsewhere/x?y=%2B HTTP/1.1");
    }
  }
}

TEST_CASE("fetch: a POST stays one on its way", "[fetch]") {
  for (const char* status : {"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"}) {
    DYNAMIC_SECTION(status) {
      FetchFixture fixture;
      fixture.server.play(http_reply(status, "Location: post\r\n", ""));
      fixture.server.play(kOk);
      FetchRequest request = fixture.request(fixture.base() + "/a/b");
      request.get_path = std::string(300, 'A');
      const auto& outcome = fixture.run(request);
      REQUIRE(body_of(outcome) == kBody);
      CHECK_FALSE(outcome->get);
      const std::string& second = fixture.server.requests().at(1);
      CHECK(first_line(second) == "POST /a/post HTTP/1.1");
      CHECK(contains(second, "Content-Length: 5\r\n"));
    }
  }
}

TEST_CASE("fetch: a redirect to another host", "[fetch]") {
  FetchFixture fixture;
  TcpServer other(fixture.loop, "127.0.0.2");
  DnsRecord record;
  record.a = {"127.0.0.2"};
  fixture.dns.set("other.example", record);
  const std::string there = "other.example:" + std::to_string(other.port());
  fixture.server.play(http_reply("302 Found", "Location: HTTP://" + there + "/x\r\n", ""));
  other.play(kOk);
  FetchRequest request = fixture.request(fixture.base("ocsp.example"));
  request.named = {there};
  const auto& outcome = fixture.run(std::move(request));
  REQUIRE(body_of(outcome) == kBody);
  CHECK(outcome->peer.to_string() == "127.0.0.2:" + std::to_string(other.port()));
  CHECK(contains(other.requests().at(0), "Host: " + there + "\r\n"));
}

TEST_CASE("fetch: redirects that are not followed", "[fetch]") {
  struct Case {
    const char* location;
    Reason reason;
  };
  const Case cases[] = {
      {"ftp://127.0.0.1/x", Reason::kRedirectScheme},
      {"javascript:x", Reason::kRedirectScheme},
      {"http://user@127.0.0.1/", Reason::kUrlMalformed},
      {"http://127.0.0.1:0/", Reason::kUrlMalformed},
      {"/a b", Reason::kUrlMalformed},
      {"/MAMCAQA%3D", Reason::kRedirectLimit},
      {"#here", Reason::kRedirectLimit},
      {"./x/../MAMCAQA%3D", Reason::kRedirectLimit},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.location) {
      FetchFixture fixture;
      fixture.server.play(http_reply("302 Found", std::string("Location: ") + c.location + "\r\n", ""));
      const auto& outcome = fixture.run(fixture.base());
      REQUIRE_FALSE(outcome.has_value());
      INFO(outcome.error().detail);
      CHECK(outcome.error().reason == c.reason);
      CHECK(contains(outcome.error().detail, "HTTP 302 from 127.0.0.1:"));
      CHECK(fixture.server.accepted() == 1);
    }
  }
}

TEST_CASE("fetch: three redirects and no more", "[fetch]") {
  for (const int redirects : {3, 4}) {
    DYNAMIC_SECTION(redirects << " redirects") {
      FetchFixture fixture;
      for (int i = 0; i < redirects; ++i) {
        fixture.server.play(http_reply("302 Found", "Location: /" + std::to_string(i) + "\r\n", ""));
      }
      fixture.server.play(kOk);
      const auto& outcome = fixture.run(fixture.base());
      CHECK(outcome.has_value() == (redirects == 3));
      CHECK(fixture.server.accepted() == 4);
      if (!outcome) {
        CHECK(outcome.error().reason == Reason::kRedirectLimit);
      }
    }
  }
}

TEST_CASE("fetch: a line feed of the responder stays out of the message", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(http_reply("302 Found", "Location: /\x01\xff\"x\r\n", ""));
  const auto& outcome = fixture.run(fixture.base());
  REQUIRE_FALSE(outcome.has_value());
  for (const char c : outcome.error().detail) {
    CHECK(c >= ' ');
  }
}

TEST_CASE("fetch: a redirect never leads inside, judged by the address that is connected to", "[fetch][redirect]") {
  struct Case {
    const char* from;
    const char* to;
    const char* peer;  // who answers in the end; nullptr: the redirect is refused
  };
  const Case cases[] = {
      {"127.0.0.1", "127.0.0.2", "127.0.0.2"},       // public, public
      {"127.0.0.1", "127.0.0.4", nullptr},           // public, private
      {"127.0.0.1", "127.0.0.5", nullptr},           // public, loopback
      {"127.0.0.3", "127.0.0.2", "127.0.0.2"},       // private, public
      {"127.0.0.3", "127.0.0.4", "127.0.0.4"},       // private, private
      {"127.0.0.3", "127.0.0.5", nullptr},           // private, loopback
      {"127.0.0.5", "127.0.0.6", nullptr},           // loopback, loopback
      {"127.0.0.5", "127.0.0.4", "127.0.0.4"},       // loopback, private
      {"127.0.0.1", "public.example", "127.0.0.2"},  // the same by DNS
      {"127.0.0.1", "private.example", nullptr},
      {"127.0.0.3", "private.example", "127.0.0.4"},
      {"127.0.0.3", "local.example", nullptr},
      {"127.0.0.1", "mixed.example", "127.0.0.2"},  // the others are passed over
      {"127.0.0.3", "inside.example", "127.0.0.4"},
      {"127.0.0.1", "inside.example", nullptr},
      {"127.0.0.3", "0.0.0.0", nullptr},
      {"127.0.0.3", "[::]", nullptr},
      {"127.0.0.3", "[::1]", nullptr},
      {"127.0.0.3", "[::ffff:127.0.0.2]", nullptr},  // an IPv4 address in disguise
      {"127.0.0.3", "[64:ff9b::7f00:1]", nullptr},
      {"127.0.0.3", "[fe80::1]", nullptr},
      {"127.0.0.3", "169.254.169.254", nullptr},
      {"127.0.0.1", "10.0.0.1", nullptr},
      {"127.0.0.1", "[fd00::1]", nullptr},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.from << " to " << c.to) {
      Stage stage;
      for (int last_byte = 1; last_byte <= 6; ++last_byte) {
        stage.at(last_byte);
      }
      for (auto& [last_byte, server] : stage.servers) {
        const bool asked_first = c.from == "127.0.0." + std::to_string(last_byte);
        server->play(asked_first ? Stage::moved(stage.url(c.to)) : kOk);
      }
      const auto& outcome = stage.run(stage.url(c.from));
      INFO(body_of(outcome));
      CHECK(token(reason_of(outcome)) == token(c.peer != nullptr ? Reason::kOk : Reason::kRedirectForbidden));
      CHECK(stage.requests() == (c.peer != nullptr ? 2 : 1));
      if (c.peer != nullptr) {
        CHECK(outcome->peer.to_string() == std::string(c.peer) + ":" + std::to_string(stage.port));
      } else {
        CHECK(contains(outcome.error().detail, std::string("HTTP 302 from ") + c.from));
        CHECK(outcome.error().detail.size() < 128);
      }
    }
  }
}

TEST_CASE("fetch: each redirect of a chain is judged by who sent it", "[fetch][redirect]") {
  Stage stage;
  for (int last_byte = 1; last_byte <= 5; ++last_byte) {
    stage.at(last_byte);
  }
  stage.at(3).play(Stage::moved(stage.url("127.0.0.1")));
  SECTION("private, public, public") {
    stage.at(1).play(Stage::moved(stage.url("public.example")));
    stage.at(2).play(kOk);
    CHECK(body_of(stage.run(stage.url("127.0.0.3"))) == kBody);
  }
  SECTION("private, public, private") {
    stage.at(1).play(Stage::moved(stage.url("private.example")));
    CHECK(reason_of(stage.run(stage.url("127.0.0.3"))) == Reason::kRedirectForbidden);
    CHECK(stage.at(4).accepted() == 0);
  }
  SECTION("private, public, and back to who was asked") {
    stage.at(1).play(Stage::moved(stage.url("127.0.0.3", "/again")));
    stage.at(3).play(kOk);
    CHECK(body_of(stage.run(stage.url("127.0.0.3"))) == kBody);
  }
}

TEST_CASE("fetch: a redirect may lead to the very host and port that was asked or named", "[fetch][redirect]") {
  Stage stage;
  TcpServer& first = stage.at(5);
  TcpServer other(stage.loop, "127.0.0.5");
  const std::string there = "127.0.0.5:" + std::to_string(other.port());
  SECTION("asked") {
    first.play(Stage::moved("/elsewhere"));
    first.play(kOk);
    CHECK(body_of(stage.run(stage.url("127.0.0.5"))) == kBody);
  }
  SECTION("another port is another server") {
    first.play(Stage::moved("http://" + there + "/control?refresh=all"));
    other.play(kOk);
    const auto& outcome = stage.run(stage.url("127.0.0.5"));
    CHECK(reason_of(outcome) == Reason::kRedirectForbidden);
    CHECK(outcome.error().detail ==
          "HTTP 302 from 127.0.0.5:" + std::to_string(stage.port) + " to " + there + ": no redirect may lead there");
    CHECK(other.accepted() == 0);
  }
  SECTION("named") {
    first.play(Stage::moved("http://" + there + "/"));
    other.play(kOk);
    FetchRequest request = stage.request(stage.url("127.0.0.5"));
    request.named = {there};
    CHECK(body_of(stage.run(std::move(request))) == kBody);
  }
  SECTION("the name counts, not what else has its address") {
    first.play(Stage::moved("http://" + there + "/"));
    FetchRequest request = stage.request(stage.url("127.0.0.5"));
    request.named = {"local.example:" + std::to_string(other.port())};
    CHECK(reason_of(stage.run(std::move(request))) == Reason::kRedirectForbidden);
  }
}

TEST_CASE("fetch: what is forbidden to a certificate of others stays so after a redirect", "[fetch][redirect]") {
  Stage stage;
  stage.at(1).play(Stage::moved(stage.url("private.example")));
  FetchRequest request = stage.request(stage.url("127.0.0.1"));
  request.permits = [](const Address& address) { return staged(address) == Address::Scope::kPublic; };
  SECTION("of both rules the narrower tells") {
    CHECK(reason_of(stage.run(std::move(request))) == Reason::kAddressForbidden);
  }
  SECTION("being named is no permit") {
    request.named = {"private.example:" + std::to_string(stage.port)};
    CHECK(reason_of(stage.run(std::move(request))) == Reason::kAddressForbidden);
  }
}

TEST_CASE("fetch: an idle connection does not lead around the rule", "[fetch][redirect]") {
  Stage stage;
  stage.at(1).play(Stage::moved(stage.url("127.0.0.4")));
  stage.at(4).play(kOk, Script::End::kNext);
  stage.at(4).play(kOk, Script::End::kNext);
  REQUIRE(body_of(stage.run(stage.url("127.0.0.4"))) == kBody);
  stage.outcome.reset();
  stage.calls = 0;
  CHECK(reason_of(stage.run(stage.url("127.0.0.1"))) == Reason::kRedirectForbidden);
  CHECK(stage.at(4).requests().size() == 1);
}

TEST_CASE("fetch: behind a proxy a redirect leads to who was asked or named, by name", "[fetch][redirect][proxy]") {
  const auto ask = [](const std::string& to, std::vector<std::string> named) {
    Stage stage;
    auto proxy = net::Proxy::parse(stage.base());
    REQUIRE(proxy);
    stage.transport = std::make_unique<net::Transport>(stage.loop, stage.clock, *stage.resolver, *proxy);
    stage.server.play(Stage::moved(to), Script::End::kNext);
    stage.server.play(kOk, Script::End::kNext);
    FetchRequest request = stage.request("http://ocsp.elsewhere/");
    request.named = std::move(named);
    const Reason reason = reason_of(stage.run(std::move(request)));
    CHECK(stage.server.requests().size() == (reason == Reason::kOk ? 2 : 1));
    return reason;
  };
  CHECK(ask("/x", {}) == Reason::kOk);
  CHECK(ask("http://ocsp.elsewhere:8080/x", {}) == Reason::kOk);
  CHECK(ask("http://other.elsewhere/", {}) == Reason::kRedirectForbidden);
  CHECK(ask("http://1.1.1.1/", {}) == Reason::kRedirectForbidden);
  CHECK(ask("http://other.elsewhere/", {"other.elsewhere:80"}) == Reason::kOk);
  CHECK(ask("http://127.0.0.1/", {"127.0.0.1:80"}) == Reason::kOk);
  CHECK(ask("http://127.0.0.1:81/", {"127.0.0.1:80"}) == Reason::kRedirectForbidden);
}

TEST_CASE("fetch: a redirect from http to https, and none back", "[fetch][redirect]") {
  Stage stage;
  TcpServer& secure = stage.at(2);
  const std::string there = "https://public.example:" + std::to_string(secure.port()) + "/";
  stage.server.play(Stage::moved(there + "x"));
  secure.play("shaken", Script::End::kNext);
  FakeTls tls;
  FetchRequest request = stage.request(stage.base());
  request.tls = &tls;
  SECTION("the peer has to be who the URL names") {
    secure.play(kOk);
    CHECK(body_of(stage.run(std::move(request))) == kBody);
    CHECK(tls.hosts == std::vector<std::string>{"public.example"});
    CHECK(first_line(secure.requests().at(1)) == "GET /x HTTP/1.1");
  }
  SECTION("without TLS there is nobody to ask") {
    request.tls = nullptr;
    CHECK(reason_of(stage.run(std::move(request))) == Reason::kTlsFailed);
  }
  SECTION("not back, not even to who was asked") {
    secure.play(Stage::moved(stage.base() + "/y"));
    CHECK(reason_of(stage.run(std::move(request))) == Reason::kRedirectScheme);
    CHECK(stage.server.requests().size() == 1);
  }
  SECTION("on to another https one") {
    secure.play(Stage::moved("/y"));
    secure.play("shaken", Script::End::kNext);
    secure.play(kOk);
    CHECK(body_of(stage.run(std::move(request))) == kBody);
    CHECK(tls.hosts.size() == 2);
  }
}

TEST_CASE("fetch: https does not lead inside either", "[fetch][redirect]") {
  Stage stage;
  TcpServer& inside = stage.at(5);
  stage.server.play(Stage::moved("https://127.0.0.5:" + std::to_string(inside.port()) + "/"));
  FakeTls tls;
  FetchRequest request = stage.request(stage.base());
  request.tls = &tls;
  CHECK(reason_of(stage.run(std::move(request))) == Reason::kRedirectForbidden);
  CHECK(inside.accepted() == 0);
}

TEST_CASE("fetch: whether a URL has lost slashes of the request", "[fetch][redirect]") {
  struct Case {
    const char* request;
    const char* target;
    bool lost;
  };
  for (const Case& c : {
           Case{"MA%2F%2Fb%3D", "/ocsp/MA/b=", true},
           Case{"MA%2F%2Fb%3D", "/MA%2Fb%3d", true},
           Case{"MA%2f%2F%2Fb", "/MA/b?x", true},
           Case{"MA%2F%2Fb%3D", "/MA//b=", false},
           Case{"MA%2F%2Fb%3D", "/elsewhere/MA%2F%2Fb%3D", false},
           Case{"MA%2F%2Fb%3D", "/login", false},
           Case{"MA%2Fb%3D", "/MA/b=", false},
           Case{"MAb%", "/MAb%", false},
           Case{"", "/", false},
       }) {
    INFO(c.request << " " << c.target);
    CHECK(net::has_lost_slashes(c.request, c.target) == c.lost);
  }
}

TEST_CASE("fetch: a redirect that lost slashes of the request is not followed, and told", "[fetch][redirect]") {
  FetchFixture fixture;
  FetchRequest request = fixture.request(fixture.base());
  request.get_path = "MA%2F%2FMCAQA%3D";
  SECTION("lost") {
    fixture.server.play(http_reply("301 Moved", "Location: /MA/MCAQA=\r\n", ""));
    const auto& outcome = fixture.run(request);
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().reason == Reason::kHttpStatus);
    CHECK(outcome.error().status == 301);
    CHECK(outcome.error().request_mangled);
    CHECK(fixture.server.requests().size() == 1);
  }
  SECTION("kept") {
    fixture.server.play(http_reply("301 Moved", "Location: /there/MA%2F%2FMCAQA=\r\n", ""));
    fixture.server.play(kOk);
    CHECK(body_of(fixture.run(request)) == kBody);
  }
}

TEST_CASE("fetch: by the method that is asked for", "[fetch]") {
  FetchFixture fixture;
  fixture.server.play(kOk);
  FetchRequest request = fixture.request(fixture.base());
  SECTION("POST where a GET would do") {
    request.method = net::Method::kPost;
    CHECK_FALSE(fixture.run(request)->get);
    CHECK(first_line(fixture.server.requests().at(0)) == "POST / HTTP/1.1");
  }
  SECTION("GET, however long") {
    request.get_path = std::string(400, 'A');
    CHECK(net::usual_method(request) == net::Method::kPost);
    request.method = net::Method::kGet;
    CHECK(fixture.run(request)->get);
  }
  SECTION("no GET where there is a query") {
    request = fixture.request(fixture.base() + "/?ca=1");
    request.method = net::Method::kGet;
    CHECK_FALSE(net::can_get(request));
    CHECK_FALSE(fixture.run(request)->get);
  }
}
