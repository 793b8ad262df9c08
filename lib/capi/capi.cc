// The C ABI: the one place where exceptions stop and C types become ours.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "admin/control.h"
#include "admin/document.h"
#include "base/log.h"
#include "base/poll_loop.h"
#include "capi/config.h"
#include "capi/host.h"
#include "crypto/one_openssl.h"
#include "crypto/verify.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/designated_worker.h"
#include "engine/settings.h"
#include "engine/startup.h"
#include "net/address.h"
#include "ocsp_plus/ocsp_plus.h"
#include "store/cache_directory.h"
#include "store/shared_stats.h"
#include "store/staple_zone.h"
#include "store/zone_writer.h"

using ocsp_plus::store::StapleZone;

struct op_worker_s {
  op_worker_s(op_config_t& config, const op_host_ops_t& host_ops, const op_lock_ops_t& lock_ops,
              const ocsp_plus::store::ProcessIdentity& self)
      : host(host_ops),
        lock_table(lock_ops),
        clock(host),
        log(host.log),
        loop(host, log, [this] { worker.distrust(); }),
        lock(lock_table),
        worker({loop, clock, random, log, lock, *config.zone, config.catalog, config.settings}, self) {}

  op_host_ops_t host;
  op_lock_ops_t lock_table;
  ocsp_plus::capi::HostClock clock;
  ocsp_plus::capi::HostLog log;
  ocsp_plus::capi::HostLoop loop;
  ocsp_plus::capi::HostLock lock;
  ocsp_plus::capi::HostRandom random;
  ocsp_plus::engine::DesignatedWorker worker;
};

struct op_document_s {
  std::unique_ptr<ocsp_plus::admin::Document> document;
  std::string pending;  // written, and not handed out yet
  std::size_t from = 0;
  bool over = false;
};

namespace {

using namespace ocsp_plus;  // NOLINT: this file is nothing but the seam
using capi::guarded;
using capi::say;

std::string_view view(op_str_t text) {
  return text.len == 0 ? std::string_view() : std::string_view(text.data, text.len);
}

std::vector<store::Registration> registrations(const engine::Catalog& catalog) {
  std::vector<store::Registration> all;
  all.reserve(catalog.targets().size());
  for (const auto& target : catalog.targets()) {
    store::Registration registration = {target->certificate.id, store::kUnknownIssuer};
    if (target->issuer != nullptr) {
      registration.issuer_key = target->issuer->key_sha256();
    }
    all.push_back(registration);
  }
  return all;
}

engine::Mention mention_of(const op_mention_t& from) {
  engine::Mention mention;
  mention.leaf = from.leaf;
  mention.issuers.assign(from.issuers, from.issuers + from.nissuers);
  for (std::size_t i = 0; i < from.nresponders; ++i) {
    mention.responders.push_back(view(from.responders[i]));
  }
  mention.responder_anchors.assign(from.responder_anchors, from.responder_anchors + from.nresponder_anchors);
  for (std::size_t i = 0; i < from.nfiles; ++i) {
    mention.files.push_back(view(from.files[i]));
  }
  for (std::size_t i = 0; i < from.nservers; ++i) {
    mention.servers.push_back(view(from.servers[i]));
  }
  mention.require = from.require == OP_REQUIRE_ON            ? engine::Mention::Require::kOn
                    : from.require == OP_REQUIRE_MUST_STAPLE ? engine::Mention::Require::kMustStaple
                                                             : engine::Mention::Require::kOff;
  return mention;
}

store::DirectoryUser directory_user(const op_cache_user_t& from) {
  return {from.uid, from.gid, from.prepared != 0};
}

// Nothing where there is none, or where its header makes no sense.
std::optional<StapleZone> replaced_zone(const op_config_s& config) {
  std::optional<StapleZone> zone;
  if (config.replaced.base != nullptr) {
    // Reading does not write, whatever the type says.
    if (auto found = StapleZone::attach(const_cast<void*>(config.replaced.base), config.replaced.size)) {
      zone = *found;
    }
  }
  return zone;
}

template <std::size_t N>
void copy_text(const std::string& from, char (&to)[N]) {
  print_into(from, to, N);
}

op_status_t status_of(const Error& error, op_error_t* text) {
  say(text, error.detail.empty() ? meaning(error.reason) : std::string_view(error.detail));
  return error.reason == Reason::kZoneBusy ? OP_BUSY : error.reason == Reason::kZoneFull ? OP_TOO_SMALL : OP_ERROR;
}

}  // namespace

