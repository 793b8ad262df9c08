// Fuzzes a file of the cache directory (or of ocsp_plus_file), from the disk through the gate into a zone.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "crypto/response_file.h"
#include "engine/admit.h"
#include "engine/disk_cache.h"
#include "fuzz/fuzz.h"
#include "tests/fakes/engine_fixture.h"

using namespace ocsp_plus;  // NOLINT: only the target

namespace {

struct Fixture : testing::EngineFixture {
  Fixture() : EngineFixture(std::size_t{1} << 20) {
    directory = (std::filesystem::temp_directory_path() / "ocsp_plus_fuzz_XXXXXX").string();
    fuzz::promise(mkdtemp(directory.data()) != nullptr, "a directory to work in");
    settings.cache = directory;
    settings.max_response = 8192;
    add(0, {});
    register_all();
    file = directory + "/" + store::CacheFiles::file_name(catalog.targets()[0]->certificate.id);
  }
  ~Fixture() { std::filesystem::remove_all(directory); }

  std::string directory;
  std::string file;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Fixture fixture;
  const engine::Target& target = *fixture.catalog.targets()[0];
  const int fd = ::open(fixture.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  fuzz::promise(fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size), "the file is written");
  ::close(fd);

  store::ZoneWriter writer(fixture.zone, fixture.lock, fixture.loop.clock, 0, 0);
  engine::Report report(fixture.log, fixture.loop.clock);
  engine::DiskCache disk_cache(fixture.loop, fixture.loop.clock, report, fixture.zone, fixture.catalog,
                               fixture.settings);
  engine::Gate gate(fixture.zone, writer, fixture.settings.policy, &disk_cache);
  const auto kept = disk_cache.load(target);
  fuzz::promise(kept.has_value() == (size > 0 && size <= fixture.settings.max_response), "what is bounded is read");
  const auto response = crypto::response_from_file(ByteView(data, size).text());
  for (const Bytes* bytes : {kept ? &kept->bytes : nullptr, response ? &*response : nullptr}) {
    if (bytes == nullptr) {
      continue;
    }
    const engine::Admission admission = gate.admit(target, *bytes, store::Source::kCache, {testing::kNow});
    const auto held = fixture.zone.read(target.entry, target.certificate.id);
    fuzz::promise(held.has_value() == (admission.action == engine::Action::kPublish), "the gate alone publishes");
    fuzz::promise(!held || (*held == crypto::cut_trailing(*bytes) && admission.verdict.authentic()),
                  "what was verified, octet for octet");
    if (held) {
      fuzz::promise(writer.drop(target.entry).has_value(), "and it can be dropped");
      fixture.loop.clock.advance(store::kGrace + 1);
    }
  }
  fixture.log.lines.clear();
  return 0;
}
