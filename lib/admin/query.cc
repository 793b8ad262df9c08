#include "admin/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace ocsp_plus::admin {
namespace {

constexpr std::size_t kGlances = 64;      // entries of the zone examined for the price of one certificate
constexpr std::size_t kLoadedCosts = 16;  // price of parsing a certificate per started kLoadedBytes of its DER
constexpr std::size_t kLoadedBytes = 8192;

// Calls use(part) for each part between separators.
template <typename Use>
void split(std::string_view text, char separator, Use use) {
  while (true) {
    const auto end = text.find(separator);
    use(text.substr(0, end));
    if (end == std::string_view::npos) {
      return;
    }
    text.remove_prefix(end + 1);
  }
}

// Returns the weight of a media range in thousandths (RFC 9110 section 12.4.2).
int weight_of(std::string_view parameters) {
  int weight = 1000;
  split(parameters, ';', [&weight](std::string_view parameter) {
    parameter = trim(parameter);
    if (parameter.size() < 3 || (parameter[0] | 0x20) != 'q' || parameter[1] != '=') {
      return;
    }
    weight = parameter[2] == '1' ? 1000 : 0;
    int scale = 100;
    for (const char digit : parameter.substr(std::min<std::size_t>(parameter.size(), 4))) {
      weight += weight < 1000 && digit >= '0' && digit <= '9' ? (digit - '0') * scale : 0;
      scale /= 10;
    }
  });
  return weight;
}

// Returns the best supported format; JSON if the client has no preference.
Format by_accept(std::string_view accept) {
  static constexpr std::array<std::pair<std::string_view, Format>, 4> kTypes = {{
      {"application/openmetrics-text", Format::kOpenMetrics},
      {"application/json", Format::kJson},
      {"text/html", Format::kHtml},
      {"text/plain", Format::kPrometheus},
  }};
  Format best = Format::kJson;
  int best_weight = 0;
  split(accept, ',', [&](std::string_view range) {
    const auto end = range.find(';');
    std::string type(trim(range.substr(0, end)));
    std::transform(type.begin(), type.end(), type.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const int weight = end == std::string_view::npos ? 1000 : weight_of(range.substr(end + 1));
    for (const auto& [name, format] : kTypes) {
      if (type == name && weight > best_weight) {
        best = format;
        best_weight = weight;
      }
    }
  });
  return best;
}

bool is_metrics(Format format) {
  return format == Format::kPrometheus || format == Format::kOpenMetrics;
}

std::optional<Format> format_named(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Format>, 4> kNames = {{
      {"html", Format::kHtml},
      {"json", Format::kJson},
      {"prometheus", Format::kPrometheus},
      {"ready", Format::kReady},
  }};
  for (const auto& [known, format] : kNames) {
    if (name == known) {
      return format;
    }
  }
  return std::nullopt;
}

tl::unexpected<Error> invalid(std::string_view name, std::string_view value, std::string_view takes) {
  return fail(Reason::kInvalidArgument, fmt::format("{}={}: it takes {}", name, quoted(value), takes));
}

Result<void> choose_format(std::optional<Format> fixed, std::string_view args, std::string_view accept,
                           Query* query) {
  const auto named = argument(args, "format");
  std::optional<Format> asked;
  if (named.has_value()) {
    asked = format_named(*named);
    if (!asked.has_value() && !fixed.has_value()) {
      return invalid("format", *named, "html, json, prometheus or ready");
    }
  }
  if (fixed.has_value()) {
    const bool of_the_page = fixed == Format::kHtml && asked == Format::kJson;
    query->format = of_the_page ? Format::kJson : *fixed;
  } else {
    query->negotiated = !asked.has_value();
    query->format = asked.value_or(by_accept(accept));
  }
  if (is_metrics(query->format)) {
    query->negotiated = true;
    query->format = by_accept(accept) == Format::kOpenMetrics ? Format::kOpenMetrics : Format::kPrometheus;
  }
  return {};
}

Result<void> choose_certificates(std::string_view args, Query* query) {
  if (const auto text = argument(args, "state")) {
    query->state = state_of(std::string_view(*text));
    if (!query->state.has_value()) {
      return invalid("state", *text, "valid, pending, expired, revoked, unsupported or ended");
    }
  }
  for (const auto& [name, id] : {std::pair{"id", &query->id}, std::pair{"after", &query->after}}) {
    if (const auto text = argument(args, name)) {
      *id = parse_id(*text);
      if (!id->has_value()) {
        return invalid(name, *text, "a certificate id of 64 hexadecimal digits");
      }
    }
  }
  if (const auto text = argument(args, "limit")) {
    const char* const end = text->data() + text->size();
    const auto [stopped, error] = std::from_chars(text->data(), end, query->limit);
    if (error != std::errc() || stopped != end || query->limit == 0) {
      return invalid("limit", *text, "a number above 0");
    }
  }
  query->server = argument(args, "server");
  return {};
}

}  // namespace

std::optional<std::string> argument(std::string_view args, std::string_view name) {
  std::string plain(args);
  std::replace(plain.begin(), plain.end(), '+', ' ');
  std::optional<std::string> found;
  split(plain, '&', [&](std::string_view pair) {
    const auto equals = pair.find('=');
    if (!found.has_value() && percent_decoded(pair.substr(0, equals)) == name) {
      found = equals == std::string_view::npos ? std::string() : percent_decoded(pair.substr(equals + 1));
    }
  });
  return found;
}

Result<Query> parse_query(std::optional<Format> fixed, std::string_view args, std::string_view accept) {
  Query query;
  RETURN_IF_ERROR(choose_format(fixed, args, accept, &query));
  RETURN_IF_ERROR(choose_certificates(args, &query));
  const auto strict = argument(args, "strict");
  query.strict = strict.has_value() && *strict != "0";
  const auto loaded = argument(args, "loaded");
  query.loaded = loaded.has_value() && *loaded != "0";
  return query;
}

Selection::Selection(const View& view, const Query& query)
    : view_(view), query_(query), loaded_(query.loaded), left_(query.limit) {
  if (!view.zone.has_value()) {
    over_ = true;
    return;
  }
  hosts_.emplace(*view.zone);
  const auto& all = view.catalog.by_id();
  at_ = query.id.has_value()      ? all.find(*query.id)
        : query.after.has_value() ? all.upper_bound(*query.after)
                                  : all.begin();
  loaded_ = loaded_ || (query.id.has_value() && at_ == all.end());
  if (loaded_) {
    begin_loaded();
  } else {
    over_ = at_ == all.end();
  }
}

void Selection::begin_loaded() {
  const auto& from = query_.id.has_value() ? query_.id : query_.after;
  if (!from.has_value()) {
    return;
  }
  entry_ = view_.zone->find(*from);
  over_ = entry_ == store::kNoEntry;
  ended_early_ = over_ && !query_.id.has_value();
  entry_ += query_.id.has_value() ? 0 : 1;
}

std::optional<CertificateStatus> Selection::next(std::size_t* budget) {
  while (!over_ && *budget > 0) {
    if (left_ == 0) {
      next_page_ = last_;
      over_ = true;
      break;
    }
    --*budget;
    auto status = loaded_ ? look_at_loaded(budget) : look();
    if (status.has_value() && wanted(*status)) {
      --left_;
      return status;
    }
  }
  return std::nullopt;
}

std::optional<CertificateStatus> Selection::look() {
  const engine::Target& target = *at_->second;
  last_ = at_->first;
  ++at_;
  over_ = at_ == view_.catalog.by_id().end() || query_.id.has_value();
  return certificate_status(view_, *hosts_, target, target.verifiable());
}

// Skips unused entries many at a time; parsing a used one costs as much as many configured certificates.
std::optional<CertificateStatus> Selection::look_at_loaded(std::size_t* budget) {
  const store::EntryIndex used = view_.zone->entries_used();
  for (std::size_t glances = 0; glances < kGlances && entry_ < used && !over_; ++glances) {
    at_loaded_ = loaded_target(view_, entry_++);
    over_ = query_.id.has_value();
    if (at_loaded_ != nullptr) {
      *budget -= std::min(*budget, kLoadedCosts * (1 + at_loaded_->bytes / kLoadedBytes));
      last_ = at_loaded_->target.certificate.id;
      return certificate_status(view_, *hosts_, at_loaded_->target, at_loaded_->verifiable);
    }
  }
  over_ = over_ || entry_ >= used;
  return std::nullopt;
}

bool Selection::wanted(const CertificateStatus& status) const {
  return (!query_.state.has_value() || status.state == *query_.state) &&
         (!query_.server.has_value() || status.target->servers.count(*query_.server) != 0);
}

}  // namespace ocsp_plus::admin
