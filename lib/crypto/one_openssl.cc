#include "crypto/one_openssl.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "crypto/ossl.h"

namespace ocsp_plus::crypto {
namespace {

// Prefixes of OpenSSL's function names.
constexpr std::array<std::string_view, 18> kPrefixes = {
    "ASN1_", "AUTHORITY_", "BIO_", "BN_",  "CRYPTO_", "ERR_",     "EVP_", "GENERAL_", "OBJ_",
    "OCSP_", "OPENSSL_",   "PEM_", "RSA_", "SSL_",    "OpenSSL_", "X509", "d2i_",     "i2d_"};

bool begins(std::string_view name, std::string_view with) {
  return name.substr(0, with.size()) == with;
}

// The needed parts of the dynamic section. glibc stores addresses in it, other C libraries offsets.
struct Symbols {
  const ElfW(Sym) * table = nullptr;
  const char* names = nullptr;
  std::size_t count = 0;
};

// A GNU hash table does not contain the number of symbols: the last one ends the chain of the highest bucket.
std::size_t count_symbols(const std::uint32_t* hash) {
  const std::uint32_t buckets = hash[0];
  const std::uint32_t first_hashed = hash[1];
  const std::uint32_t* bucket = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof(std::uint32_t));
  const std::uint32_t* chain = bucket + buckets;
  std::uint32_t last = buckets == 0 ? 0 : *std::max_element(bucket, bucket + buckets);
  if (last < first_hashed) {
    return first_hashed;
  }
  while ((chain[last - first_hashed] & 1) == 0) {
    ++last;
  }
  return last + 1;
}

Symbols symbols_of(const link_map& object) {
  Symbols symbols;
  const auto address = [&object](ElfW(Addr) value) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader's addresses are numbers
    return reinterpret_cast<const char*>(value < object.l_addr ? value + object.l_addr : value);
  };
  for (const ElfW(Dyn)* entry = object.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_SYMTAB) {
      symbols.table = reinterpret_cast<const ElfW(Sym)*>(address(entry->d_un.d_ptr));
    } else if (entry->d_tag == DT_STRTAB) {
      symbols.names = address(entry->d_un.d_ptr);
    } else if (entry->d_tag == DT_GNU_HASH) {
      symbols.count = count_symbols(reinterpret_cast<const std::uint32_t*>(address(entry->d_un.d_ptr)));
    }
  }
  return symbols;
}

struct Handle {
  void operator()(void* handle) const { dlclose(handle); }
};

// Returns whether `user` was linked against `library`, directly or indirectly.
bool uses(const Dl_info& user, const Dl_info& library, const char* function) {
  const std::unique_ptr<void, Handle> handle(dlopen(user.dli_fname, RTLD_LAZY | RTLD_NOLOAD));
  Dl_info found = {};
  void* bound = handle == nullptr ? nullptr : dlsym(handle.get(), function);
  return bound == nullptr || (dladdr(bound, &found) != 0 && found.dli_fbase == library.dli_fbase);
}

// A function of OpenSSL and the object that it is bound to.
struct Origin {
  const char* function = nullptr;
  Dl_info object = {};
};

// Returns nothing for a weak function or one of a missing library: the dynamic linker reports those.
std::optional<Origin> origin_of(const char* function) {
  Origin origin{function, {}};
  void* bound = dlsym(RTLD_DEFAULT, function);
  if (bound == nullptr || dladdr(bound, &origin.object) == 0) {
    return std::nullopt;
  }
  return origin;
}

bool same_object(const Origin& one, const std::optional<Origin>& other) {
  return other && one.object.dli_fbase == other->object.dli_fbase;
}

// Returns the loaded object that contains this code, or nullptr. Uses only what every C library has; glibc has a
// direct way.
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
  // One function of each library represents the library: names do not tell which of the two a function belongs to.
  const auto crypto = origin_of("ERR_get_error");
  const auto ssl = origin_of("SSL_CTX_new");
  for (std::size_t i = 1; crypto && i < symbols.count; ++i) {
    const char* name = symbols.names + symbols.table[i].st_name;
    if (symbols.table[i].st_shndx != SHN_UNDEF ||
        std::none_of(kPrefixes.begin(), kPrefixes.end(), [name](auto prefix) { return begins(name, prefix); })) {
      continue;
    }
    if (const auto origin = origin_of(name); origin && !same_object(*origin, crypto) && !same_object(*origin, ssl)) {
      const Origin& first = begins(name, "SSL_") && ssl ? *ssl : *crypto;
      return fail(
          Reason::kInvalidArgument,
          fmt::format("two OpenSSLs are in this process: {}() comes from {}, {}() from {}; remove the library "
                      "that brings the second one",
                      first.function, first.object.dli_fname, name, origin->object.dli_fname));
    }
  }
  if (crypto && ssl && !same_object(*ssl, crypto) && !uses(ssl->object, crypto->object, crypto->function)) {
    return fail(Reason::kInvalidArgument,
                fmt::format("two OpenSSLs are in this process: {} is not the libcrypto that {} uses; remove the "
                            "library that brings the second one",
                            crypto->object.dli_fname, ssl->object.dli_fname));
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
  RETURN_IF_ERROR(check_symbols());
  if (!version_fits(OPENSSL_VERSION_NUMBER, OpenSSL_version_num())) {
    return fail(Reason::kInvalidArgument,
                fmt::format("this process runs {}, but ocsp_plus was built for {}; build it for this one",
                            OpenSSL_version(OPENSSL_VERSION), OPENSSL_VERSION_TEXT));
  }
  return {};
}

}  // namespace ocsp_plus::crypto
