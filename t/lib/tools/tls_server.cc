// test_tls_server: a TLS 1.3 server that sends any staple with any certificate, whatever the OpenSSL here would send.
//
//   test_tls_server PORT CHAIN.pem KEY.pem [garbled] [STAPLE ...]
//
// It listens on 127.0.0.1. The n-th STAPLE goes with the n-th certificate of CHAIN.pem:
//
//   -          no extension status_request
//   FILE       the file as OCSPResponse in a CertificateStatus, also an empty one
//   raw:FILE   the file as the extension's data
//
// With "garbled" its Finished message is wrong, as from somebody in between.
//
// A client that does not offer TLS 1.3 gets the alert protocol_version. What it has of TLS 1.3 (RFC 8446) is one
// handshake with X25519, AES-128-GCM and a key on P-256; it does not verify the client's Finished.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "free.h"

namespace {

using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Free<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Free<EVP_CIPHER_CTX_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using std::string;

// ContentType, HandshakeType, ExtensionType, and what is chosen.
constexpr int kAlert = 21, kHandshake = 22, kApplicationData = 23;
constexpr int kServerHello = 2, kEncryptedExtensions = 8, kCertificate = 11, kVerify = 15, kFinished = 20;
constexpr int kStatusRequest = 5, kSupportedVersions = 43, kKeyShare = 51;
constexpr int kTls12 = 0x0303, kTls13 = 0x0304;
constexpr int kAes128GcmSha256 = 0x1301, kX25519 = 0x001d, kEcdsaSecp256r1Sha256 = 0x0403;
constexpr std::size_t kHash = 32, kTag = 16, kMostInRecord = 16384;

void check(bool ok, const char* what) {
  if (!ok) {
    throw std::runtime_error(what);
  }
}

const unsigned char* octets(const string& text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* octets(string* text) {
  return reinterpret_cast<unsigned char*>(text->data());
}

string number(std::size_t value, int width) {
  string text;
  while (--width >= 0) {
    text += static_cast<char>(value >> (8 * width) & 0xff);
  }
  return text;
}

string vector(const string& content, int width) {
  return number(content.size(), width) + content;
}

// Reads what number() and vector() write.
struct Reader {
  string left;
  string take(std::size_t size) {
    check(size <= left.size(), "the message is cut off");
    const string taken = left.substr(0, size);
    left.erase(0, size);
    return taken;
  }
  std::size_t number(std::size_t width) {
    std::size_t value = 0;
    for (const char octet : take(width)) {
      value = value << 8 | static_cast<unsigned char>(octet);
    }
    return value;
  }
  string vector(std::size_t width) { return take(number(width)); }
};

string sha256(const string& text) {
  string digest(kHash, '\0');
  check(EVP_Digest(text.data(), text.size(), octets(&digest), nullptr, EVP_sha256(), nullptr) == 1, "digest");
  return digest;
}

// HKDF-Extract and HKDF-Expand (RFC 5869) of at most one block, and what section 7.1 makes of them.
string hmac(const string& key, const string& text) {
  string digest(kHash, '\0');
  check(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), octets(text), text.size(), octets(&digest),
             nullptr) != nullptr,
        "hmac");
  return digest;
}
string expand_label(const string& secret, const string& label, const string& context, std::size_t size) {
  return hmac(secret, number(size, 2) + vector("tls13 " + label, 1) + vector(context, 1) + '\1').substr(0, size);
}

string read_file(const string& path) {
  std::ifstream file(path, std::ios::binary);
  check(file.is_open(), path.c_str());
  return {std::istreambuf_iterator<char>(file), {}};
}

// What the server shows: the list of a Certificate message, and a key to prove it with.
struct Identity {
  string entries;
  KeyPtr key;
  bool is_garbled = false;
};

string extensions(const string& staple) {
  if (staple == "-") {
    return "";
  }
  const string data =
      staple.rfind("raw:", 0) == 0 ? read_file(staple.substr(4)) : number(1, 1) + vector(read_file(staple), 3);
  return number(kStatusRequest, 2) + vector(data, 2);
}

