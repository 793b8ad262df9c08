#include "net/redis_reply.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace ocsp_plus;
using net::RedisReader;
using net::RedisReply;

namespace {

constexpr std::size_t kMostString = 100;

std::string shown(const RedisReply& reply) {
  switch (reply.kind) {
    case RedisReply::Kind::kString:
      return "'" + reply.text + "'";
    case RedisReply::Kind::kStatus:
      return "+" + reply.text;
    case RedisReply::Kind::kError:
      return "-" + reply.text;
    case RedisReply::Kind::kInteger:
      return std::to_string(reply.integer);
    case RedisReply::Kind::kNil:
      return "nil";
    case RedisReply::Kind::kArray:
      break;
  }
  std::string text;
  for (const RedisReply& each : reply.elements) {
    text += (text.empty() ? "" : " ") + shown(each);
  }
  return "[" + text + "]";
}

// The replies in `bytes`, one a line, fed in pieces of `piece` bytes; then the token of the error, if there is one.
std::string read(const std::string& bytes, std::size_t piece) {
  RedisReader reader(kMostString);
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(ByteView(std::string_view(bytes).substr(at, piece)));
    for (;;) {
      const auto reply = reader.next();
      if (!reply) {
        CHECK(reader.next().error().reason == reply.error().reason);  // for ever
        return text + std::string(token(reply.error().reason));
      }
      if (!*reply) {
        break;
      }
      text += shown(**reply) + "\n";
    }
  }
  return text;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) {
    all += text;
  }
  return all;
}

}  // namespace

TEST_CASE("redis_reply: replies, however their bytes arrive", "[redis]") {
  struct Case {
    std::string bytes;
    std::string replies;
  };
  const Case cases[] = {
      {"+PONG\r\n", "+PONG\n"},
      {"-NOPERM this user has no permissions\r\n", "-NOPERM this user has no permissions\n"},
      {":-9223372036854775808\r\n:12\r\n", "-9223372036854775808\n12\n"},
      {"$-1\r\n*-1\r\n", "nil\nnil\n"},
      {"$0\r\n\r\n", "''\n"},
      {std::string("$4\r\na\r\n\0\r\n", 10), std::string("'a\r\n\0'\n", 7)},
      {"*0\r\n", "[]\n"},
      {"*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n+x\r\n:7\r\n", "[1 ['a' [nil]] +x]\n7\n"},
      {"*1\r\n*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nc\r\n$1\r\nx\r\n",
       "[[['k' [['1-0' ['c' 'x']]]]]]\n"},
  };
  for (const Case& each : cases) {
    for (const std::size_t piece :
         {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{4096}}) {
      CAPTURE(each.bytes, piece);
      CHECK(read(each.bytes, piece) == each.replies);
    }
  }
}

TEST_CASE("redis_reply: what is no reply, or beyond a bound", "[redis]") {
  const std::string cases[] = {
      "HTTP/1.1 400 Bad Request\r\n",
      "\r\n",
      std::string("\x15\x03\x03\0\x02\x02\x50\r\n", 9),
      ":one\r\n",
      ":99999999999999999999\r\n",
      "$-2\r\n",
      "$x\r\n",
      "$99999999999999999999\r\n",
      "$101\r\n" + std::string(101, 'x') + "\r\n",
      "+" + std::string(101, 'x') + "\r\n",
      "-" + std::string(101, 'x') + "\r\n",
      "*257\r\n",
      "*100000000\r\n",
      "*4294967297\r\n",
      "*9223372036854775807\r\n",
      "*-2\r\n",
      "*x\r\n",
      repeated("*1\r\n", 7),
      repeated("*1\r\n", 2000),
      // RESP3, which nobody asked for
      "%1\r\n+a\r\n:1\r\n",
      "~1\r\n:1\r\n",
      ">1\r\n:1\r\n",
      ",1.5\r\n",
      "#t\r\n",
      "(1\r\n",
      "=7\r\ntxt:abc\r\n",
      // 17 arrays of 256 are more than all in all
      "*256\r\n" + repeated("*256\r\n" + repeated(":1\r\n", 256), 17),
  };
  for (const std::string& bytes : cases) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{4096}}) {
      CAPTURE(bytes.substr(0, 40), bytes.size(), piece);
      CHECK(read(bytes, piece) == "store_malformed");
    }
  }
  CHECK(read("+OK\r\n" + std::string("?"), 4096) == "+OK\nstore_malformed");
  CHECK(read(repeated("*1\r\n", 6) + ":1\r\n", 4096) == "[[[[[[1]]]]]]\n");
}

TEST_CASE("redis_reply: a megabyte without a complete reply is too much", "[redis]") {
  const std::string starts[] = {"$2000000000\r\n", "+", "-", ":", "*2\r\n$2000000000\r\n"};
  const std::string piece(16384, 'x');
  for (const std::string& start : starts) {
    CAPTURE(start);
    RedisReader reader(kMostString);
    reader.feed(ByteView(start));
    std::size_t fed = start.size();
    auto reply = reader.next();
    while (reply && fed <= 2 * RedisReader::kMostBuffered) {
      REQUIRE_FALSE(reply->has_value());
      reader.feed(ByteView(piece));
      fed += piece.size();
      reply = reader.next();
    }
    REQUIRE_FALSE(reply.has_value());
    CHECK(reply.error().reason == Reason::kStoreMalformed);
    CHECK(fed > RedisReader::kMostBuffered);
    CHECK(fed <= RedisReader::kMostBuffered + piece.size() + start.size());
  }
  // Any number of replies is fine, though they come without a pause.
  RedisReader reader(kMostString);
  const std::string many = repeated("$10\r\n0123456789\r\n", 5000) + "$10\r\n01";
  std::size_t fed = 0;
  while (fed < 3 * RedisReader::kMostBuffered) {
    reader.feed(ByteView(many));
    fed += many.size();
    int replies = 0;
    for (auto reply = reader.next(); reply.value().has_value(); reply = reader.next()) {
      ++replies;
    }
    CHECK(replies == 5000);
    reader.feed(ByteView(std::string_view("23456789\r\n")));
    REQUIRE(reader.next()->has_value());
  }
}

TEST_CASE("redis_reply: commands are written as arrays of strings", "[redis]") {
  CHECK(net::redis_command({"PING"}) == "*1\r\n$4\r\nPING\r\n");
  CHECK(net::redis_command({"SET", std::string_view("a\0\r\n", 4), ""}) ==
        std::string("*3\r\n$3\r\nSET\r\n$4\r\na\0\r\n\r\n$0\r\n\r\n", 29));
  CHECK(net::redis_command({"x", std::string_view()}) == "*2\r\n$1\r\nx\r\n$0\r\n\r\n");
}
