// Small helpers for code that opens files itself: an owning descriptor, complete reads and writes, the text of an
// errno.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "base/bytes.h"

namespace ocsp_plus {

// Owns a file descriptor (negative: none) and closes it on destruction.
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
  // Returns false with errno set on failure: some file systems report a full disk only here.
  bool close() { return ::close(release()) == 0; }
  // Passes ownership to the caller.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Repeats a system call that a signal interrupted: nginx installs its handlers without SA_RESTART.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

// Writes all of `content`. Returns false with errno set on failure.
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

// Reads until the end or until `bytes` is full, and makes it as long as what was read. False with errno set on
// failure.
inline bool read_up_to(int fd, Bytes* bytes) {
  std::size_t size = 0;
  while (size < bytes->size()) {
    const ssize_t more = uninterrupted([&] { return ::read(fd, bytes->data() + size, bytes->size() - size); });
    if (more < 0) {
      return false;
    }
    if (more == 0) {
      break;
    }
    size += static_cast<std::size_t>(more);
  }
  bytes->resize(size);
  return true;
}

inline std::string errno_text(int error) {
  return std::generic_category().message(error);
}

}  // namespace ocsp_plus
