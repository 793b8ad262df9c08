// The C ABI: the one place where exceptions stop and C types become ours.
#include <algorithm>
#include <cerrno>
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
#include "admin/inventory.h"
#include "base/descriptor.h"
#include "base/log.h"
#include "base/poll_loop.h"
#include "base/random.h"
#include "capi/config.h"
#include "capi/host.h"
#include "crypto/one_openssl.h"
#include "crypto/sendable.h"
#include "crypto/verify.h"
#include "engine/admit.h"
#include "engine/catalog.h"
#include "engine/findings.h"
#include "engine/lease_contender.h"
#include "engine/settings.h"
#include "engine/share_access.h"
#include "engine/startup.h"
#include "net/address.h"
#include "ocsp_plus/ocsp_plus.h"
#include "store/cache_directory.h"
#include "store/shared_stats.h"
#include "store/staple_zone.h"
#include "store/zone_registry.h"
#include "store/zone_writer.h"

using ocsp_plus::store::StapleZone;

struct op_worker_s {
  op_worker_s(op_config_t& config, const op_host_ops_t& host_ops, const op_lock_ops_t& lock_ops,
              const ocsp_plus::store::ProcessIdentity& self)
      : host(host_ops),
        lock_table(lock_ops),
        clock(host),
        log(host.log),
        loop(host, log, [this] { contender.distrust(); }),
        lock(lock_table),
        contender({loop, clock, random, log, lock, *config.zone, config.catalog, config.settings}, self) {}

  op_host_ops_t host;
  op_lock_ops_t lock_table;
  ocsp_plus::capi::HostClock clock;
  ocsp_plus::capi::HostLog log;
  ocsp_plus::capi::HostLoop loop;
  ocsp_plus::capi::HostLock lock;
  ocsp_plus::SystemRandom random;
  ocsp_plus::engine::LeaseContender contender;
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
using capi::view;

std::vector<std::string_view> views(const op_str_t* texts, std::size_t count) {
  std::vector<std::string_view> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(view(texts[i]));
  }
  return all;
}

engine::Require require_of(op_require_t from) {
  return from == OP_REQUIRE_ON            ? engine::Require::kOn
         : from == OP_REQUIRE_MUST_STAPLE ? engine::Require::kMustStaple
                                          : engine::Require::kOff;
}

engine::ServerCertificate common_of(const op_server_directives_t& from) {
  engine::ServerCertificate common;
  common.issuers.assign(from.trusted, from.trusted + from.ntrusted);
  common.responders = views(from.responders, from.nresponders);
  common.responder_anchors.assign(from.responder_anchors, from.responder_anchors + from.nresponder_anchors);
  common.files = views(from.files, from.nfiles);
  common.servers = views(from.names, from.nnames);
  common.place = view(from.place);
  common.require = require_of(from.require);
  common.refresh = from.refresh_s;
  common.staple_chain = from.chain != 0;
  return common;
}

std::optional<admin::Format> format_of(op_format_t from) {
  using admin::Format;
  return from == OP_FORMAT_HTML         ? std::optional(Format::kHtml)
         : from == OP_FORMAT_JSON       ? std::optional(Format::kJson)
         : from == OP_FORMAT_PROMETHEUS ? std::optional(Format::kPrometheus)
         : from == OP_FORMAT_READY      ? std::optional(Format::kReady)
                                        : std::nullopt;
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

op_status_t status_of(const Error& error, op_error_t* text) {
  say(text, error.detail.empty() ? meaning(error.reason) : std::string_view(error.detail));
  return error.reason == Reason::kZoneBusy ? OP_BUSY : error.reason == Reason::kZoneFull ? OP_TOO_SMALL : OP_ERROR;
}

}  // namespace

op_status_t op_openssl_check(op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    if (const auto checked = crypto::check_one_openssl(); !checked) {
      return status_of(checked.error(), error);
    }
    if (const auto fit = crypto::check_stapling(); !fit) {
      (void)status_of(fit.error(), error);
      return OP_UNFIT;
    }
    return OP_OK;
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
  const engine::Settings from;
  *settings = {};
  settings->ipv4 = from.resolver.ipv4 ? 1 : 0;
  settings->ipv6 = from.resolver.ipv6 ? 1 : 0;
  settings->resolver_timeout_ms = from.resolver.timeout;
  settings->resolver_valid_s = from.resolver.max_ttl;
  settings->timeout_ms = from.timeout;
  settings->concurrency = from.concurrency;
  settings->retry_min_s = from.retry.min;
  settings->retry_max_s = from.retry.max;
  settings->max_response = from.max_response;
  settings->certid_auto = from.certid_auto ? 1 : 0;
  settings->issuer_fetch = from.issuer_fetch ? 1 : 0;
}