op_status_t op_openssl_check(op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    const auto checked = crypto::check_one_openssl();
    return checked ? OP_OK : status_of(checked.error(), error);
  });
}

op_status_t op_openssl_can_staple(op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    const auto checked = crypto::check_stapling();
    return checked ? OP_OK : status_of(checked.error(), error);
  });
}

op_config_t* op_config_create(void) {
  // Not new (std::nothrow): what the members allocate throws all the same.
  return guarded(nullptr, static_cast<op_config_t*>(nullptr),
                 [] { return std::make_unique<op_config_s>().release(); });
}

void op_config_destroy(op_config_t* config) {
  delete config;
}

void op_settings_defaults(op_settings_t* settings) {
  *settings = {};
  settings->size = sizeof(*settings);
  settings->ipv4 = 1;
  settings->ipv6 = 1;
  settings->resolver_timeout_ms = OP_DEFAULT_RESOLVER_TIMEOUT_MS;
  settings->resolver_valid_s = OP_DEFAULT_RESOLVER_VALID_S;
  settings->timeout_ms = OP_DEFAULT_TIMEOUT_MS;
  settings->concurrency = OP_DEFAULT_CONCURRENCY;
  settings->retry_min_s = OP_DEFAULT_RETRY_MIN_S;
  settings->retry_max_s = OP_DEFAULT_RETRY_MAX_S;
  settings->issuer_fetch = 1;
  settings->max_response = OP_DEFAULT_MAX_RESPONSE_BYTES;
}

op_status_t op_config_set(op_config_t* config, const op_settings_t* from, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    engine::Settings settings;
    for (std::size_t i = 0; i < from->nresolvers; ++i) {
      settings.resolver.servers.emplace_back(view(from->resolvers[i]));
      if (op_address_check(from->resolvers[i], error) != OP_OK) {
        return OP_ERROR;
      }
    }
    settings.resolver.ipv4 = from->ipv4 != 0;
    settings.resolver.ipv6 = from->ipv6 != 0;
    settings.resolver.timeout = from->resolver_timeout_ms;
    settings.resolver.max_ttl = from->resolver_valid_s;
    settings.timeout = from->timeout_ms;
    settings.concurrency = from->concurrency;
    settings.retry = {from->retry_min_s, from->retry_max_s};
    settings.max_response = from->max_response;
    if (from->proxy.len != 0) {
      auto proxy = net::Proxy::parse(view(from->proxy));
      if (!proxy) {
        return status_of(proxy.error(), error);
      }
      settings.proxy = std::move(*proxy);
    }
    settings.issuer_fetch = from->issuer_fetch != 0;
    settings.certid_auto = from->certid_auto != 0;
    settings.policy.accept_sha256_only = settings.certid_auto;
    settings.cache = std::string(view(from->cache));
    settings.zone_name = std::string(view(from->zone_name));
    config->settings = std::move(settings);
    return OP_OK;
  });
}

op_status_t op_address_check(op_str_t address, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    if (net::Address::parse(std::string(view(address)), 53).length != 0) {
      return OP_OK;
    }
    say(error, fmt::format("{} is not an IP address with an optional port", quoted(view(address))));
    return OP_ERROR;
  });
}

op_status_t op_url_check(op_str_t url, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    const auto parsed = net::Url::parse(view(url));
    return parsed ? OP_OK : status_of(parsed.error(), error);
  });
}

op_status_t op_proxy_check(op_str_t proxy, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    const auto parsed = net::Proxy::parse(view(proxy));
    return parsed ? OP_OK : status_of(parsed.error(), error);
  });
}

