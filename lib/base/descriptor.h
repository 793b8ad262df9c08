// A file descriptor with an owner, and the text of an errno: for the few rooms that open files themselves.
#pragma once

#include <unistd.h>

#include <string>
#include <system_error>
#include <utility>

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

inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace ocsp_plus
