#include "net/redis_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.h"
#include "net/redis_connection.h"
#include "net/redis_scripts.h"

namespace ocsp_plus::net {
namespace {

using Found = SharedStore::Found;

constexpr Millis kLeastKept = 60000;  // ms, as all times of the server
constexpr Millis kLongest = Millis{8} * 24 * 3600 * 1000;
constexpr unsigned kMostFailures = 99;
constexpr unsigned kMostLease = 1023;
constexpr int kNewsKept = 16384;
// ms; the year 10000. The server cannot add entries after one with the last id there is, and begins anew then.
constexpr std::uint64_t kLastId = 253402300800000;
constexpr std::uint64_t kNewsBefore = 600000;  // ms before the newest, for the first read

Millis clamped(Millis value, Millis least, Millis most) {
  return std::min(std::max(value, least), most);
}

std::string number(std::int64_t value) {
  return fmt::format_int(value).str();
}

std::string lease_field(unsigned lease) {
  return lease == 0 ? "l" : "l" + number(std::min(lease, kMostLease));
}

std::string sha1_hex(const std::optional<Sha1>& sha1) {
  return sha1 ? to_hex(*sha1) : std::string();
}

// The milliseconds of a stream's id, "1767225600000-0".
std::optional<std::uint64_t> millis_of(std::string_view id) {
  std::uint64_t millis = 0;
  std::uint64_t sequence = 0;
  const char* const end = id.data() + id.size();
  const auto first = std::from_chars(id.data(), end, millis);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') {
    return std::nullopt;
  }
  const auto second = std::from_chars(first.ptr + 1, end, sequence);
  if (second.ec != std::errc() || second.ptr != end) {
    return std::nullopt;
  }
  return millis;
}

const RedisReply* element(const RedisReply& reply, std::size_t index) {
  return reply.is(RedisReply::Kind::kArray) && index < reply.elements.size() ? &reply.elements[index] : nullptr;
}

std::int64_t integer_at(const RedisReply& reply, std::size_t index) {
  const RedisReply* found = element(reply, index);
  return found != nullptr ? found->integer : 0;
}

tl::unexpected<Error> malformed(const char* what) {
  return fail(Reason::kStoreMalformed, fmt::format("{} is none that was asked for", what));
}

}  // namespace

RedisWords look_words(const RedisKeys& keys, const SharedStore::Wanted& wanted,
                      const std::vector<std::string>& tokens, std::size_t most_response) {
  RedisWords words = {"EVALSHA", std::string(kLookScript.sha1),
                      number(static_cast<std::int64_t>(wanted.items.size()) + 1), keys.begun(wanted.host)};
  for (const SharedStore::Item& item : wanted.items) {
    words.push_back(keys.certificate(item.id));
  }
  for (const std::int64_t each :
       {wanted.lease_time, std::int64_t{wanted.leases}, std::int64_t{wanted.most_begun},
        static_cast<std::int64_t>(most_response), static_cast<std::int64_t>(SharedStore::kMostResponse)}) {
    words.push_back(number(each));
  }
  for (std::size_t i = 0; i < wanted.items.size(); ++i) {
    const SharedStore::Item& item = wanted.items[i];
    words.insert(words.end(), {lease_field(item.lease), tokens[i], sha1_hex(item.known), item.past_note ? "1" : "0"});
  }
  return words;
}

Result<RedisLooked> read_look(RedisReply& reply, const std::vector<SharedStore::Item>& items,
                              const std::vector<std::string>& tokens) {
  if (!reply.is(RedisReply::Kind::kArray) || reply.elements.size() != items.size()) {
    return malformed("the answer of a look");
  }
  RedisLooked looked;
  for (std::size_t i = 0; i < items.size(); ++i) {
    RedisReply& answer = reply.elements[i];
    const RedisReply* kind = element(answer, 0);
    if (kind == nullptr || kind->text.size() != 1) {
      return malformed("the answer of a look");
    }
    Found found;
    const auto wait = [&answer] { return clamped(integer_at(answer, 1), 1, kLongest); };
    const auto failures = [&answer](std::size_t at) {
      return static_cast<unsigned>(clamped(integer_at(answer, at), 0, kMostFailures));
    };
    switch (kind->text[0]) {
      case 'r':
        found.kind = Found::Kind::kResponse;
        if (element(answer, 1) != nullptr) {
          found.response = ByteView(answer.elements[1].text).copy();
        }
        break;
      case 'l':
        found.kind = Found::Kind::kLease;
        found.lease = {std::min(items[i].lease, kMostLease), tokens[i]};
        found.failures = failures(1);
        looked.granted = true;
        break;
      case 'a':
        found.kind = Found::Kind::kElsewhere;
        found.wait = wait();
        break;
      case 'n':
        found.kind = Found::Kind::kNote;
        found.wait = wait();
        found.failures = failures(2);
        break;
      case '-':
        found.kind = Found::Kind::kNothing;
        break;
      case 'f':
        found.kind = Found::Kind::kMore;
        break;
      case 'x':
        found.kind = Found::Kind::kNoWrites;
        if (const RedisReply* text = element(answer, 1); text != nullptr && refuses_writes(text->text)) {
          looked.refused = text->text;
        }
        break;
      default:
        return malformed("the answer of a look");
    }
    looked.found.push_back(std::move(found));
  }
  return looked;
}

