// What the responder was told to do, and what it saw: settings by port and serial, counters, a log of requests.
#ifndef T_LIB_TOOLS_RESPONDER_STATE_H_
#define T_LIB_TOOLS_RESPONDER_STATE_H_

#include <cstdint>
#include <ctime>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace responder {

using Fields = std::map<std::string, std::string>;

// Where a setting holds. Port 0 is any port, an empty serial any serial. The narrowest scope that has a setting wins:
// port and serial, serial, port, everywhere.
struct Scope {
  int port = 0;
  std::string serial;
  bool operator<(const Scope& o) const { return port != o.port ? port < o.port : serial < o.serial; }
};

struct Fault {
  std::string name;  // "none" when there is none
  std::string arg;
};

class Settings {
 public:
  // Takes one control command. Returns an empty string or what is wrong with it.
  std::string apply(const Fields& command);

  std::string get(const Scope& scope, const std::string& key, const std::string& otherwise) const;
  long number(const Scope& scope, const std::string& key, long otherwise) const;

  // The fault for a request, counted against its "times".
  Fault take_fault(const Scope& scope);
  // The same without counting.
  Fault peek_fault(const Scope& scope) const;

 private:
  const Fields* holder(const Scope& scope, const std::string& key) const;

  std::map<Scope, Fields> scopes_;
};

struct Seen {
  double time = 0;
  std::string method;
  int port = 0;
  std::string serial;  // "-" when the request could not be read
  std::string hash;    // of its CertID
  bool nonce = false;
  bool no_cache = false;     // Cache-Control: no-cache
  bool conditional = false;  // If-None-Match or If-Modified-Since
  std::string fault;
  size_t url_size = 0;  // scheme, host, port and path, as the client would write it
  std::string target;
  std::string host;
};

class Stats {
 public:
  void request(const Seen& seen);
  void opened(int port);
  void closed(int port);
  void working(int port, bool begins);
  void clear();

  std::string totals() const;
  std::string requests(size_t since) const;

 private:
  struct Counts {
    uint64_t total = 0, get = 0, post = 0, connections = 0, open = 0, peak = 0, working = 0, working_peak = 0;
  };
  static constexpr size_t kLogLimit = 300000;

  Counts all_;
  std::map<int, Counts> ports_;
  std::map<std::string, uint64_t> serials_;
  std::vector<Seen> log_;
};

// Hex as the rest of the tools writes it: lower case, whole octets, no leading zero octets.
std::string normal_serial(const std::string& hex);
double wall_clock();

}  // namespace responder

#endif  // T_LIB_TOOLS_RESPONDER_STATE_H_
