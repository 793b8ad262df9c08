// The C ABI's part that handshakes use.
#include <array>

#include "capi/config.h"
#include "crypto/certificate.h"

using namespace ocsp_plus;  // NOLINT: this file is nothing but the seam

namespace {

static_assert(OP_MAX_STAPLES == 1 + engine::kMaxLinks);

class HostConnection : public engine::Connection {
 public:
  explicit HostConnection(const op_hello_t& hello) : hello_(hello) {}
  std::size_t chain(x509_st** to, std::size_t most) override {
    return hello_.connection->chain(hello_.ctx, to, most);
  }
  std::size_t staple(const engine::Staple* staples, std::size_t count) override {
    std::array<op_response_t, OP_MAX_STAPLES> responses;
    for (std::size_t i = 0; i < count; ++i) {
      responses[i] = {staples[i].der, staples[i].size};
    }
    return hello_.connection->staple(hello_.ctx, responses.data(), count);
  }

 private:
  const op_hello_t& hello_;
};

engine::Hello hello_of(const op_hello_t& from) {
  engine::Hello hello;
  hello.leaf = from.leaf;
  hello.tls13 = from.tls13 != 0;
  hello.foreign = from.foreign != 0;
  hello.memory = from.memory;
  hello.now = from.now_s;
  hello.monotonic = from.monotonic_ms;
  hello.worker = from.worker;
  return hello;
}

op_outcome_t outcome_of(engine::Outcome from) {
  return from == engine::Outcome::kStapled   ? OP_STAPLED
         : from == engine::Outcome::kForeign ? OP_FOREIGN
         : from == engine::Outcome::kRefused ? OP_REFUSED
                                             : OP_NO_STAPLE;
}

void put(const engine::Decision& from, op_decision_t* decision) {
  decision->outcome = outcome_of(from.outcome);
  decision->memory = from.memory;
  decision->line.text[0] = '\0';
  if (from.line != nullptr) {
    capi::say(&decision->line, *from.line);
  }
}

}  // namespace

void op_staple(op_server_t* server, const op_hello_t* from, op_decision_t* decision) {
  HostConnection connection(*from);
  engine::Hello hello = hello_of(*from);
  hello.allocate = from->connection->allocate;
  hello.release = from->connection->release;
  put(server->config.stapler->decide(server->server, hello, &connection), decision);
}

void op_settle(op_server_t* server, const op_hello_t* hello, op_decision_t* decision) {
  put(server->config.stapler->settle(server->server, hello_of(*hello)), decision);
}

void op_recall(uintptr_t memory, op_remembered_t* remembered) {
  const engine::Remembered from = engine::recall(memory);
  *remembered = {outcome_of(from.outcome), from.revoked ? 1 : 0, from.expires, from.chain};
}

op_status_t op_certificate_id(const op_server_t* server, struct x509_st* leaf, char id[64]) {
  return capi::guarded(nullptr, OP_ERROR, [&] {
    const auto found = server->server.id_of(leaf);
    if (!found) {
      return OP_ERROR;
    }
    to_hex(*found).copy(id, 64);
    return OP_OK;
  });
}

void op_count_replaced(const op_server_t* server, uint32_t worker) {
  server->config.stapler->count_replaced(worker);
}

size_t op_printable(op_str_t text, char* to, size_t size) {
  return print_into(capi::view(text), to, size);
}
