// Seeds of the text targets.
#include "fuzz/fuzz.h"

namespace ocsp_plus::fuzz {
namespace {

struct Text {
  const char* name;
  std::string text;
};

std::vector<Seed> from(const std::vector<Text>& texts, const std::string& before = {}) {
  std::vector<Seed> seeds;
  seeds.reserve(texts.size());
  for (const Text& each : texts) {
    const std::string whole = before + each.text;
    seeds.push_back({each.name, ByteView(whole).copy()});
  }
  return seeds;
}

}  // namespace

std::vector<Seed> http_seeds() {
  const std::string guidance =
      "Content-Type: application/ocsp-response\r\nDate: Sat, 01 Jun 2030 12:00:00 GMT\r\n"
      "Expires: Saturday, 01-Jun-30 13:00:00 GMT\r\nCache-Control: public, max-age=\"3600\"\r\nAge: 17\r\n";
  return from(
      {
          {"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
          {"guidance", "HTTP/1.1 200 OK\r\n" + guidance + "Content-Length: 5\r\n\r\nhello"},
          {"asctime", "HTTP/1.1 200 OK\r\nExpires: Sat Jun  1 12:00:00 2030\r\nContent-Length: 0\r\n\r\n"},
          {"chunked",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nX: 1\r\n\r\n"},
          {"until_close", "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello"},
          {"after_100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"},
          {"redirect", "HTTP/1.1 302 Found\r\nLocation: http://other.example/x\r\nContent-Length: 0\r\n\r\n"},
          {"retry_after", "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 4\r\n\r\nbusy"},
          {"retry_at", "HTTP/1.1 429 Slow\r\nRetry-After: Sat, 01 Jun 2030 12:05:00 GMT\r\n\r\n"},
          {"too_long", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"},
          {"two_lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"},
          {"packed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"},
          {"folded", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"},
          {"line_feeds", "HTTP/1.1 200\nContent-Type: application/ocsp-response\nContent-Length: 5\n\nhello"},
          {"lines_of_both_kinds", "HTTP/1.1 200 OK\nA: b\r\nContent-Length: 5\n\r\nhello"},
          {"identity",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, chunked\r\nContent-Encoding: none\r\n\r\n0\r\n\r\n"},
          {"two_equal_lengths", "HTTP/1.1 200 OK\r\nContent-Length: 05, 5\r\ncontent-length: 5\r\n\r\nhello"},
          {"length_and_chunked", "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n"},
          {"folded_length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\nx"},
          {"bare_cr", "HTTP/1.1 200 OK\r\nX-A: 1\rContent-Length: 9\r\n\r\n"},
          {"ocsp_under_401",
           "HTTP/1.1 401 No\r\nContent-Type: application/ocsp-response\r\nContent-Length: 5\r\n\r\n0\003\n\001\006"},
          {"ocsp_under_500",
           "HTTP/1.1 500\nContent-Type: application/ocsp-response;x\nTransfer-Encoding: "
           "chunked\n\n1\r\n0\r\n0\r\n\r\n"},
          {"many_headers", "HTTP/1.1 200 OK\r\n" + std::string(600, 'a') + ": b\r\n\r\n"},
      },
      std::string("\x07\x77", 2));
}

std::vector<Seed> url_seeds() {
  return from({
      {"plain", "http://ocsp.example/"},
      {"https", "https://OCSP.example:444/a?b=c#d"},
      {"address", "http://192.0.2.1:81/x"},
      {"address6", "http://[2001:db8::1]:81"},
      {"half_address", "http://127.1/"},
      {"number", "http://2130706433/"},
      {"user", "http://user:pass@h/"},
      {"encoded", "http://h/%2F%2b/%00"},
      {"scheme", "ldap://h/"},
      {"to_absolute", "http://h/a/b?q\nhttps://other.example:8443/z"},
      {"to_host", "http://h/a/b\n//other.example/z"},
      {"to_path", "http://h/a/b\n/../../c/./d/.."},
      {"to_relative", "http://h/a/b/c\n../x?y#z"},
      {"to_query", "http://h/a/b\n?q=/../"},
      {"to_nothing", "http://h/a/b\n"},
  });
}

std::vector<Seed> resolver_seeds() {
  return from({
      {"address", "127.0.0.1"},
      {"port", "127.0.0.1:5353"},
      {"address6", "[2001:db8::1]:54\n::1"},
      {"bad_ports", "127.0.0.1:0\n127.0.0.1:65536\n[::1]53\n[]:53\n127.0.0.1:-5"},
      {"several", "192.0.2.1,192.0.2.2"},
      {"zone", "fe80::1%eth0"},
      {"resolv_conf",
       "# comment\nnameserver 192.0.2.1\nnameserver 2001:db8::1 ; x\nsearch a.example b.example\n"
       "options timeout:1 attempts:9 rotate ndots:0 retrans:7 retry:3\nsortlist 130.155.160.0/255.255.240.0 "
       "10.0.0.0/8\n"
       "lookup file bind\ndomain c.example\n"},
  });
}

std::vector<Seed> redis_seeds() {
  const std::string response = "$4\r\n0\003\n\001\r\n";
  return from(
      {
          {"pong", "+PONG\r\n"},
          {"error", "-NOPERM this user has no permissions\r\n-MOVED 1 127.0.0.1:1\r\n-OOM command not allowed\r\n"},
          {"look", "*3\r\n*2\r\n$1\r\nr\r\n" + response + "*2\r\n$1\r\nl\r\n:3\r\n*3\r\n$1\r\nn\r\n:5000\r\n:1\r\n"},
          {"news",
           "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*4\r\n$1\r\nc\r\n$2\r\nab\r\n$1\r\ns\r\n$2\r\ncd\r\n"},
          {"master", "*2\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"},
          {"master6", "*2\r\n$3\r\n::1\r\n$4\r\n6379\r\n*2\r\n$11\r\n2001:db8::1\r\n$1\r\n1\r\n"},
          {"nothing", "$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n:-9223372036854775808\r\n"},
          {"huge", "*100000000\r\n"},
          {"overflow", "*4294967297\r\n:1\r\n"},
          {"long", "$2000000000\r\nx"},
          {"deep", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"},
          {"resp3", "%1\r\n+a\r\n#t\r\n~1\r\n,1.5\r\n_\r\n(1\r\n=7\r\ntxt:abc\r\n>1\r\n:1\r\n"},
          {"http", "HTTP/1.1 400 Bad Request\r\n\r\n"},
          {"place", "redis://user:p%40ss@cache.example:6380/2"},
          {"place_tls", "rediss://:pass@[2001:db8::1]"},
          {"place_unix", "unix:/run/redis.sock:/4"},
      },
      "\x02");
}

}  // namespace ocsp_plus::fuzz
