#include "net/http_head.h"

#include <catch2/catch.hpp>
#include <string>

using namespace ocsp_plus;
using namespace std::string_literals;
using net::head_size;
using net::normal_head;

TEST_CASE("http_head: where a head ends", "[http_head][rfc9112-2.2]") {
  struct Case {
    const char* name;
    std::string head;
    std::string body;
  };
  const Case cases[] = {
      {"CRLF", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "\r\n\r\n"},
      {"LF", "HTTP/1.1 200 OK\nA: b\n\n", "\n\n"},
      {"LF, then CRLF", "HTTP/1.1 200 OK\nA: b\n\r\n", "x"},
      {"CRLF, then LF", "HTTP/1.1 200 OK\r\nA: b\r\n\n", "x"},
      {"no field", "HTTP/1.1 200 OK\r\n\r\n", ""},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const std::string text = c.head + c.body;
    CHECK(head_size(text) == c.head.size());
    for (std::size_t size = 0; size < c.head.size(); ++size) {
      CHECK_FALSE(head_size(text.substr(0, size)));
      // What was searched in vain is not searched again, and no end is missed.
      CHECK(head_size(text, size) == c.head.size());
    }
  }
  CHECK_FALSE(head_size("HTTP/1.1 200 OK\r\nA: b\r\n\rx\n"));
}

TEST_CASE("http_head: mended", "[http_head][rfc9112]") {
  struct Case {
    const char* name;
    std::string head;
    std::string mended;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string right = ok + "Content-Length: 5\r\nConnection: close\r\nX-Folded: a\r\n b\r\n\tc\r\n\r\n";
  const Case cases[] = {
      {"as it should be", right, right},
      {"lines that end with LF", "HTTP/1.1 200 OK\nA: b\nC: d\n\n", ok + "A: b\r\nC: d\r\n\r\n"},
      {"lines of both kinds", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\n", ok + "A: b\r\nC: d\r\n\r\n"},
      {"no reason and no blank", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"},
      {"no reason", "HTTP/1.0 404 \r\n\r\n", "HTTP/1.0 404 \r\n\r\n"},
      {"a code of four digits stays", "HTTP/1.1 2000\r\n\r\n", "HTTP/1.1 2000\r\n\r\n"},
      {"identity", ok + "transfer-encoding: Identity\r\nContent-Length: 5\r\n\r\n", ok + "Content-Length: 5\r\n\r\n"},
      {"identity after the length", ok + "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n",
       ok + "Content-Length: 5\r\n\r\n"},
      {"identity and chunked", ok + "Transfer-Encoding: identity, chunked\r\n\r\n",
       ok + "Transfer-Encoding: chunked\r\n\r\n"},
      {"identity, then chunked", ok + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
       ok + "Transfer-Encoding: chunked\r\n\r\n"},
      {"other codings stay", ok + "Transfer-Encoding: gzip,chunked\r\n\r\n",
       ok + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
      {"the same length twice", ok + "Content-Length: 5\r\nA: b\r\ncontent-length: 5\r\n\r\n",
       ok + "Content-Length: 5\r\nA: b\r\n\r\n"},
      {"the same length in a list", ok + "Content-Length: 5, 05 ,5\r\n\r\n", ok + "Content-Length: 5\r\n\r\n"},
      {"nothing", ok + "Content-Length: 000\r\n\r\n", ok + "Content-Length: 0\r\n\r\n"},
      {"what is no field is left to the parser", ok + "no field\r\nContent-Length : 5\r\n\r\n",
       ok + "no field\r\nContent-Length : 5\r\n\r\n"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    REQUIRE(head_size(c.head) == c.head.size());
    const auto mended = normal_head(c.head);
    REQUIRE(mended);
    CHECK(*mended == c.mended);
    CHECK(normal_head(*mended) == *mended);  // once is enough
  }
}

TEST_CASE("http_head: what could be read in two ways is refused", "[http_head][rfc9112-6.3]") {
  struct Case {
    const char* name;
    std::string head;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const Case cases[] = {
      {"NUL in the status line", "HTTP/1.1 200 O\0K\r\n\r\n"s},
      {"NUL in a name", ok + "A\0: b\r\n\r\n"s},
      {"NUL in a value", ok + "A: b\0\r\n\r\n"s},
      {"CR in the status line", "HTTP/1.1 200 OK\rX\r\n\r\n"},
      {"CR in a field", ok + "A: b\rContent-Length: 5\r\n\r\n"},
      {"CR before CRLF", ok + "A: b\r\r\n\r\n"},
      {"CR in the last field", ok + "A: b\rc\n\n"},
      {"two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"},
      {"two lengths in a list", ok + "Content-Length: 5, 6\r\n\r\n"},
      {"two lengths, of three", ok + "Content-Length: 5, 5\r\ncontent-length: 50\r\n\r\n"},
      {"a length that is none", ok + "Content-Length: +5\r\n\r\n"},
      {"a length that is empty", ok + "Content-Length:\r\n\r\n"},
      {"a hexadecimal length", ok + "Content-Length: 0x5\r\n\r\n"},
      {"length and chunked", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"chunked and length", ok + "Transfer-Encoding: identity, Chunked\r\nContent-Length: 5\r\n\r\n"},
      {"a folded length", ok + "Content-Length: 5\r\n 6\r\n\r\n"},
      {"a length on a line of its own", ok + "Content-Length:\n 5\n\n"},
      {"folded codings", ok + "Transfer-Encoding: chun\r\n\tked\r\n\r\n"},
      {"folded codings, on the third line", ok + "Transfer-Encoding: chunked\r\n \r\n ,x\r\n\r\n"},
      {"a folded connection", ok + "connection: keep-\r\n alive\r\n\r\n"},
      {"a folded status line", "HTTP/1.1 200 OK\r\n and more\r\n\r\n"},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    const auto mended = normal_head(c.head);
    REQUIRE_FALSE(mended);
    CHECK(mended.error().reason == Reason::kHttpMalformed);
    CHECK_FALSE(mended.error().detail.empty());
  }
}