RedisWords publish_words(const RedisKeys& keys, const SharedStore::Publication& publication,
                         std::size_t most_response) {
  return {"EVALSHA",
          std::string(kPublishScript.sha1),
          "3",
          keys.certificate(publication.id),
          keys.begun(publication.host),
          keys.news(),
          publication.lease ? lease_field(publication.lease->number) : "",
          publication.lease ? publication.lease->token : "",
          std::string(ByteView(publication.response).text()),
          number(clamped(publication.keep, kLeastKept, kLongest)),
          sha1_hex(publication.replaces),
          number(static_cast<std::int64_t>(most_response)),
          to_hex(publication.id),
          number(kNewsKept),
          number(kLongest)};
}

Result<SharedStore::Published> read_published(const RedisReply& reply) {
  SharedStore::Published published;
  if (reply.is(RedisReply::Kind::kInteger)) {
    published.stored = true;
    return published;
  }
  if (!reply.is(RedisReply::Kind::kString)) {
    return malformed("the answer of a publication");
  }
  published.other = ByteView(reply.text).copy();
  return published;
}

RedisWords settle_words(const RedisKeys& keys, const SharedStore::Settlement& settlement) {
  return {"EVALSHA",
          std::string(kSettleScript.sha1),
          "2",
          keys.certificate(settlement.id),
          keys.begun(settlement.host),
          lease_field(settlement.lease.number),
          settlement.lease.token,
          number(clamped(settlement.wait, 0, kLongest)),
          settlement.failed ? "1" : "0"};
}

Result<bool> read_settled(const RedisReply& reply) {
  if (!reply.is(RedisReply::Kind::kInteger)) {
    return malformed("the answer of a settlement");
  }
  return reply.integer != 0;
}

// Reads the newest entry first where it is not known from where to go on, and then in any case what follows.
RedisWords RedisNews::newest_words() const {
  return {"XREVRANGE", key_, "+", "-", "COUNT", "1"};
}

RedisWords RedisNews::words() const {
  return {"XREAD", "COUNT", number(static_cast<std::int64_t>(SharedStore::kMostNews)), "STREAMS", key_, from_};
}

void RedisNews::begin(const RedisReply& newest) {
  const bool to_end = full_reads_ > kFullReads;
  full_reads_ = 0;
  from_ = "0-0";  // an empty stream
  const RedisReply* entry = element(newest, 0);
  const RedisReply* id = entry != nullptr ? element(*entry, 0) : nullptr;
  const auto millis = id != nullptr ? millis_of(id->text) : std::nullopt;
  if (millis && *millis < kLastId) {
    from_ = to_end ? id->text : fmt::format("{}-0", *millis - std::min(*millis, kNewsBefore));
  }
}

Result<std::vector<SharedStore::News>> RedisNews::read(const RedisReply& reply) {
  std::vector<SharedStore::News> all;
  if (reply.is(RedisReply::Kind::kNil)) {
    full_reads_ = 0;
    return all;
  }
  // [[key, [[id, [field, value, …]], …]]]
  const RedisReply* stream = element(reply, 0);
  const RedisReply* entries = stream != nullptr ? element(*stream, 1) : nullptr;
  if (entries == nullptr || !entries->is(RedisReply::Kind::kArray)) {
    return malformed("the answer of XREAD");
  }
  for (const RedisReply& entry : entries->elements) {
    const RedisReply* id = element(entry, 0);
    const RedisReply* fields = element(entry, 1);
    if (id == nullptr || fields == nullptr || !millis_of(id->text)) {
      return malformed("an entry of the news");
    }
    if (*millis_of(id->text) < kLastId) {
      from_ = id->text;
    }
    // Others may have written anything.
    if (fields->elements.size() != 4 || fields->elements[0].text != "c" || fields->elements[2].text != "s") {
      continue;
    }
    const auto certificate = parse_id(fields->elements[1].text);
    const auto sha1 = parse_hex<Sha1>(fields->elements[3].text);
    if (certificate && sha1) {
      all.push_back({*certificate, *sha1});
    }
  }
  full_reads_ = entries->elements.size() < SharedStore::kMostNews ? 0 : full_reads_ + 1;
  return all;
}

}  // namespace ocsp_plus::net
