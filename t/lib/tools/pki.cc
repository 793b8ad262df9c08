// test_pki: makes keys and certificates for tests, many in one run.
//
// Reads commands from standard input, one a line, fields separated by tabs, each field key=value:
//
//   dir=/path  name=leaf1  issuer=int  names=a.example,b.example  aia=http://127.0.0.1:8081/  not_after=7776000
//
// and writes DIR/NAME.crt, DIR/NAME.key and DIR/NAME.pem (the certificate and its issuers up to, but without, the
// root). For each it prints "name serial id" with the serial in hex and the SHA-256 of the certificate.
//
//   name          file name, and the common name unless cn= is given
//   issuer        the name of an earlier certificate of the same directory; missing: self-signed
//   key           ec (P-256, the default), ec:P-384, rsa, rsa:3072, ed25519
//   key_of        use the key of this certificate instead of a new one
//   ca            1: a CA; pathlen=N
//   cn            common name; cn_latin1_hex: the same as raw bytes of a T61String
//   subject_of    take the subject of this certificate
//   names         subjectAltName, comma separated; host names or IP addresses
//   aia           OCSP responder URL, may be repeated; ca_issuers likewise
//   serial        hex; random otherwise
//   not_before    seconds from now, default -3600; not_after, default 90 days (CA: 10 years)
//   raw_not_before, raw_not_after    the octets of a UTCTime instead, as no clock would write them: 290229000000Z
//   must_staple   1: the TLS feature extension with status_request
//   ocsp_signing  1: extended key usage OCSPSigning; nocheck=1: id-pkix-ocsp-nocheck
//   no_aki        1: leave out the authority key identifier
//   aki_serial    1: name the issuer's certificate in it as well, by its issuer and serial number
//   issuer_printable  1: write the issuer's name in PrintableStrings, where it has UTF8Strings itself
//   chain         0: NAME.pem holds the certificate alone
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "free.h"

namespace {

using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;
using NamePtr = std::unique_ptr<X509_NAME, Free<X509_NAME_free>>;
using BnPtr = std::unique_ptr<BIGNUM, Free<BN_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, Free<ASN1_TIME_free>>;
using ExtPtr = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

[[noreturn]] void fail(const std::string& what) {
  const unsigned long code = ERR_peek_last_error();
  throw std::runtime_error(code == 0 ? what : what + ": " + ERR_reason_error_string(code));
}

void check(bool ok, const char* what) {
  if (!ok) {
    fail(what);
  }
}

struct Command {
  std::multimap<std::string, std::string> fields;

  std::string get(const std::string& key, const std::string& otherwise = "") const {
    auto it = fields.find(key);
    return it == fields.end() ? otherwise : it->second;
  }
  bool flag(const std::string& key) const {
    const std::string value = get(key);
    return !value.empty() && value != "0";
  }
  std::vector<std::string> all(const std::string& key) const {
    std::vector<std::string> out;
    for (auto [it, end] = fields.equal_range(key); it != end; ++it) {
      out.push_back(it->second);
    }
    return out;
  }
};

struct Identity {
  X509Ptr cert;
  KeyPtr key;
  std::string chain;  // PEM of this certificate and its issuers, without the root
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) {
    if (!part.empty()) {
      out.push_back(part);
    }
  }
  return out;
}

std::string hex(const unsigned char* data, size_t size) {
  static const char digits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < size; ++i) {
    out += digits[data[i] >> 4];
    out += digits[data[i] & 15];
  }
  return out;
}

KeyPtr make_key(const std::string& kind) {
  const size_t colon = kind.find(':');
  const std::string type = kind.substr(0, colon);
  const std::string detail = colon == std::string::npos ? "" : kind.substr(colon + 1);
  KeyPtr key;
  if (type == "ec") {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", detail.empty() ? "P-256" : detail.c_str()));
  } else if (type == "rsa") {
    key.reset(EVP_RSA_gen(detail.empty() ? 2048U : static_cast<unsigned>(std::stoul(detail))));
  } else if (type == "ed25519") {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  } else {
    fail("unknown kind of key: " + kind);
  }
  check(key != nullptr, "key");
  return key;
}

std::string to_pem(X509* cert) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  check(PEM_write_bio_X509(bio.get(), cert) == 1, "certificate to PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << content;
  out.close();
  if (!out) {
    fail("cannot write " + path);
  }
}

Identity load(const std::string& base) {
  Identity id;
  BioPtr cert(BIO_new_file((base + ".crt").c_str(), "r"));
  BioPtr key(BIO_new_file((base + ".key").c_str(), "r"));
  check(cert && key, ("no such certificate: " + base).c_str());
  id.cert.reset(PEM_read_bio_X509(cert.get(), nullptr, nullptr, nullptr));
  id.key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
  check(id.cert && id.key, ("cannot read " + base).c_str());
  std::ifstream chain(base + ".pem", std::ios::binary);
  id.chain.assign(std::istreambuf_iterator<char>(chain), {});
  return id;
}

