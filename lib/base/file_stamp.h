// A version of a file, by which it is told from others.
#pragma once

#include <sys/stat.h>

#include <ctime>
#include <tuple>

namespace ocsp_plus {

// Device, inode, size, and when the contents and the inode were last changed. What no file has: FileStamp().
using FileStamp = std::tuple<dev_t, ino_t, off_t, std::time_t, long, std::time_t, long>;

inline FileStamp stamp_of(const struct stat& file) {
  return {file.st_dev,          file.st_ino,         file.st_size,        file.st_mtim.tv_sec,
          file.st_mtim.tv_nsec, file.st_ctim.tv_sec, file.st_ctim.tv_nsec};
}

}  // namespace ocsp_plus
