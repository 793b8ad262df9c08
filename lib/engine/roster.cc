#include "engine/roster.h"

#include <utility>

namespace ocsp_plus::engine {

Roster::Roster(Catalog& catalog) {
  for (const auto& target : catalog.targets()) {
    if (target->entry == store::kNoEntry) {
      continue;
    }
    if (records_.size() <= target->entry) {
      records_.resize(target->entry + 1);
    }
    records_[target->entry] = std::make_unique<Record>(*target);
  }
}

Record& Roster::add(std::unique_ptr<PerConnection> certificate) {
  const store::EntryIndex entry = certificate->target.entry;
  if (records_.size() <= entry) {
    records_.resize(entry + 1);
  }
  records_[entry] = std::make_unique<Record>(certificate->target);
  records_[entry]->per_connection = std::move(certificate);
  ++per_connection_;
  return *records_[entry];
}

std::unique_ptr<PerConnection> Roster::remove(store::EntryIndex entry) {
  const std::unique_ptr<Record> record = std::move(records_[entry]);
  --per_connection_;
  return std::move(record->per_connection);
}

}  // namespace ocsp_plus::engine