// The identities met in this run; those of earlier runs are read from their files.
class Keyring {
 public:
  const Identity& find(const std::string& dir, const std::string& name) {
    const std::string base = dir + "/" + name;
    auto it = known_.find(base);
    return it != known_.end() ? it->second : known_.emplace(base, load(base)).first->second;
  }
  void remember(const std::string& base, Identity id) { known_[base] = std::move(id); }

 private:
  std::map<std::string, Identity> known_;
};

void add_extension(X509* cert, X509V3_CTX* ctx, int nid, const std::string& value) {
  ExtPtr ext(X509V3_EXT_conf_nid(nullptr, ctx, nid, value.c_str()));
  check(ext != nullptr, ("extension " + value).c_str());
  check(X509_add_ext(cert, ext.get(), -1) == 1, "add extension");
}

bool is_address(const std::string& name) {
  return name.find(':') != std::string::npos || name.find_first_not_of("0123456789.") == std::string::npos;
}

void set_subject(X509* cert, const Command& cmd, Keyring& ring, const std::string& dir) {
  if (!cmd.get("subject_of").empty()) {
    X509_set_subject_name(cert, X509_get_subject_name(ring.find(dir, cmd.get("subject_of")).cert.get()));
    return;
  }
  X509_NAME* subject = X509_get_subject_name(cert);
  const std::string raw = cmd.get("cn_latin1_hex");
  if (!raw.empty()) {
    long size = 0;
    unsigned char* bytes = OPENSSL_hexstr2buf(raw.c_str(), &size);
    check(bytes != nullptr, "cn_latin1_hex");
    const int ok =
        X509_NAME_add_entry_by_NID(subject, NID_commonName, V_ASN1_T61STRING, bytes, static_cast<int>(size), -1, 0);
    OPENSSL_free(bytes);
    check(ok == 1, "subject");
    return;
  }
  std::string name = cmd.get("cn", cmd.get("name"));
  if (name.size() > 64) {
    name.resize(64);
  }
  check(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.data()), static_cast<int>(name.size()),
                                   -1, 0) == 1,
        "subject");
}

void set_serial(X509* cert, const std::string& wanted) {
  BIGNUM* parsed = nullptr;
  if (wanted.empty()) {
    unsigned char bytes[16];
    check(RAND_bytes(bytes, sizeof bytes) == 1, "random serial");
    bytes[0] = static_cast<unsigned char>((bytes[0] & 0x3f) | 0x40);  // positive, always 16 octets
    parsed = BN_bin2bn(bytes, sizeof bytes, nullptr);
  } else {
    check(BN_hex2bn(&parsed, wanted.c_str()) > 0, "serial");
  }
  BnPtr number(parsed);
  check(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert)) != nullptr, "serial");
}

void set_issuer_name(X509* cert, X509* issuer, bool printable) {
  X509_NAME* own = X509_get_subject_name(issuer);
  NamePtr name(X509_NAME_new());
  for (int i = 0; printable && i < X509_NAME_entry_count(own); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(own, i);
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
    check(X509_NAME_add_entry_by_OBJ(name.get(), X509_NAME_ENTRY_get_object(entry), V_ASN1_PRINTABLESTRING,
                                     ASN1_STRING_get0_data(value), ASN1_STRING_length(value), -1, 0) == 1,
          "issuer");
  }
  check(X509_set_issuer_name(cert, printable ? name.get() : own) == 1, "issuer");
}

void set_extensions(X509* cert, X509* issuer, const Command& cmd) {
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, issuer, cert, nullptr, nullptr, 0);
  const bool ca = cmd.flag("ca");
  if (ca) {
    const std::string pathlen = cmd.get("pathlen");
    add_extension(cert, &ctx, NID_basic_constraints,
                  "critical,CA:TRUE" + (pathlen.empty() ? "" : ",pathlen:" + pathlen));
    add_extension(cert, &ctx, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
  } else {
    add_extension(cert, &ctx, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert, &ctx, NID_key_usage, "critical,digitalSignature");
  }
  add_extension(cert, &ctx, NID_subject_key_identifier, "hash");
  if (!cmd.flag("no_aki")) {
    add_extension(cert, &ctx, NID_authority_key_identifier, cmd.flag("aki_serial") ? "keyid,issuer:always" : "keyid");
  }
  if (cmd.flag("ocsp_signing")) {
    add_extension(cert, &ctx, NID_ext_key_usage, "OCSPSigning");
  } else if (!ca) {
    add_extension(cert, &ctx, NID_ext_key_usage, "serverAuth,clientAuth");
  }
  if (cmd.flag("nocheck")) {
    add_extension(cert, &ctx, NID_id_pkix_OCSP_noCheck, "ignored");
  }
  std::string names;
  for (const std::string& name : split(cmd.get("names"), ',')) {
    names += (names.empty() ? "" : ",") + std::string(is_address(name) ? "IP:" : "DNS:") + name;
  }
  if (!names.empty()) {
    add_extension(cert, &ctx, NID_subject_alt_name, names);
  }
  std::string access;
  for (const std::string& url : cmd.all("aia")) {
    access += (access.empty() ? "" : ",") + std::string("OCSP;URI:") + url;
  }
  for (const std::string& url : cmd.all("ca_issuers")) {
    access += (access.empty() ? "" : ",") + std::string("caIssuers;URI:") + url;
  }
  if (!access.empty()) {
    add_extension(cert, &ctx, NID_info_access, access);
  }
  if (cmd.flag("must_staple")) {
    add_extension(cert, &ctx, NID_tlsfeature, "status_request");
  }
}

