// SharedStore in a Redis or Valkey server, of version 5 or later. SharedStore::create() makes one.
//
// The keys of a prefix P, version 1 (the scripts redis_*.lua read and write them):
//
//   {P}:1:c:<certificate id>   a hash. r: the response, DER. l, l1, l2, …: leases, "<ms of the server when it ends>
//                              <token>". w: the note, "<ms of the server when it ends> <failures>"
//   {P}:1:f:<host of the responder>   a sorted set: tokens of the leases given within the last two seconds
//   {P}:1:n                    a stream: c: the id, s: SHA-1 of the response published
//
// All expire: a response with its validity, everything after 8 days. In the braces, Redis Cluster would keep all in
// one slot; it is not supported, though.
#pragma once

#include "net/shared_store.h"

namespace ocsp_plus::net {

// Of a prefix; shown in the documentation, and so here.
struct RedisKeys {
  std::string prefix;

  std::string certificate(const CertificateId& id) const { return "{" + prefix + "}:1:c:" + to_hex(id); }
  std::string begun(const std::string& host) const { return "{" + prefix + "}:1:f:" + host; }
  std::string news() const { return "{" + prefix + "}:1:n"; }
};

}  // namespace ocsp_plus::net
