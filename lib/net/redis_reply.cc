#include "net/redis_reply.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <new>
#include <utility>

namespace ocsp_plus::net {
namespace {

#if HIREDIS_MAJOR >= 1
using ElementCount = std::size_t;
#else
using ElementCount = int;
#endif

struct ReaderDeleter {
  void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
};

}  // namespace

struct RedisReader::Impl {
  std::unique_ptr<redisReader, ReaderDeleter> reader;
  std::size_t most_string = 0;
  std::size_t pending = 0;   // bytes since the last complete reply
  std::size_t elements = 0;  // read so far of the reply, those of its arrays included
  std::optional<Error> error;

  // The functions that hiredis calls while it parses. Each returns the new reply, which its array owns, or null with
  // `error` set; no exception may pass through hiredis.

  static void* create(const redisReadTask* task, RedisReply reply) noexcept {
    auto* self = static_cast<Impl*>(task->privdata);
    try {
      if (task->parent == nullptr) {
        self->elements = 0;
        return new RedisReply(std::move(reply));
      }
      if (++self->elements > kMostInAll) {
        return self->refuse(fmt::format("a reply of more than {} elements", kMostInAll));
      }
      // The elements of an array are complete one after another, so the address of one that is still being filled
      // stays.
      auto& siblings = static_cast<RedisReply*>(task->parent->obj)->elements;
      siblings.push_back(std::move(reply));
      return &siblings.back();
    } catch (const std::bad_alloc&) {
      return self->out_of_memory();
    }
  }

  static void* create_string(const redisReadTask* task, char* text, std::size_t length) {
    auto* self = static_cast<Impl*>(task->privdata);
    try {
      if (length > self->most_string) {
        return self->refuse(
            fmt::format("a string of {} bytes, where at most {} are expected", length, self->most_string));
      }
      RedisReply reply;
      switch (task->type) {
        case REDIS_REPLY_STRING:
          reply.kind = RedisReply::Kind::kString;
          break;
        case REDIS_REPLY_STATUS:
          reply.kind = RedisReply::Kind::kStatus;
          break;
        case REDIS_REPLY_ERROR:
          reply.kind = RedisReply::Kind::kError;
          break;
        default:
          return self->refuse("a type that RESP2 does not have");
      }
      reply.text.assign(text, length);
      return create(task, std::move(reply));
    } catch (const std::bad_alloc&) {
      return self->out_of_memory();
    }
  }

  static void* create_array(const redisReadTask* task, ElementCount count) {
    auto* self = static_cast<Impl*>(task->privdata);
    try {
      if (task->type != REDIS_REPLY_ARRAY) {
        return self->refuse("a type that RESP2 does not have");
      }
      if (static_cast<std::size_t>(count) > kMostElements) {  // a negative count is large
        return self->refuse(
            fmt::format("an array of {} elements, where at most {} are expected", count, kMostElements));
      }
      int nested = 1;
      for (const redisReadTask* each = task->parent; each != nullptr; each = each->parent) {
        ++nested;
      }
      if (nested > kMostNested) {
        return self->refuse("too many arrays within each other");
      }
      RedisReply reply;
      reply.kind = RedisReply::Kind::kArray;
      return create(task, std::move(reply));
    } catch (const std::bad_alloc&) {
      return self->out_of_memory();
    }
  }

  static void* create_integer(const redisReadTask* task, long long value) {
    RedisReply reply;
    reply.kind = RedisReply::Kind::kInteger;
    reply.integer = value;
    return create(task, std::move(reply));
  }

  static void* create_nil(const redisReadTask* task) { return create(task, RedisReply()); }

#if HIREDIS_MAJOR >= 1
  static void* create_double(const redisReadTask* task, double /*value*/, char* text, std::size_t length) {
    return create_string(task, text, length);
  }
  static void* create_bool(const redisReadTask* task, int /*value*/) {
    return create_string(task, nullptr, 0);
  }
#endif

  static void free_reply(void* reply) {
    delete static_cast<RedisReply*>(reply);
  }

  std::nullptr_t refuse(std::string what) {
    error = Error{Reason::kStoreMalformed, std::move(what)};
    return nullptr;
  }
  std::nullptr_t out_of_memory() noexcept {
    error = Error{Reason::kOutOfMemory, {}};
    return nullptr;
  }
};

RedisReader::RedisReader(std::size_t most_string) : impl_(std::make_unique<Impl>()) {
  // hiredis takes a pointer to non-const and keeps it, but changes nothing.
  static const redisReplyObjectFunctions kFunctions = [] {
    redisReplyObjectFunctions functions = {};
    functions.createString = Impl::create_string;
    functions.createArray = Impl::create_array;
    functions.createInteger = Impl::create_integer;
    functions.createNil = Impl::create_nil;
#if HIREDIS_MAJOR >= 1
    functions.createDouble = Impl::create_double;
    functions.createBool = Impl::create_bool;
#endif
    functions.freeObject = Impl::free_reply;
    return functions;
  }();
  impl_->most_string = most_string;
  impl_->reader.reset(redisReaderCreateWithFunctions(const_cast<redisReplyObjectFunctions*>(&kFunctions)));
  if (impl_->reader == nullptr) {
    throw std::bad_alloc();
  }
  impl_->reader->privdata = impl_.get();
}

RedisReader::~RedisReader() = default;

void RedisReader::feed(ByteView bytes) {
  if (impl_->error || bytes.empty()) {
    return;
  }
  impl_->pending += bytes.size();
  if (redisReaderFeed(impl_->reader.get(), reinterpret_cast<const char*>(bytes.data()), bytes.size()) != REDIS_OK) {
    impl_->out_of_memory();
  }
}

Result<std::optional<RedisReply>> RedisReader::next() {
  if (impl_->error) {
    return tl::unexpected<Error>(*impl_->error);
  }
  redisReader* reader = impl_->reader.get();
  void* raw = nullptr;
  const int status = redisReaderGetReply(reader, &raw);
  const std::unique_ptr<RedisReply> reply(static_cast<RedisReply*>(raw));
  if (status != REDIS_OK) {
    if (!impl_->error) {
      impl_->error = reader->err == REDIS_ERR_OOM ? Error{Reason::kOutOfMemory, {}}
                                                  : Error{Reason::kStoreMalformed, reader->errstr};
    }
    return tl::unexpected<Error>(*impl_->error);
  }
  if (reply != nullptr) {
    impl_->pending = reader->len - reader->pos;
    return std::optional<RedisReply>(std::move(*reply));
  }
  if (impl_->pending > kMostBuffered) {
    impl_->refuse(fmt::format("more than {} bytes without a complete reply", kMostBuffered));
    return tl::unexpected<Error>(*impl_->error);
  }
  return std::optional<RedisReply>();
}

std::string redis_command(const std::vector<std::string_view>& words) {
  std::vector<const char*> starts;
  std::vector<std::size_t> lengths;
  starts.reserve(words.size());
  lengths.reserve(words.size());
  for (const std::string_view word : words) {
    starts.push_back(word.empty() ? "" : word.data());
    lengths.push_back(word.size());
  }
  struct Free {
    void operator()(char* text) const noexcept { redisFreeCommand(text); }
  };
  char* raw = nullptr;
  const auto length = redisFormatCommandArgv(&raw, static_cast<int>(words.size()), starts.data(), lengths.data());
  const std::unique_ptr<char, Free> text(raw);
  if (length < 0 || text == nullptr) {
    throw std::bad_alloc();
  }
  return {text.get(), static_cast<std::size_t>(length)};
}

}  // namespace ocsp_plus::net
