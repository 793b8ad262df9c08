// test_responder: an OCSP responder with named faults that can be switched while it runs.
//
//   test_responder --parent PID --control PORT --listen PORT ... [--address ADDR ...]
//
// Listens on each ADDR (default 127.0.0.1 and, where there is one, ::1) at every PORT, prints "ready" and answers
// until its parent ends. One thread, epoll; a few thousand signed answers a second, more with "cache".
//
// The control port speaks HTTP. POST /control takes commands of key=value lines (or & separated), an empty line
// between two commands; all that is unknown is refused with 400.
//
//   add_issuer=NAME cert=FILE key=FILE    answer for certificates of this CA
//   add_signer=NAME cert=FILE key=FILE    a delegated signer
//   add_file=NAME path=FILE type=T        serve FILE at /files/NAME on every port
//   clear_stats=1  drop_connections=1  reset_all=1
//
// or settings, for port= and/or serial= (hex) if given, else everywhere; the narrowest scope wins; the value
// "default" takes a setting back, reset=1 all of the scope:
//
// - status: good, revoked (revoked_at=EPOCH, reason=key_compromise|superseded|cessation|hold|unspecified), unknown
// - default: the status where none is set (good)
// - this_update: seconds from now (0); next_update: seconds from now or "none" (604800)
// - clock: what this responder takes for now, seconds ahead; date_offset: only in its Date header
// - cache: give the same response again for so many seconds, or until a setting changes
// - signer: direct, delegated (a signer that the issuer certified) or a signer's name; rid: name or key
// - hash: of the CertID in the answer: request (as asked), sha1, sha256, both
// - accept_hash: sha1 or sha256: any other request is answered unauthorized
// - delay: milliseconds before an answer
// - max_age, cache_control, expires (seconds from now), header (a whole line): HTTP headers
// - code: the HTTP status, whatever the body
// - fault: with arg= and times=N (only the next N requests); none ends it
//
// Faults (their arg and its default):
// - of the connection: refuse (connects are refused), reset_on_connect, hang_after_connect, close, reset
// - of the answer's pace: hang_after_request, hang_in_body, slow_drip (bytes a second, 10)
// - of the body: truncate (bytes kept, half), too_large (bytes, 1048576), chunked (chunk size, 100),
//   chunked_truncated, until_close, garbage (bytes), empty_body, html_200
// - of HTTP: http10, bare_lf (line feeds alone end the head's lines), bare_status ("HTTP/1.1 200"), continue_100,
// not_http, huge_header (bytes), wrong_content_type (the type, or "none"), http_404
//   and any other code (Retry-After: seconds, or @seconds for a date), redirect ("[code ]URL", "URL*" appends the
//   path, loop, hops:N, relative)
// - of OCSP: try_later, internal_error, unauthorized, malformed_request, sig_required, broken_signature,
//   foreign_signer, no_certs, other_serial, other_issuer, expired (seconds ago, 3600), future (seconds ahead, 86400),
//   not_basic, two_responses_disagree (second status, revoked), no_responses, other_too, other_hash_first (another
//   certificate's under SHA-256), trailing
//   (octets after the response), trailing_inside (after the BasicOCSPResponse in it)
// - of time: old_same (the last response, again and again), older (seconds, 3600)
//
// GET /control/stats: one line for all, for each port and each serial. GET /control/requests[?since=N]: one line for
// each request.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "responder_server.h"

namespace responder {
namespace {

int main_with(int argc, char** argv) {
  std::vector<std::string> addresses;
  std::vector<int> ports;
  int control = 0, parent = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    const int value = std::atoi(argv[i + 1]);
    if (option == "--address") {
      addresses.emplace_back(argv[i + 1]);
    } else if (option == "--listen") {
      ports.push_back(value);
    } else if (option == "--control") {
      control = value;
    } else if (option == "--parent") {
      parent = value;
    } else {
      std::fprintf(stderr, "test_responder: unknown option %s\n", argv[i]);
      return 2;
    }
  }
  if (control == 0) {
    std::fprintf(stderr,
                 "usage: test_responder --control PORT --listen PORT ... [--address ADDR ...] [--parent PID]\n");
    return 2;
  }
  if (parent != 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
      return 0;
    }
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);

  Server server;
  const bool by_default = addresses.empty();
  if (by_default) {
    addresses = {"127.0.0.1", "::1"};
  }
  bool ok = server.listen_on("127.0.0.1", control, true);
  for (const std::string& address : addresses) {
    for (int port : ports) {
      const bool listening = server.listen_on(address, port, false);
      ok = ok && (listening || (by_default && address == "::1" && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)));
    }
  }
  if (!ok) {
    std::perror("test_responder: listen");
    return 1;
  }
  std::puts("ready");
  std::fflush(stdout);
  server.run();
}

}  // namespace
}  // namespace responder

int main(int argc, char** argv) {
  return responder::main_with(argc, argv);
}
