#include "sim/folder.h"

#include <utility>

#include "sim/machine.h"
#include "store/disk_store.h"

namespace ocsp_plus::sim {
namespace {

Folder* folder = nullptr;

constexpr Millis kWriteBack = 30000;  // what the kernel may keep in memory only

}  // namespace

Folder::Folder(const Script& script) : script_(script) {
  folder = this;
}

Folder::~Folder() {
  folder = nullptr;
}

Folder& Folder::here() {
  return *folder;
}

DiskFault Folder::fault() const {
  return script_.disk_fault(Machine::here().monotonic());
}

void Folder::cut_power(Dice& dice) {
  for (auto& [id, file] : files_) {
    if (Machine::here().monotonic() - file.written < kWriteBack) {
      file.bytes.resize(static_cast<std::size_t>(dice.between(0, static_cast<std::int64_t>(file.bytes.size()))));
    }
  }
}

}  // namespace ocsp_plus::sim

// --- the seam ---

namespace ocsp_plus::store {

using sim::DiskFault;
using sim::Machine;
using sim::Shield;

namespace {

// A system call: the process may be killed before it and after it, not in its midst.
void system_call() {
  if (Machine::here().current() != nullptr) {
    Machine::here().current()->point();
  }
}

}  // namespace

DiskStore::DiskStore(std::string path, Folder folder, std::size_t max_file_size)
    : path_(std::move(path)), folder_(std::move(folder)), max_file_size_(max_file_size) {}

Result<DiskStore> DiskStore::open(const std::string& path, std::size_t max_file_size) {
  system_call();
  if (sim::Folder::here().fault() == DiskFault::kGone) {
    return fail(Reason::kUnreadable, "the folder is gone");
  }
  return DiskStore(path, nullptr, max_file_size);
}

Result<Bytes> DiskStore::load(const CertificateId& id, FileKind /*kind*/) const {
  system_call();
  const Shield shield;
  sim::Folder& disk = sim::Folder::here();
  const auto found = disk.files().find(id);
  if (disk.fault() == DiskFault::kGone || found == disk.files().end()) {
    return Bytes();
  }
  if (found->second.bytes.empty() || found->second.bytes.size() > max_file_size_) {
    return fail(Reason::kUnreadable, "the file is empty or too large");
  }
  return found->second.bytes;
}

Result<void> DiskStore::save(const CertificateId& id, ByteView response, FileKind /*kind*/) {
  system_call();
  {
    const Shield shield;
    sim::Folder& disk = sim::Folder::here();
    if (disk.fault() != DiskFault::kNone) {
      return fail(Reason::kUnreadable, sim::name_of(disk.fault()));
    }
    disk.files()[id] = {response.copy(), Machine::here().monotonic(), Machine::here().wall()};
  }
  system_call();
  return {};
}

void DiskStore::remove(const CertificateId& id) const {
  system_call();
  const Shield shield;
  if (sim::Folder::here().fault() == DiskFault::kNone) {
    sim::Folder::here().files().erase(id);
  }
}

std::size_t DiskStore::remove_older_than(Seconds age, UnixSeconds now, std::size_t budget) {
  const Shield shield;
  sim::Folder& disk = sim::Folder::here();
  std::size_t removed = 0;
  if (disk.fault() != DiskFault::kNone) {
    return 0;
  }
  for (auto it = disk.files().begin(); it != disk.files().end() && removed < budget;) {
    if (now - it->second.modified > age) {
      it = disk.files().erase(it);
      ++removed;
    } else {
      ++it;
    }
  }
  return removed;
}

void DiskStore::touch(const CertificateId& id, FileKind /*kind*/) const {
  const Shield shield;
  const auto found = sim::Folder::here().files().find(id);
  if (found != sim::Folder::here().files().end() && sim::Folder::here().fault() == DiskFault::kNone) {
    found->second.modified = Machine::here().wall();
  }
}

}  // namespace ocsp_plus::store
