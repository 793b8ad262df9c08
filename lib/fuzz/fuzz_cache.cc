// A file of the cache folder (and of ocsp_plus_file), from the disk through the gate into a zone.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "crypto/response_file.h"
#include "engine/admit.h"
#include "engine/archive.h"
#include "fuzz/fuzz.h"
#include "tests/fakes/engine_house.h"

using namespace ocsp_plus;  // NOLINT: nothing but the target

namespace {

struct House : testing::EngineHouse {
  House() : EngineHouse(std::size_t{1} << 20) {
    folder = (std::filesystem::temp_directory_path() / "ocsp_plus_fuzz_XXXXXX").string();
    fuzz::promise(mkdtemp(folder.data()) != nullptr, "a folder to work in");
    settings.cache = folder;
    settings.max_response = 8192;
    add(0, {});
    register_all();
    file = folder + "/" + store::DiskStore::file_name(catalog.target(0).certificate.id);
  }
  ~House() { std::filesystem::remove_all(folder); }

  std::string folder;
  std::string file;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static House house;
  const engine::Target& target = house.catalog.target(0);
  const int fd = ::open(house.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  fuzz::promise(fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size), "the file is written");
  ::close(fd);

  store::ZoneWriter writer(house.zone, house.lock, house.loop.clock, 0, 0);
  engine::Report report(house.log, house.loop.clock);
  engine::Archive archive(house.loop, house.loop.clock, report, house.zone, house.catalog, house.settings);
  engine::Gate gate(house.zone, writer, house.settings.policy, &archive);
  const auto kept = archive.load(target);
  fuzz::promise(kept.has_value() == (size > 0 && size <= house.settings.max_response), "what is bounded is read");
  const auto response = crypto::response_from_file(ByteView(data, size).text());
  for (const Bytes* bytes : {kept ? &kept->bytes : nullptr, response ? &*response : nullptr}) {
    if (bytes == nullptr) {
      continue;
    }
    const engine::Admission admission = gate.admit(target, *bytes, store::Source::kCache, {testing::kNow});
    const auto held = house.zone.read(target.entry, target.certificate.id);
    fuzz::promise(held.has_value() == (admission.action == engine::Action::kPublish), "the gate alone publishes");
    fuzz::promise(!held || (*held == crypto::cut_trailing(*bytes) && admission.verdict.authentic()),
                  "what was verified, octet for octet");
    if (held) {
      fuzz::promise(writer.drop(target.entry).has_value(), "and it can be dropped");
      house.loop.clock.advance(store::kGrace + 1);
    }
  }
  house.log.lines.clear();
  return 0;
}
