#include "cli/share_options.h"

#include <fmt/format.h>

#include <cstddef>
#include <string_view>
#include <utility>

#include "cli/command.h"
#include "engine/share_access.h"
#include "ocsp_plus/defaults.h"

namespace ocsp_plus::cli {
namespace {

constexpr std::size_t kMaxPasswordFile = 64 << 10;
constexpr std::size_t kMaxPemFile = 1 << 20;

// The first line of the file.
Result<std::string> read_password(const std::string& option, const std::string& path) {
  auto content = read_file(path, kMaxPasswordFile);
  if (!content) {
    return content;
  }
  content->resize(std::min(content->find_first_of("\r\n"), content->size()));
  if (content->empty()) {
    return fail(
        Reason::kUnreadable,
        fmt::format("the first line of \"{}\" is empty; give a file with the password with {}", path, option));
  }
  return content;
}

Error about(const std::string& option, Error error) {
  error.detail = fmt::format("{}: {}", option, error.detail);
  return error;
}

struct Files {
  std::string password;
  std::vector<crypto::X509Ptr> trusted;
  std::string certificate;
  std::string key;
};

Result<Files> read_files(const ShareArguments& arguments) {
  Files files;
  if (!arguments.password_file.empty()) {
    auto password = read_password(arguments.option("password-file"), arguments.password_file);
    RETURN_IF_ERROR(password);
    files.password = std::move(*password);
  }
  if (!arguments.trusted.empty()) {
    auto trusted = read_certificates(arguments.trusted);
    RETURN_IF_ERROR(trusted);
    files.trusted = std::move(*trusted);
  }
  if (!arguments.certificate.empty()) {
    auto certificate = read_file(arguments.certificate, kMaxPemFile);
    RETURN_IF_ERROR(certificate);
    auto key = read_file(arguments.key, kMaxPemFile);
    RETURN_IF_ERROR(key);
    files.certificate = std::move(*certificate);
    files.key = std::move(*key);
  }
  return files;
}

}  // namespace

void add_share_options(CLI::App& command, CLI::Option* needed, ShareArguments* arguments) {
  const auto add = [&](const char* name, std::string* value, const char* type, const std::string& description) {
    CLI::Option* option = command.add_option(arguments->option(name), *value, description)->type_name(type);
    return needed != nullptr ? option->needs(needed) : option;
  };
  add("prefix", &arguments->prefix, "NAME", "Prefix of its keys; default: " OP_DEFAULT_SHARE_PREFIX);
  add("user", &arguments->user, "NAME", "User to log in as; default: the server's default user");
  add("password-file", &arguments->password_file, "FILE", "File whose first line is the password; default: none");
  add("sentinel", &arguments->sentinel, "NAME", "The places are sentinels that know the server by this name");
  add("trusted-certificate", &arguments->trusted, "FILE",
      "PEM file that rediss:// servers are checked against; default: the system's trust store");
  CLI::Option* certificate =
      add("certificate", &arguments->certificate, "FILE", "PEM file with a certificate to show to the server");
  CLI::Option* key = add("key", &arguments->key, "FILE", "PEM file with its key");
  certificate->needs(key);
  key->needs(certificate);
}

Result<engine::ShareSettings> read_share_arguments(const ShareArguments& arguments) {
  auto files = read_files(arguments);
  RETURN_IF_ERROR(files);
  if (!arguments.prefix.empty()) {
    if (auto checked = engine::check_share_prefix(arguments.prefix); !checked) {
      return tl::unexpected<Error>(about(arguments.option("prefix"), std::move(checked.error())));
    }
  }
  const std::string place_option = arguments.before.empty() ? "PLACE" : "--share";
  engine::ShareTexts texts;
  texts.places.assign(arguments.places.begin(), arguments.places.end());
  texts.sentinel = arguments.sentinel;
  texts.prefix = arguments.prefix;
  texts.user = arguments.user;
  texts.password = files->password;
  texts.trusted = std::move(files->trusted);
  texts.certificate = files->certificate;
  texts.key = files->key;
  auto settings = engine::read_share(std::move(texts));
  if (!settings) {
    const bool of_certificate = settings.error().reason == Reason::kUnreadable;
    return tl::unexpected<Error>(
        about(of_certificate ? fmt::format("{} and {}", arguments.option("certificate"), arguments.option("key"))
                             : place_option,
              std::move(settings.error())));
  }
  for (const net::RedisPlace& place : settings->places) {
    if (!place.user.empty() || !place.password.empty()) {
      return fail(
          Reason::kInvalidArgument,
          fmt::format("{}: a place on the command line may have neither user nor password, since other users can "
                      "see arguments: give them with {} and {}",
                      place_option, arguments.option("user"), arguments.option("password-file")));
    }
  }
  return settings;
}

}  // namespace ocsp_plus::cli
