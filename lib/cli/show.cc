// ocsp-plus show: prints the content of a response or of a cache directory. It verifies nothing. A response has the
// serial number of its certificate alone; who it is about is known by the certificates of --cert.
#include <dirent.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/poll_loop.h"
#include "cli/command.h"
#include "cli/verdict.h"
#include "crypto/response_content.h"
#include "ocsp_plus/defaults.h"
#include "store/cache_files.h"

namespace ocsp_plus::cli {
namespace {

using crypto::ResponseContent;
using Single = ResponseContent::Single;

constexpr std::size_t kIdDigits = 2 * sizeof(CertificateId);

struct Options {
  std::string path;
  std::vector<std::string> certificates;
  bool json = false;
};

// One response, or why it cannot be read.
struct Shown {
  std::string file;
  std::string certificate_id;  // as in the file's name; empty: unknown
  std::size_t size = 0;
  Result<ResponseContent> content;
};

using Known = std::vector<crypto::Certificate>;  // those of --cert

Result<Known> read_known(const std::vector<std::string>& files) {
  Known known;
  for (const std::string& file : files) {
    const auto chain = read_certificates(file);
    RETURN_IF_ERROR(chain);
    for (const auto& one : *chain) {
      auto certificate = crypto::describe(one.get());
      if (!certificate) {
        return fail(Reason::kUnreadable, file + ": " + certificate.error().detail);
      }
      known.push_back(std::move(*certificate));
    }
  }
  return known;
}

const crypto::Certificate* find(const Known& known, const Single& single) {
  const auto found = std::find_if(known.begin(), known.end(), [&single](const crypto::Certificate& certificate) {
    return crypto::is_about(single, certificate);
  });
  return found == known.end() ? nullptr : &*found;
}

std::optional<CertificateId> id_from(std::string_view name) {
  const auto id = parse_id(name.substr(0, kIdDigits));
  return id.has_value() && store::CacheFiles::file_name(*id) == name ? id : std::nullopt;
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  struct Closer {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  const std::unique_ptr<DIR, Closer> directory(opendir(path.c_str()));
  if (directory == nullptr) {
    return fail(Reason::kUnreadable, path + " cannot be read; run as its owner or as root");
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory.get())) {
    names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<Shown>> read_directory(const std::string& path) {
  RETURN_IF_ERROR(become_owner(path));
  const auto disk = store::CacheFiles::open(path, OP_MAX_MAX_RESPONSE_BYTES);
  RETURN_IF_ERROR(disk);
  const auto names = names_in(disk->path());
  RETURN_IF_ERROR(names);
  std::vector<Shown> all;
  for (const std::string& name : *names) {
    const auto id = id_from(name);
    if (!id) {
      continue;
    }
    const auto kept = disk->load(*id);
    Shown shown = {disk->path() + "/" + name, to_hex(*id), kept ? kept->bytes.size() : 0, ResponseContent()};
    shown.content = kept ? crypto::read_response_content(kept->bytes) : tl::unexpected<Error>(kept.error());
    all.push_back(std::move(shown));
  }
  return all;
}

Result<std::vector<Shown>> read_one(const std::string& path) {
  const auto bytes = read_response(path);
  RETURN_IF_ERROR(bytes);
  std::vector<Shown> one;
  one.push_back({path, "", bytes->size(), crypto::read_response_content(*bytes)});
  return one;
}

// Classifies by the response's own times alone, as verify() does: "valid", "ended", "early".
std::string_view state_of(const Single& single, UnixSeconds now) {
  const crypto::VerifyPolicy policy;
  const UnixSeconds end = single.next_update != 0
                              ? single.next_update
                              : saturating_add(single.this_update, policy.max_age_without_next_update);
  return single.this_update > saturating_add(now, policy.clock_skew) ? "early" : now >= end ? "ended" : "valid";
}

Json json_of(const Single& single, const Known& known, UnixSeconds now) {
  const crypto::Certificate* certificate = find(known, single);
  Json json;
  json["cert_status"] = std::string(token(single.status));
  json["state"] = std::string(state_of(single, now));
  json["subject"] = certificate == nullptr ? Json() : Json(certificate->subject);
  json["names"] = certificate == nullptr ? Json() : Json(certificate->names);
  json["issuer"] = json_text(certificate == nullptr ? single.issuer : certificate->issuer);
  json["serial"] = to_hex(single.serial);
  json["hash"] = single.hash;
  json["issuer_name_hash"] = to_hex(single.issuer_name_hash);
  json["issuer_key_hash"] = to_hex(single.issuer_key_hash);
  json["this_update"] = json_time(single.this_update);
  json["next_update"] = json_time(single.next_update);
  json["revoked_at"] = json_time(single.revoked_at);
  json["revocation_reason"] = json_text(single.revocation_reason);
  return json;
}

Json json_of(const Shown& shown, const Known& known, UnixSeconds now) {
  Json json;
  json["file"] = shown.file;
  json["certificate_id"] = json_text(shown.certificate_id);
  json["bytes"] = shown.size;
  json["reason"] = std::string(token(shown.content ? Reason::kOk : shown.content.error().reason));
  json["detail"] = shown.content ? Json() : json_text(shown.content.error().detail);
  const ResponseContent content = shown.content.value_or(ResponseContent());
  json["produced_at"] = json_time(content.produced_at);
  json["responder"] = json_text(content.responder);
  json["signature"] = json_text(content.signature);
  json["certificates"] = content.certificates;
  json["responses"] = Json::array();
  for (const Single& single : content.singles) {
    json["responses"].push_back(json_of(single, known, now));
  }
  return json;
}

// "CN=example.com (example.com, www.example.com)"
std::string name_of(const crypto::Certificate& certificate) {
  return certificate.names.empty() ? certificate.subject
                                   : fmt::format("{} ({})", certificate.subject, fmt::join(certificate.names, ", "));
}

std::string text_of(const Single& single, const Known& known, UnixSeconds now) {
  const crypto::Certificate* certificate = find(known, single);
  return (certificate == nullptr ? "" : line("certificate", name_of(*certificate))) +
         line("issued by", certificate == nullptr ? single.issuer : certificate->issuer) +
         line("cert status", fmt::format("{}, by its times {}", token(single.status), state_of(single, now))) +
         line("serial", to_hex(single.serial)) +
         line("issuer", fmt::format("name {} key {} ({})", to_hex(single.issuer_name_hash),
                                    to_hex(single.issuer_key_hash), single.hash)) +
         line("this update", text_time(single.this_update)) + line("next update", text_time(single.next_update)) +
         line("revoked at", text_time(single.revoked_at)) + line("because", single.revocation_reason);
}

std::string text_of(const Shown& shown, const Known& known, UnixSeconds now) {
  std::string text = line("file", shown.file);
  if (!shown.content) {
    const Error& error = shown.content.error();
    return text + line("reason", fmt::format("{} ({})", token(error.reason), meaning(error.reason))) +
           line("detail", error.detail);
  }
  text += line("produced at", text_time(shown.content->produced_at)) + line("responder", shown.content->responder) +
          line("signature", shown.content->signature);
  for (const std::string& certificate : shown.content->certificates) {
    text += line("carries", certificate);
  }
  for (const Single& single : shown.content->singles) {
    text += text_of(single, known, now);
  }
  return text;
}

Result<int> run_show(const Options& options) {
  const auto known = read_known(options.certificates);
  RETURN_IF_ERROR(known);
  struct stat found = {};
  const bool is_directory = stat(options.path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
  const auto all = is_directory ? read_directory(options.path) : read_one(options.path);
  RETURN_IF_ERROR(all);
  const UnixSeconds now = SystemClock().now();
  if (options.json && !is_directory) {
    print_json(json_of(all->front(), *known, now));
  } else if (options.json) {
    Json json = Json::array();
    for (const Shown& shown : *all) {
      json.push_back(json_of(shown, *known, now));
    }
    print_json(json);
  } else {
    for (const Shown& shown : *all) {
      fmt::print("{}{}", &shown == &all->front() ? "" : "\n", text_of(shown, *known, now));
    }
  }
  const bool fine =
      std::all_of(all->begin(), all->end(), [](const Shown& shown) { return shown.content.has_value(); });
  if (!fine) {
    complain(fmt::format("{} holds what is no response; remove it, or name another file", options.path));
  }
  return fine ? kFit : kUnfit;
}

}  // namespace

Command register_show(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("show", "Shows what OCSP responses hold; verifies nothing");
  command->add_option("path", options->path, "A response, DER or PEM, or a cache directory")
      ->required()
      ->type_name("");
  command
      ->add_option("--cert", options->certificates,
                   "PEM file with certificates, to name those that responses are about; may be given again")
      ->expected(1)
      ->type_name("FILE")
      ->take_all();
  command->add_flag("--json", options->json, "Print one JSON object, or an array of them for a directory");
  command->footer("Exit status: 0 shown, 1 something there is no response, 2 wrong use or unreadable input.");
  return {[options] { return run_show(*options); }};
}

}  // namespace ocsp_plus::cli
