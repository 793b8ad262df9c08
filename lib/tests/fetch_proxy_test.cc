#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "net/fetch.h"
#include "ocsp_plus/version.h"
#include "tests/fakes/fake_tls.h"
#include "tests/fakes/fetch_fixture.h"

using namespace ocsp_plus;
using namespace ocsp_plus::testing;
using net::FetchRequest;

namespace {

// `server` is the proxy.
struct ProxyFixture : FetchFixture {
  explicit ProxyFixture(const std::string& secret = "") {
    DnsRecord record;
    record.a = {"127.0.0.1"};
    dns.set("proxy.example", record);
    set_proxy("http://" + secret + "proxy.example:" + std::to_string(server.port()));
  }
  void set_proxy(const std::string& url) {
    transport = std::make_unique<net::Transport>(loop, clock, *resolver, net::Proxy::parse(url).value());
  }
};

}  // namespace

TEST_CASE("fetch: through a proxy, http", "[fetch][proxy][rfc9112-3.2.2]") {
  ProxyFixture fixture("Aladdin:open%20sesame@");
  fixture.server.play(kOk);
  std::string told;
  FetchRequest request = fixture.request("http://ocsp.elsewhere:8080/ca");
  request.trace = [&told](const std::string& step) { told += step + "\n"; };
  CHECK(body_of(fixture.run(request)) == kBody);
  const std::string& sent = fixture.server.requests().at(0);
  CHECK(first_line(sent) == "GET http://ocsp.elsewhere:8080/ca/MAMCAQA%3D HTTP/1.1");
  CHECK(contains(sent, "\r\nHost: ocsp.elsewhere:8080\r\n"));
  CHECK(contains(sent, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
  CHECK(contains(told, "> Proxy-Authorization: (not shown)\n"));
  CHECK_FALSE(contains(told, "QWxh"));
}

TEST_CASE("fetch: through a proxy, https", "[fetch][proxy][rfc9110-9.3.6]") {
  ProxyFixture fixture("a:b@");
  fixture.server.play("HTTP/1.1 200 Connection established\r\n\r\n", Script::End::kNext);
  fixture.server.play("shaken", Script::End::kNext);
  fixture.server.play(kOk);
  FakeTls tls;
  FetchRequest request = fixture.request("https://ocsp.elsewhere/");
  request.tls = &tls;
  CHECK(body_of(fixture.run(request)) == kBody);
  REQUIRE(fixture.server.requests().size() == 3);
  CHECK(fixture.server.requests()[0] ==
        "CONNECT ocsp.elsewhere:443 HTTP/1.1\r\nHost: ocsp.elsewhere:443\r\n"
        "User-Agent: ocsp_plus/" OCSP_PLUS_VERSION "\r\nProxy-Authorization: Basic YTpi\r\n\r\n");
  CHECK(first_line(fixture.server.requests()[2]) == "GET /MAMCAQA%3D HTTP/1.1");
  CHECK_FALSE(contains(fixture.server.requests()[2], "Proxy-Authorization"));
  CHECK(tls.hosts == std::vector<std::string>{"ocsp.elsewhere"});
}

TEST_CASE("fetch: whose fault it is, the proxy's or the responder's", "[fetch][proxy]") {
  struct Case {
    const char* name;
    bool https;
    const char* reply;
    Reason reason;
  };
  const std::string none = "\r\nContent-Length: 0\r\n\r\n";
  const Case cases[] = {
      {"another password", false, "HTTP/1.1 407 No", Reason::kProxyAuth},
      {"another password, tunnel", true, "HTTP/1.1 407 No", Reason::kProxyAuth},
      {"tinyproxy", false, "HTTP/1.1 401 No\r\nServer: tinyproxy/1.11.1", Reason::kProxyAuth},
      {"tinyproxy without a version", false, "HTTP/1.1 502 No\r\nServer: tinyproxy", Reason::kProxyFailed},
      {"forbidden by squid", false, "HTTP/1.1 403 No\r\nX-Squid-Error: ERR_ACCESS_DENIED 0", Reason::kProxyRefused},
      {"forbidden, tunnel", true, "HTTP/1.1 403 No", Reason::kProxyRefused},
      {"squid finds nobody", false, "HTTP/1.1 503 No\r\nX-Squid-Error: ERR_DNS_FAIL 0", Reason::kProxyFailed},
      {"RFC 9209", false, "HTTP/1.1 504 No\r\nProxy-Status: p; error=connection_timeout", Reason::kProxyFailed},
      {"nobody, tunnel", true, "HTTP/1.1 502 No", Reason::kProxyFailed},
      {"the responder forbids", false, "HTTP/1.1 403 No", Reason::kHttpStatus},
      {"the responder fails", false, "HTTP/1.1 500 No\r\nProxy-Status: p; received-status=500", Reason::kHttpStatus},
      {"the responder wants a password", false, "HTTP/1.1 401 No", Reason::kHttpStatus},
      {"not HTTP", true, "SSH-2.0-OpenSSH", Reason::kProxyFailed},
  };
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      ProxyFixture fixture;
      fixture.server.play(c.reply + none);
      FakeTls tls;
      FetchRequest request = fixture.request(c.https ? "https://ocsp.elsewhere/" : "http://ocsp.elsewhere/");
      request.tls = &tls;
      const auto& outcome = fixture.run(request);
      REQUIRE_FALSE(outcome.has_value());
      INFO(outcome.error().detail);
      CHECK(token(outcome.error().reason) == token(c.reason));
      CHECK(tls.hosts.empty());
    }
  }
}

TEST_CASE("fetch: a proxy that cannot be reached", "[fetch][proxy]") {
  ProxyFixture fixture;
  fixture.set_proxy("http://nobody.example:3128");
  CHECK(fixture.run("http://ocsp.elsewhere/").error().reason == Reason::kProxyFailed);
  CHECK(contains(fixture.outcome->error().detail, "dns_not_found"));
  fixture.outcome.reset();
  fixture.calls = 0;
  fixture.set_proxy("http://127.0.0.9:" + std::to_string(fixture.server.port()));
  CHECK(fixture.run("http://ocsp.elsewhere/").error().reason == Reason::kProxyFailed);
  CHECK(contains(fixture.outcome->error().detail, "connect_refused"));
}