op_status_t op_config_add(op_config_t* config, const op_mention_t* from, op_added_t* added, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    const auto result = config->catalog.add(mention_of(*from));
    if (!result) {
      return status_of(result.error(), error);
    }
    *added = {};
    if (!result->unusable.empty()) {
      added->known = result->known;
      added->required = result->required;
      added->must_staple = crypto::demands_staple(from->leaf);
      copy_text(result->unusable, added->unusable);
      return OP_OK;
    }
    const engine::Target& target = config->catalog.target(result->index);
    // One that failed half way may be known without one.
    if (result->index == config->labels.size()) {
      config->labels.push_back(quoted(target.certificate.label()));
    }
    added->index = result->index;
    added->known = result->known;
    added->differs = result->differs;
    added->has_issuer = target.issuer != nullptr;
    added->anchors_differ = result->anchors_differ;
    added->issuer_lookup = result->issuer_lookup;
    added->issuer_fault = crypto::describe(result->issuer_fault).data();  // a literal
    added->has_responder = !target.responders.empty();
    added->has_file = !target.files.empty();
    added->required = result->required;
    added->must_staple = target.certificate.must_staple;
    added->label = config->labels[result->index].c_str();
    if (!result->ignored.empty()) {
      copy_text(result->ignored.front(), added->ignored);
    }
    copy_text(result->issuer_unusable, added->issuer_unusable);
    return OP_OK;
  });
}

size_t op_config_count(const op_config_t* config) {
  return config->catalog.targets().size();
}

op_status_t op_config_add_profile(op_config_t* config, const op_mention_t* from, int loads, uint64_t* profile,
                                  op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    const auto added = config->catalog.add_profile(mention_of(*from));
    if (!added) {
      return status_of(added.error(), error);
    }
    *profile = added->key;
    say(error, added->ignored);
    config->loads = config->loads || loads != 0;
    return OP_OK;
  });
}

int op_config_loads(const op_config_t* config) {
  return config->loads ? 1 : 0;
}

op_status_t op_cache_prepare(const op_config_t* config, const op_cache_user_t* user, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    if (config->settings.cache.empty()) {
      return OP_OK;
    }
    const auto prepared = store::prepare_directory(config->settings.cache, directory_user(*user));
    return prepared ? OP_OK : status_of(prepared.error(), error);
  });
}

op_cache_state_t op_cache_check(const op_config_t* config, const op_cache_user_t* user, op_error_t* text) {
  return guarded(text, OP_CACHE_UNUSABLE, [&] {
    const std::string& path = config->settings.cache;
    if (path.empty()) {
      return OP_CACHE_FINE;
    }
    if (const auto usable = store::check_directory(path, directory_user(*user)); !usable) {
      say(text, usable.error().detail);
      return OP_CACHE_UNUSABLE;
    }
    const std::string_view kind = store::network_file_system(path);
    say(text, fmt::format("{}: {}", path, kind));
    return kind.empty() ? OP_CACHE_FINE : OP_CACHE_ON_NETWORK;
  });
}

size_t op_zone_required_size(size_t certificates, int loads) {
  return store::required_size(certificates, loads != 0);
}

size_t op_zone_default_size(size_t certificates, int loads) {
  return store::default_size(certificates, loads != 0);
}

op_status_t op_config_open_zone(op_config_t* config, void* base, size_t size, int fresh, const void* old_base,
                                size_t old_size, const op_lock_ops_t* lock_ops, int64_t monotonic_ms,
                                op_zone_opened_t* opened, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    *opened = {};
    auto zone = StapleZone::attach(base, size);
    opened->kept = zone.has_value();
    if (!zone) {
      zone = StapleZone::format(base, size, fresh ? StapleZone::Memory::kZeroed : StapleZone::Memory::kUsed);
    }
    if (!zone) {
      return status_of(zone.error(), error);
    }
    config->catalog.settle_issuers(config->settings.issuer_fetch);
    capi::HostLock lock(*lock_ops);
    std::vector<store::EntryIndex> entries;
    const auto generation = zone->register_all(lock, registrations(config->catalog), &entries);
    if (!generation) {
      return status_of(generation.error(), error);
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
      config->catalog.target(static_cast<std::uint32_t>(i)).entry = entries[i];
    }
    config->replaced = opened->kept ? op_config_s::Area() : op_config_s::Area{old_base, old_size};
    if (zone->stats().began.load(std::memory_order_relaxed) == 0) {
      zone->stats().began.store(monotonic_ms, std::memory_order_relaxed);
    }
    config->zone = *zone;
    config->generation = *generation;
    opened->generation = *generation;
    return OP_OK;
  });
}

