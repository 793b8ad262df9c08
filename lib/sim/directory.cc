#include "sim/directory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/machine.h"
#include "store/cache_files.h"

namespace ocsp_plus::sim {
namespace {

std::vector<Directory*> directories;  // by node

constexpr Millis kWriteBack = 30000;  // how long the kernel may keep data in memory only

}  // namespace

Directory::Directory(const Script& script, std::size_t node) : script_(script), node_(node) {
  directories.resize(std::max(directories.size(), node + 1));
  directories[node] = this;
}

Directory::~Directory() {
  directories[node_] = nullptr;
}

Directory& Directory::here() {
  return *directories[Machine::here().node()];
}

DiskFault Directory::fault() const {
  return script_.disk_fault(Machine::here().monotonic());
}

void Directory::cut_power(Prng& prng) {
  for (auto& [id, file] : files_) {
    if (Machine::here().monotonic() - file.written < kWriteBack) {
      file.bytes.resize(static_cast<std::size_t>(prng.between(0, static_cast<std::int64_t>(file.bytes.size()))));
    }
  }
}

}  // namespace ocsp_plus::sim

// --- the replaced functions ---

namespace ocsp_plus::store {

using sim::DiskFault;
using sim::Machine;
using sim::Shield;

namespace {

// Marks a system call: the process may be killed before or after it, but not within.
void system_call() {
  if (Machine::here().current() != nullptr) {
    Machine::here().current()->point();
  }
}

Reason reason_of(DiskFault fault) {
  return fault == DiskFault::kFull       ? Reason::kDiskFull
         : fault == DiskFault::kReadOnly ? Reason::kUnwritable
                                         : Reason::kUnreadable;
}

}  // namespace

CacheFiles::CacheFiles(std::string path, OpenDirectory directory, std::size_t max_file_size)
    : path_(std::move(path)), directory_(std::move(directory)), max_file_size_(max_file_size) {}

Result<CacheFiles> CacheFiles::open(const std::string& path, std::size_t max_file_size) {
  system_call();
  if (sim::Directory::here().fault() == DiskFault::kGone) {
    return fail(Reason::kUnreadable, "the directory is gone");
  }
  return CacheFiles(path, nullptr, max_file_size);
}

Result<Kept> CacheFiles::load(const CertificateId& id, FileKind /*kind*/) const {
  system_call();
  const Shield shield;
  sim::Directory& disk = sim::Directory::here();
  const auto found = disk.files().find(id);
  if (disk.fault() == DiskFault::kGone || found == disk.files().end()) {
    return Kept();
  }
  if (found->second.bytes.empty() || found->second.bytes.size() > max_file_size_) {
    return fail(Reason::kUnreadable, "the file is empty or too large");
  }
  return Kept{found->second.bytes, found->second.modified};
}

Result<void> CacheFiles::save(const CertificateId& id, const Kept& kept, FileKind /*kind*/) {
  system_call();
  {
    const Shield shield;
    sim::Directory& disk = sim::Directory::here();
    if (disk.fault() != DiskFault::kNone) {
      return fail(reason_of(disk.fault()), sim::name_of(disk.fault()));
    }
    disk.files()[id] = {kept.bytes, Machine::here().monotonic(), kept.confirmed_at, disk.user()};
  }
  system_call();
  return {};
}

bool CacheFiles::confirm(const CertificateId& id, UnixSeconds time, FileKind /*kind*/) const {
  system_call();
  const Shield shield;
  sim::Directory& disk = sim::Directory::here();
  const auto found = disk.files().find(id);
  const bool possible = disk.fault() == DiskFault::kNone || disk.fault() == DiskFault::kFull;
  if (!possible || found == disk.files().end() || found->second.owner != disk.user()) {
    return false;
  }
  found->second.modified = time;
  return true;
}

// A full disk permits removing and reading.
bool CacheFiles::remove(const CertificateId& id, FileKind /*kind*/) const {
  system_call();
  const Shield shield;
  sim::Directory& disk = sim::Directory::here();
  if (disk.fault() != DiskFault::kNone && disk.fault() != DiskFault::kFull) {
    return disk.fault() == DiskFault::kReadOnly && disk.files().count(id) == 0;
  }
  disk.files().erase(id);
  return true;
}

Result<void> CacheFiles::check() const {
  const DiskFault fault = sim::Directory::here().fault();
  return fault == DiskFault::kNone ? Result<void>() : fail(reason_of(fault), sim::name_of(fault));
}

bool CacheFiles::list(std::size_t /*looks*/, std::vector<Listed>* found) {
  const Shield shield;
  sim::Directory& disk = sim::Directory::here();
  if (disk.fault() != DiskFault::kGone) {
    for (const auto& [id, file] : disk.files()) {
      found->push_back({file_name(id), id, FileKind::kResponse, false, file.modified});
    }
  }
  return false;
}

void CacheFiles::remove(const Listed& file) const {
  (void)remove(file.id, file.kind);
}

// Copies the real implementation, whose object file is not linked into the simulator.
std::string CacheFiles::file_name(const CertificateId& id, FileKind /*kind*/) {
  return to_hex(id) + ".der";
}

}  // namespace ocsp_plus::store