namespace {

// The files of the directive were read by the caller.
Result<engine::ShareSettings> share_of(const op_share_t& from) {
  engine::ShareTexts texts;
  texts.places = views(from.places, from.nplaces);
  texts.sentinel = view(from.sentinel);
  texts.prefix = view(from.prefix);
  texts.user = view(from.user);
  texts.password = view(from.password);
  texts.timeout = from.timeout_ms;
  for (std::size_t i = 0; i < from.ntrusted; ++i) {
    texts.trusted.push_back(crypto::up_ref(from.trusted[i]));
  }
  texts.certificate = view(from.certificate);
  texts.key = view(from.key);
  return engine::read_share(std::move(texts));
}

}  // namespace

op_status_t op_config_set(op_config_t* config, const op_settings_t* from, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    engine::Settings settings;
    for (std::size_t i = 0; i < from->nresolvers; ++i) {
      settings.resolver.servers.emplace_back(view(from->resolvers[i]));
      if (op_config_check(OP_VALUE_ADDRESS, from->resolvers[i], error) != OP_OK) {
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
    if (from->share.nplaces != 0) {
      auto share = share_of(from->share);
      if (!share) {
        return status_of({share.error().reason, "\"ocsp_plus_share\": " + share.error().detail}, error);
      }
      settings.share = std::move(*share);
    }
    settings.issuer_fetch = from->issuer_fetch != 0;
    settings.certid_auto = from->certid_auto != 0;
    settings.policy.accept_sha256_only = settings.certid_auto;
    settings.policy.must_be_sendable = crypto::openssl_selects();
    settings.sends_chain = crypto::openssl_sends_chain();
    settings.cache = std::string(view(from->cache));
    settings.zone_name = std::string(view(from->zone_name));
    config->settings = std::move(settings);
    return OP_OK;
  });
}

op_status_t op_config_check(op_value_t kind, op_str_t text, op_error_t* error) {
  const auto status_from = [error](const auto& parsed) {
    return parsed.has_value() ? OP_OK : status_of(parsed.error(), error);
  };
  return guarded(error, OP_ERROR, [&] {
    switch (kind) {
      case OP_VALUE_URL:
        return status_from(net::Url::parse(view(text)));
      case OP_VALUE_PROXY:
        return status_from(net::Proxy::parse(view(text)));
      case OP_VALUE_PLACE:
        return status_from(net::RedisPlace::parse(view(text)));
      case OP_VALUE_SENTINEL:
        return status_from(net::RedisPlace::parse(view(text), net::RedisPlace::Role::kSentinel));
      case OP_VALUE_PREFIX:
        return status_from(engine::check_share_prefix(view(text)));
      case OP_VALUE_ADDRESS:
        break;
    }
    if (net::Address::parse(std::string(view(text)), 53).length != 0) {
      return OP_OK;
    }
    say(error, fmt::format("{} is not an IP address with an optional port", quoted(view(text))));
    return OP_ERROR;
  });
}

op_server_t* op_server_create(op_config_t* config, const op_server_directives_t* directives, op_error_t* error) {
  return guarded(error, static_cast<op_server_t*>(nullptr), [&]() -> op_server_t* {
    op_server_s server = {*config, {}, common_of(*directives), config->servers.size()};
    server.server.require = server.common.require;
    server.server.omit_revoked = directives->omit_revoked != 0;
    if (directives->preload == 0) {
      const auto profile = config->catalog.add_profile(server.common);
      if (!profile) {
        (void)status_of(profile.error(), error);
        return nullptr;
      }
      server.server.profile = (*profile)->key;
      server.server.chain_profile = (*profile)->chain_key;
    }
    config->loads = config->loads || directives->loads != 0;
    if (config->inventory != nullptr) {
      config->inventory->add_server(server.common, server.server.omit_revoked, directives->loads != 0,
                                    directives->preload != 0);
    }
    return &config->servers.emplace_back(std::move(server));
  });
}

op_status_t op_server_add(op_server_t* server, struct x509_st* leaf, struct x509_st* const* chain, size_t nchain,
                          op_str_t file, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    engine::ServerCertificate certificate = server->common;
    certificate.leaf = leaf;
    certificate.file = view(file);
    certificate.chain.assign(chain, chain + nchain);
    const auto added = server->config.catalog.add(certificate);
    if (!added) {
      return status_of(added.error(), error);
    }
    server->server.add(leaf, added->target, certificate.chain, added->links);
    if (server->config.inventory != nullptr) {
      server->config.inventory->add_certificate(server->number, certificate);
    }
    return OP_OK;
  });
}