TimePtr make_time(const std::string& raw, const std::string& seconds_from_now) {
  if (raw.empty()) {
    return TimePtr(X509_gmtime_adj(nullptr, std::stol(seconds_from_now)));
  }
  TimePtr time(ASN1_STRING_type_new(V_ASN1_UTCTIME));
  check(time && ASN1_STRING_set(time.get(), raw.data(), static_cast<int>(raw.size())) == 1, "time");
  return time;
}

void make(const Command& cmd, Keyring& ring) {
  const std::string dir = cmd.get("dir");
  const std::string name = cmd.get("name");
  check(!dir.empty() && !name.empty(), "dir and name are needed");
  const std::string base = dir + "/" + name;
  const Identity* issuer = cmd.get("issuer").empty() ? nullptr : &ring.find(dir, cmd.get("issuer"));

  Identity id;
  if (cmd.get("key_of").empty()) {
    id.key = make_key(cmd.get("key", "ec"));
  } else {
    EVP_PKEY* shared = ring.find(dir, cmd.get("key_of")).key.get();
    EVP_PKEY_up_ref(shared);
    id.key.reset(shared);
  }
  id.cert.reset(X509_new());
  X509* cert = id.cert.get();
  check(cert != nullptr, "certificate");
  X509_set_version(cert, X509_VERSION_3);
  set_serial(cert, cmd.get("serial"));
  const bool ca = cmd.flag("ca");
  const TimePtr from = make_time(cmd.get("raw_not_before"), cmd.get("not_before", "-3600"));
  const TimePtr until = make_time(cmd.get("raw_not_after"), cmd.get("not_after", ca ? "315360000" : "7776000"));
  check(X509_set1_notBefore(cert, from.get()) == 1 && X509_set1_notAfter(cert, until.get()) == 1, "validity");
  X509_set_pubkey(cert, id.key.get());
  set_subject(cert, cmd, ring, dir);
  X509* parent = issuer == nullptr ? cert : issuer->cert.get();
  set_issuer_name(cert, parent, cmd.flag("issuer_printable"));
  set_extensions(cert, parent, cmd);

  EVP_PKEY* signer = issuer == nullptr ? id.key.get() : issuer->key.get();
  const EVP_MD* digest = EVP_PKEY_is_a(signer, "ED25519") == 1 ? nullptr : EVP_sha256();
  check(X509_sign(cert, signer, digest) > 0, "sign");

  const std::string pem = to_pem(cert);
  if (cmd.get("chain", "1") == "0" || issuer == nullptr) {
    id.chain = pem;
  } else {
    const bool below_root = X509_NAME_cmp(X509_get_subject_name(parent), X509_get_issuer_name(parent)) == 0;
    id.chain = below_root ? pem : pem + issuer->chain;
  }
  write_file(base + ".crt", pem);
  write_file(base + ".pem", id.chain);
  BioPtr key(BIO_new_file((base + ".key").c_str(), "w"));
  check(key && PEM_write_bio_PrivateKey(key.get(), id.key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
        "write key");

  unsigned char digest_bytes[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  check(X509_digest(cert, EVP_sha256(), digest_bytes, &digest_size) == 1, "digest");
  BnPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), nullptr));
  std::string serial(static_cast<size_t>(BN_num_bytes(number.get())), '\0');
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(serial.data()));
  std::cout << name << ' ' << hex(reinterpret_cast<const unsigned char*>(serial.data()), serial.size()) << ' '
            << hex(digest_bytes, digest_size) << '\n';
  ring.remember(base, std::move(id));
}

}  // namespace

int main() {
  Keyring ring;
  size_t line_number = 0;
  try {
    for (std::string line; std::getline(std::cin, line);) {
      ++line_number;
      Command cmd;
      for (const std::string& field : split(line, '\t')) {
        const size_t equals = field.find('=');
        check(equals != std::string::npos, ("not key=value: " + field).c_str());
        cmd.fields.emplace(field.substr(0, equals), field.substr(equals + 1));
      }
      if (!cmd.fields.empty()) {
        make(cmd, ring);
      }
    }
  } catch (const std::exception& e) {
    std::cerr << "test_pki: line " << line_number << ": " << e.what() << '\n';
    return 1;
  }
  return 0;
}