op_document_t* op_document_begin(const op_config_t* config, const op_document_request_t* request) {
  return guarded(nullptr, static_cast<op_document_t*>(nullptr), [&] {
    std::optional<admin::Format> fixed;
    switch (request->format) {
      case OP_FORMAT_HTML:
        fixed = admin::Format::kHtml;
        break;
      case OP_FORMAT_JSON:
        fixed = admin::Format::kJson;
        break;
      case OP_FORMAT_PROMETHEUS:
        fixed = admin::Format::kPrometheus;
        break;
      case OP_FORMAT_READY:
        fixed = admin::Format::kReady;
        break;
      case OP_FORMAT_ANY:
        break;
    }
    auto document = std::make_unique<op_document_t>();
    document->document =
        admin::make_document({config->catalog, config->settings, config->zone, request->now_s, request->monotonic_ms},
                             fixed, view(request->args), view(request->accept));
    return document.release();
  });
}

op_document_state_t op_document_next(op_document_t* document, unsigned char* to, size_t size, size_t* len) {
  *len = 0;
  return guarded(nullptr, OP_DOCUMENT_FAILED, [&] {
    if (document->from == document->pending.size() && !document->over) {
      document->pending.clear();
      document->from = 0;
      document->over = !document->document->next(&document->pending);
    }
    *len = document->pending.copy(reinterpret_cast<char*>(to), size, document->from);
    document->from += *len;
    if (document->from == document->pending.size() && document->over) {
      return OP_DOCUMENT_DONE;
    }
    return *len == 0 ? OP_DOCUMENT_WORKING : OP_DOCUMENT_MORE;
  });
}

int op_document_is_brief(const op_document_t* document) {
  return document->document->is_brief() ? 1 : 0;
}

void op_document_head(const op_document_t* document, op_document_head_t* head) {
  const admin::Head& from = document->document->head();
  head->status = from.http_status;
  head->content_type = {from.content_type.data(), from.content_type.size()};
  head->content_security_policy = {from.content_security_policy.data(), from.content_security_policy.size()};
  head->varies = from.varies;
}

void op_document_end(op_document_t* document) {
  delete document;
}

int op_refresh(const op_config_t* config, op_str_t args, int64_t now_s, int64_t monotonic_ms, op_error_t* text) {
  return guarded(text, 503, [&] {
    const admin::Answer answer =
        admin::refresh({config->catalog, config->settings, config->zone, now_s, monotonic_ms}, view(args));
    say(text, answer.text);
    return answer.http_status;
  });
}

op_status_t op_start(op_config_t* config, const op_log_ops_t* log_ops, const op_lock_ops_t* lock_ops, int32_t pid,
                     int64_t wait_ms, const op_progress_ops_t* progress, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    SystemClock clock;
    PollLoop loop(clock);
    capi::HostRandom random;
    capi::HostLog log(*log_ops);
    capi::HostLock lock(*lock_ops);
    engine::Startup startup(
        loop, {loop, clock, random, log, lock, *config->zone, config->catalog, config->settings},
        {pid, 0, config->generation},
        [progress] {
          if (progress != nullptr) {
            progress->report(progress->ctx);
          }
        },
        replaced_zone(*config));
    const auto done = startup.run(wait_ms);
    return done ? OP_OK : status_of(done.error(), error);
  });
}

op_worker_t* op_worker_start(op_config_t* config, const op_host_ops_t* host, const op_lock_ops_t* lock, int32_t pid,
                             uint32_t slot, op_error_t* error) {
  return guarded(error, static_cast<op_worker_t*>(nullptr), [&] {
    const store::ProcessIdentity self = {pid, slot, config->generation};
    return std::make_unique<op_worker_s>(*config, *host, *lock, self).release();
  });
}

void op_worker_retire(op_worker_t* worker) {
  guarded(nullptr, 0, [&] {
    worker->worker.retire();
    return 0;
  });
}

void op_worker_stop(op_worker_t* worker) {
  delete worker;
}