op_status_t op_config_findings(op_config_t* config, const op_log_ops_t* log, op_error_t* error) {
  say(error, "");
  return guarded(error, OP_ERROR, [&] {
    const auto fit = crypto::check_stapling();
    op_status_t status = OP_OK;
    for (const engine::Finding& finding :
         engine::findings(config->catalog, config->settings, fit ? std::string() : fit.error().detail)) {
      log->log_write(log->ctx, static_cast<int>(finding.severity), finding.text.data(), finding.text.size());
      status = finding.severity == engine::Severity::kEmergency ? OP_ERROR : status;
    }
    return status;
  });
}

op_status_t op_config_record(op_config_t* config, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    config->inventory = std::make_unique<admin::InventoryWriter>();
    return OP_OK;
  });
}

op_status_t op_server_listens(op_server_t* server, op_str_t address, int proxied, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    if (server->config.inventory != nullptr) {
      server->config.inventory->add_address(server->number, view(address), proxied != 0);
    }
    return OP_OK;
  });
}

op_status_t op_config_inventory(const op_config_t* config, const op_origin_t* from, int fd, op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    if (config->inventory == nullptr) {
      say(error, "nothing was recorded");
      return OP_ERROR;
    }
    admin::InventoryOrigin origin;
    origin.nginx = std::string(view(from->version));
    origin.user_name = std::string(view(from->user_name));
    origin.user = directory_user(from->user);
    if (const auto fit = crypto::check_stapling(); !fit) {
      origin.unfit = fit.error().detail;
    }
    const std::string document = config->inventory->write(origin, config->settings);
    if (!write_all(fd, ByteView(document))) {
      say(error, errno_text(errno));
      return OP_ERROR;
    }
    return OP_OK;
  });
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

op_cache_state_t op_cache_check(const op_config_t* config, const op_cache_user_t* user, op_text_t* text) {
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

// Any server may load certificates per connection, whatever its own directives say: another module may set them.
void op_zone_size(const op_config_t* config, op_zone_size_t* size) {
  const engine::Catalog& catalog = config->catalog;
  const std::size_t count = catalog.targets().size();
  const bool used = count != 0 || config->loads || !catalog.unusable().empty();
  *size = {used ? store::required_size(count, config->loads) : 0, store::default_size(count, true), count,
           config->loads ? 1 : 0};
}

op_status_t op_config_open_zone(op_config_t* config, void* base, size_t size, int fresh, const void* old_base,
                                size_t old_size, const op_lock_ops_t* lock_ops, int64_t monotonic_ms,
                                op_error_t* error) {
  return guarded(error, OP_ERROR, [&] {
    auto zone = StapleZone::attach(base, size);
    const bool adopted = zone.has_value();
    if (!adopted) {
      zone = StapleZone::format(base, size, fresh ? StapleZone::Memory::kZeroed : StapleZone::Memory::kUsed);
    }
    if (!zone) {
      return status_of(zone.error(), error);
    }
    config->catalog.settle_issuers(config->settings.issuer_fetch);
    capi::HostLock lock(*lock_ops);
    const auto generation = config->catalog.take_entries(*zone, lock);
    if (!generation) {
      return status_of(generation.error(), error);
    }
    config->replaced = adopted ? op_config_s::Area() : op_config_s::Area{old_base, old_size};
    if (store::number(*zone, store::Number::kBegan) == 0) {
      store::record(*zone, store::Number::kBegan, monotonic_ms);
    }
    for (op_server_s& server : config->servers) {
      server.server.take_entries();
    }
    config->zone = *zone;
    config->generation = *generation;
    return OP_OK;
  });
}

op_document_t* op_document_begin(const op_config_t* config, const op_document_request_t* request) {
  return guarded(nullptr, static_cast<op_document_t*>(nullptr), [&] {
    auto document = std::make_unique<op_document_t>();
    document->document = admin::make_document(
        {config->catalog, config->settings, config->zone, request->now_s, request->monotonic_ms},
        format_of(request->format), view(request->args), view(request->accept), view(request->control));
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

void op_document_head(const op_document_t* document, op_document_head_t* head) {
  const admin::Head& from = document->document->head();
  head->status = from.http_status;
  head->content_type = {from.content_type.data(), from.content_type.size()};
  head->content_security_policy = {from.content_security_policy.data(), from.content_security_policy.size()};
  head->varies = from.varies;
  head->brief = document->document->is_brief() ? 1 : 0;
}

void op_document_end(op_document_t* document) {
  delete document;
}

int op_refresh(const op_config_t* config, op_str_t args, int64_t now_s, int64_t monotonic_ms, op_text_t* text) {
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
    SystemRandom random;
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
    const auto done = startup.run({wait_ms});
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
    worker->contender.retire();
    return 0;
  });
}

void op_worker_stop(op_worker_t* worker) {
  delete worker;
}
