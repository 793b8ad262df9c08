#include "crypto/one_openssl.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

// Beginnings of the names of libcrypto's functions; libssl's begin with SSL_.
constexpr std::array<std::string_view, 17> kPrefixes = {"ASN1_", "AUTHORITY_", "BIO_", "BN_",   "CRYPTO_",  "ERR_",
                                                        "EVP_",  "GENERAL_",   "OBJ_", "OCSP_", "OPENSSL_", "PEM_",
                                                        "RSA_",  "OpenSSL_",   "X509", "d2i_",  "i2d_"};

bool begins(std::string_view name, std::string_view with) {
  return name.substr(0, with.size()) == with;
}

// What the dynamic section says, as far as it is of use here. glibc writes addresses into it, others leave offsets.
struct Symbols {
  const ElfW(Sym) * table = nullptr;
  const char* names = nullptr;
  std::size_t undefined = 0;  // symbols 1 to undefined - 1 are what this object wants of others
};

Symbols symbols_of(const link_map& object) {
  Symbols symbols;
  const auto address = [&object](ElfW(Addr) value) {
    return reinterpret_cast<const char*>(value < object.l_addr ? value + object.l_addr : value);
  };
  for (const ElfW(Dyn)* entry = object.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_SYMTAB) {
      symbols.table = reinterpret_cast<const ElfW(Sym)*>(address(entry->d_un.d_ptr));
    } else if (entry->d_tag == DT_STRTAB) {
      symbols.names = address(entry->d_un.d_ptr);
    } else if (entry->d_tag == DT_GNU_HASH) {
      // {buckets, index of the first symbol that is hashed, ...}: what is defined is hashed, and stands last.
      symbols.undefined = reinterpret_cast<const std::uint32_t*>(address(entry->d_un.d_ptr))[1];
    }
  }
  return symbols;
}

struct Handle {
  void operator()(void* handle) const { dlclose(handle); }
};

// Whether `user` was linked against `library`, by itself or through what it needs.
bool uses(const Dl_info& user, const Dl_info& library, const char* function) {
  const std::unique_ptr<void, Handle> handle(dlopen(user.dli_fname, RTLD_LAZY | RTLD_NOLOAD));
  Dl_info found = {};
  void* bound = handle == nullptr ? nullptr : dlsym(handle.get(), function);
  return bound == nullptr || (dladdr(bound, &found) != 0 && found.dli_fbase == library.dli_fbase);
}

// The first function seen of a library, and where it came from.
struct Origin {
  const char* function = nullptr;
  Dl_info object = {};
};

Result<void> same_origin(Origin& first, const char* function) {
  Dl_info object = {};
  void* bound = dlsym(RTLD_DEFAULT, function);
  if (bound == nullptr || dladdr(bound, &object) == 0) {
    return {};  // a weak one, or one of a library that is not there: the linker has its say
  }
  if (first.function == nullptr) {
    first = {function, object};
  } else if (object.dli_fbase != first.object.dli_fbase) {
    return fail(Reason::kInvalidArgument,
                fmt::format("two OpenSSLs are in this process: {}() comes from {}, {}() from {}; remove the library "
                            "that brings the second one",
                            first.function, first.object.dli_fname, function, object.dli_fname));
  }
  return {};
}

// The object that this code is in, among all that are loaded; nullptr where it is not to be found. By what every C
// library has; glibc alone would tell at once.
const link_map* this_object() {
  static const char kHere = 0;
  Dl_info self = {};
  const std::unique_ptr<void, Handle> program(dlopen(nullptr, RTLD_LAZY));
  link_map* object = nullptr;
  if (dladdr(&kHere, &self) == 0 || program == nullptr || dlinfo(program.get(), RTLD_DI_LINKMAP, &object) != 0) {
    return nullptr;
  }
  Dl_info found = {};
  while (object != nullptr && (dladdr(object->l_ld, &found) == 0 || found.dli_fbase != self.dli_fbase)) {
    object = object->l_next;
  }
  return object;
}

Result<void> check_symbols() {
  const link_map* object = this_object();
  if (object == nullptr) {
    return {};
  }
  const Symbols symbols = symbols_of(*object);
  if (symbols.table == nullptr || symbols.names == nullptr) {
    return {};
  }
  Origin crypto;
  Origin ssl;
  for (std::size_t i = 1; i < symbols.undefined; ++i) {
    const char* name = symbols.names + symbols.table[i].st_name;
    const bool is_crypto = std::any_of(kPrefixes.begin(), kPrefixes.end(),
                                       [name](std::string_view prefix) { return begins(name, prefix); });
    if (is_crypto || begins(name, "SSL_")) {
      if (auto same = same_origin(is_crypto ? crypto : ssl, name); !same) {
        return same;
      }
    }
  }
  if (crypto.function != nullptr && ssl.function != nullptr && crypto.object.dli_fbase != ssl.object.dli_fbase &&
      !uses(ssl.object, crypto.object, crypto.function)) {
    return fail(Reason::kInvalidArgument,
                fmt::format("two OpenSSLs are in this process: {} is not the libcrypto that {} uses; remove the "
                            "library that brings the second one",
                            crypto.object.dli_fname, ssl.object.dli_fname));
  }
  return {};
}

}  // namespace

bool version_fits(unsigned long built, unsigned long running) {
  const auto minor = [](unsigned long version) { return version >> 20; };  // 0xMNN.....
  return built >> 28 == running >> 28 && minor(running) >= minor(built);
}

bool may_staple(unsigned long running) {
  return running != 0x30600000UL;
}

Result<void> check_stapling() {
  if (may_staple(OpenSSL_version_num())) {
    return {};
  }
  return fail(Reason::kInvalidArgument,
              "this process runs OpenSSL 3.6.0, with which Chrome and GnuTLS refuse connections once anything is "
              "stapled; upgrade OpenSSL to 3.6.1 or newer");
}

Result<void> check_one_openssl() {
  if (auto symbols = check_symbols(); !symbols) {
    return symbols;
  }
  if (!version_fits(OPENSSL_VERSION_NUMBER, OpenSSL_version_num())) {
    return fail(Reason::kInvalidArgument,
                fmt::format("this process runs {}, but ocsp_plus was built for {}; build it for this one",
                            OpenSSL_version(OPENSSL_VERSION), OPENSSL_VERSION_TEXT));
  }
  return {};
}

}  // namespace ocsp_plus::crypto
