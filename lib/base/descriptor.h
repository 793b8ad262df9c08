// A file descriptor with an owner, all of a write, and the text of an errno: for the few rooms that open files
// themselves.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "base/bytes.h"

namespace ocsp_plus {

// Owns a descriptor; negative: none. Closes it when it goes.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  // false: some file systems tell only now that there was no room; errno is set.
  bool close() { return ::close(release()) == 0; }
  // The caller owns it from now on.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Calls again what a signal has interrupted: nginx installs its handlers without SA_RESTART.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

// false: errno says why.
inline bool write_all(int fd, ByteView content) {
  for (std::size_t written = 0; written < content.size();) {
    const ssize_t size =
        uninterrupted([&] { return ::write(fd, content.data() + written, content.size() - written); });
    if (size <= 0) {
      errno = size == 0 ? EIO : errno;
      return false;
    }
    written += static_cast<std::size_t>(size);
  }
  return true;
}

inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace ocsp_plus