Identity load(const string& chain, const string& key, std::vector<string> staples) {
  Identity identity;
  if (!staples.empty() && staples.front() == "garbled") {
    identity.is_garbled = true;
    staples.erase(staples.begin());
  }
  const BioPtr bio(BIO_new_file(chain.c_str(), "r"));
  check(bio != nullptr, chain.c_str());
  std::size_t position = 0;
  while (const X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    string der(static_cast<std::size_t>(i2d_X509(certificate.get(), nullptr)), '\0');
    unsigned char* end = octets(&der);
    i2d_X509(certificate.get(), &end);
    const string staple = position < staples.size() ? staples[position] : "-";
    identity.entries += vector(der, 3) + vector(extensions(staple), 2);
    ++position;
  }
  ERR_clear_error();
  check(position >= staples.size(), "there are more staples than certificates");
  const BioPtr key_bio(BIO_new_file(key.c_str(), "r"));
  check(key_bio != nullptr, key.c_str());
  identity.key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  check(identity.key != nullptr, key.c_str());
  return identity;
}

struct Hello {
  string session_id;
  string share;  // of X25519
  bool has_tls13 = false;
};

Hello read_hello(const string& message) {
  Hello hello;
  Reader reader{message.substr(4)};
  reader.take(2 + 32);  // version, random
  hello.session_id = reader.vector(1);
  reader.vector(2);  // cipher suites
  reader.vector(1);  // compression
  for (Reader list{reader.vector(2)}; !list.left.empty();) {
    const std::size_t type = list.number(2);
    Reader data{list.vector(2)};
    if (type == kSupportedVersions) {
      for (Reader versions{data.vector(1)}; !versions.left.empty();) {
        hello.has_tls13 = versions.number(2) == kTls13 || hello.has_tls13;
      }
    } else if (type == kKeyShare) {
      for (Reader shares{data.vector(2)}; !shares.left.empty();) {
        const std::size_t group = shares.number(2);
        const string share = shares.vector(2);
        hello.share = group == kX25519 ? share : hello.share;
      }
    }
  }
  return hello;
}

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void serve(const Identity& identity) {
    transcript_ = receive(kHandshake);
    const Hello hello = read_hello(transcript_);
    if (!hello.has_tls13) {
      send_record(kAlert, {'\2', '\x46'});  // fatal, protocol_version
      return;
    }
    check(!hello.share.empty(), "the client has no share of X25519");
    agree(hello);
    say(kEncryptedExtensions, vector("", 2));
    say(kCertificate, vector("", 1) + vector(identity.entries, 3));
    say(kVerify, number(kEcdsaSecp256r1Sha256, 2) + vector(proof(identity.key.get()), 2));
    string finished = hmac(expand_label(secret_, "finished", "", kHash), sha256(transcript_));
    finished[0] = static_cast<char>(finished[0] ^ (identity.is_garbled ? 1 : 0));
    say(kFinished, finished);
    receive(kApplicationData);  // the client's Finished, or its alert
  }

 private:
  // ServerHello, and the keys that follow from it.
  void agree(const Hello& hello) {
    const KeyPtr own(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"));
    const KeyPtr peer(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, octets(hello.share), hello.share.size()));
    const KeyContext context(EVP_PKEY_CTX_new(own.get(), nullptr));
    string share(kHash, '\0'), shared(kHash, '\0'), random(kHash, '\0');
    std::size_t size = kHash;
    check(EVP_PKEY_get_raw_public_key(own.get(), octets(&share), &size) == 1, "share");
    check(EVP_PKEY_derive_init(context.get()) == 1 && EVP_PKEY_derive_set_peer(context.get(), peer.get()) == 1 &&
              EVP_PKEY_derive(context.get(), octets(&shared), &size) == 1,
          "derive");
    check(RAND_bytes(octets(&random), kHash) == 1, "random");
    const string answer = number(kSupportedVersions, 2) + vector(number(kTls13, 2), 2) + number(kKeyShare, 2) +
                          vector(number(kX25519, 2) + vector(share, 2), 2);
    const string message = number(kTls12, 2) + random + vector(hello.session_id, 1) + number(kAes128GcmSha256, 2) +
                           number(0, 1) + vector(answer, 2);
    transcript_ += number(kServerHello, 1) + vector(message, 3);
    send_record(kHandshake, number(kServerHello, 1) + vector(message, 3));

    const string zeros(kHash, '\0');
    const string early = hmac(zeros, zeros);
    const string handshake = hmac(expand_label(early, "derived", sha256(""), kHash), shared);
    secret_ = expand_label(handshake, "s hs traffic", sha256(transcript_), kHash);
    key_ = expand_label(secret_, "key", "", 16);
    iv_ = expand_label(secret_, "iv", "", 12);
  }

  string proof(EVP_PKEY* key) const {
    const string text = string(64, ' ') + "TLS 1.3, server CertificateVerify" + '\0' + sha256(transcript_);
    const DigestContext context(EVP_MD_CTX_new());
    std::size_t size = 0;
    check(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
              EVP_DigestSign(context.get(), nullptr, &size, octets(text), text.size()) == 1,
          "sign");
    string signature(size, '\0');
    check(EVP_DigestSign(context.get(), octets(&signature), &size, octets(text), text.size()) == 1, "sign");
    return signature.substr(0, size);
  }

  void say(int type, const string& body) {
    const string message = number(static_cast<std::size_t>(type), 1) + vector(body, 3);
    transcript_ += message;
    for (std::size_t at = 0; at < message.size(); at += kMostInRecord) {
      send_encrypted(message.substr(at, kMostInRecord) + static_cast<char>(kHandshake));
    }
  }

  void send_encrypted(const string& text) {
    string nonce = iv_;
    for (std::size_t i = 0; i < 8; ++i) {
      nonce[iv_.size() - 1 - i] = static_cast<char>(nonce[iv_.size() - 1 - i] ^ (sequence_ >> (8 * i) & 0xff));
    }
    ++sequence_;
    const string header = head(kApplicationData, text.size() + kTag);
    string sealed(text.size(), '\0'), tag(kTag, '\0');
    const CipherContext context(EVP_CIPHER_CTX_new());
    int size = 0;
    check(
        EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, octets(key_), octets(nonce)) == 1 &&
            EVP_EncryptUpdate(context.get(), nullptr, &size, octets(header), static_cast<int>(header.size())) == 1 &&
            EVP_EncryptUpdate(context.get(), octets(&sealed), &size, octets(text), static_cast<int>(text.size())) ==
                1 &&
            EVP_EncryptFinal_ex(context.get(), octets(&tag), &size) == 1 &&
            EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTag, tag.data()) == 1,
        "encrypt");
    send_all(header + sealed + tag);
  }

  static string head(int type, std::size_t size) {
    return number(static_cast<std::size_t>(type), 1) + number(kTls12, 2) + number(size, 2);
  }
  void send_record(int type, const string& text) { send_all(head(type, text.size()) + text); }
  void send_all(const string& text) {
    check(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()), "send");
  }

  // The content of the next record of this type.
  string receive(int type) {
    while (true) {
      Reader header{receive_all(5)};
      const std::size_t is = header.number(1);
      header.take(2);
      const string content = receive_all(header.number(2));
      if (is == static_cast<std::size_t>(type) || is == kAlert) {
        return content;
      }
    }
  }
  string receive_all(std::size_t size) {
    string text(size, '\0');
    for (std::size_t had = 0; had < size;) {
      const ssize_t got = ::recv(fd_, &text[had], size - had, 0);
      check(got > 0, "the client is gone");
      had += static_cast<std::size_t>(got);
    }
    return text;
  }

  const int fd_;
  string transcript_;
  string secret_, key_, iv_;
  std::uint64_t sequence_ = 0;
};

int listen_on(const char* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 && ::listen(fd, 16) == 0, port);
  return fd;
}

}  // namespace

// One client after the other; each has ten seconds for what it has to say.
int main(int argc, char** argv) {
  try {
    check(argc >= 4, "usage: test_tls_server PORT CHAIN.pem KEY.pem [garbled] [STAPLE ...]");
    std::signal(SIGPIPE, SIG_IGN);
    const Identity identity = load(argv[2], argv[3], {argv + 4, argv + argc});
    const int listener = listen_on(argv[1]);
    while (true) {
      const int fd = ::accept(listener, nullptr, nullptr);
      if (fd < 0) {
        continue;
      }
      const timeval limit = {10, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      try {
        Connection(fd).serve(identity);
      } catch (const std::exception&) {
        // The client has seen it as well.
      }
    }
  } catch (const std::exception& error) {
    std::cerr << "test_tls_server: " << error.what() << '\n';
    return 1;
  }
}
