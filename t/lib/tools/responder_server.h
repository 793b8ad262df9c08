// The sockets of the responder: listening, connections and their scripts, timers, the control channel.
#ifndef T_LIB_TOOLS_RESPONDER_SERVER_H_
#define T_LIB_TOOLS_RESPONDER_SERVER_H_

#include <map>
#include <memory>
#include <string>

#include "responder_http.h"
#include "responder_ocsp.h"
#include "responder_state.h"

namespace responder {

struct Listener {
  int fd = -1;
  int port = 0;
  bool control = false;
  bool open = false;
};

struct Connection {
  int fd = -1;
  int port = 0;
  bool control = false;
  bool deaf = false;     // hangs: what comes is thrown away
  bool working = false;  // counted as in work: accepted, or asked again, and not answered yet
  bool want_write = false;
  std::string in, out;
  Script script;
};

class Server {
 public:
  Server();

  // False: errno tells why.
  bool listen_on(const std::string& address, int port, bool control);
  [[noreturn]] void run();

 private:
  using Timer = std::multimap<long, int>::iterator;

  void accept_all(Listener& listener);
  void readable(Connection& c);
  void next_request(Connection& c);
  void control(Connection& c, const HttpRequest& request);
  std::string command(const Fields& fields);
  Script files(const HttpRequest& request);
  void ocsp(Connection& c, const HttpRequest& request);
  bool advance(Connection& c);  // false: the connection is gone
  bool flush(Connection& c);
  void close(Connection& c, bool reset);
  void close_the_gone();
  void set_working(Connection& c, bool working);
  void watch(Connection& c, bool want_write);
  void apply_refusals();

  Settings settings_;
  Stats stats_;
  Answerer answerer_;
  struct File {
    std::string path, type;
  };
  std::map<std::string, File> files_;
  int epoll_;
  std::map<int, Listener> listeners_;
  std::map<int, std::unique_ptr<Connection>> connections_;
  std::multimap<long, int> timers_;  // due, connection
  std::map<int, Timer> timer_of_;
};

}  // namespace responder

#endif  // T_LIB_TOOLS_RESPONDER_SERVER_H_
