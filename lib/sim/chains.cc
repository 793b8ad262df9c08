#include "sim/chains.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/machine.h"

namespace ocsp_plus::sim {

const char* name_of(Sent sent) {
  static constexpr const char* kNames[] = {"nothing",
                                           "the whole chain",
                                           "two CA certificates of one key and their chain",
                                           "all but the root",
                                           "a gap",
                                           "one CA certificate",
                                           "the chain in a wrong order"};
  return kNames[static_cast<std::size_t>(sent)];
}

namespace chains {
namespace {

constexpr Seconds kHour = 3600;
constexpr Seconds kDay = 24 * kHour;

LeafNumber lower(std::size_t which) {
  return Pki::kCas + which % kLowers;
}

}  // namespace

std::vector<LeafNumber> all() {
  std::vector<LeafNumber> numbers = {kRoot};
  for (std::size_t i = 0; i < kUppers; ++i) {
    numbers.push_back(kFirstUpper + i);
  }
  for (std::size_t i = 0; i < kLowers; ++i) {
    numbers.push_back(lower(i));
  }
  return numbers;
}

LeafNumber issuer_of(LeafNumber number) {
  return number >= kFirstUpper ? kRoot : kFirstUpper + (number - Pki::kCas) / 2 % kUppers;
}

// They have even numbers of both kinds, so a pair differs in its last bit.
LeafNumber neighbour_of(LeafNumber number) {
  static_assert(Pki::kCas % 2 == 0 && kFirstUpper % 2 == 0 && kLowers % 2 == 0 && kUppers % 2 == 0);
  return number ^ 1;
}

UnixSeconds end_of(LeafNumber number) {
  constexpr Seconds kLowerTerms[] = {2 * kHour, 5 * kDay, 2400, 90 * kDay, 12 * kHour, 20 * kDay};
  constexpr Seconds kUpperTerms[] = {5 * kDay, 90 * kDay};
  if (number == kRoot || number % 2 == 0) {
    return kEpoch + 1000 * kDay;
  }
  return kEpoch +
         (number >= kFirstUpper ? kUpperTerms[(number - kFirstUpper) / 2] : kLowerTerms[(number - Pki::kCas) / 2]);
}

testing::CertificateSpec spec_of(LeafNumber number) {
  testing::CertificateSpec spec;
  spec.ca = true;
  spec.subject = number == kRoot         ? "Sim Root"
                 : number >= kFirstUpper ? "Sim Upper CA " + std::to_string(number - kFirstUpper)
                                         : "Sim CA";
  spec.serial = {0x12, static_cast<std::uint8_t>(number >> 8 & 0xff), static_cast<std::uint8_t>(number & 0xff)};
  spec.not_before = kEpoch - 10 * kDay;
  spec.not_after = end_of(number);
  if (number != kRoot) {
    spec.ocsp_urls = {fmt::format("http://c{}.example/{}", static_cast<int>(Pki::tier_of(number)), number)};
  }
  return spec;
}

std::vector<LeafNumber> certificates_of(const ServerChain& chain) {
  const LeafNumber first = lower(chain.lower);
  const LeafNumber upper = issuer_of(first);
  switch (chain.sent) {
    case Sent::kNothing:
      return {};
    case Sent::kWhole:
      return {first, upper, kRoot};
    case Sent::kBothLowers:
      return {first, neighbour_of(first), upper, kRoot};
    case Sent::kWithoutRoot:
      return {first, upper};
    case Sent::kWithoutUpper:
      return {first, kRoot};
    case Sent::kLowerAlone:
      return {first};
    case Sent::kMisordered:
      return {upper, first, kRoot};
  }
  return {};
}

std::size_t stapleable(const std::vector<LeafNumber>& sent) {
  const auto end = std::find_if(sent.begin(), sent.end(), [&sent](const LeafNumber& number) {
    const auto later = sent.begin() + (&number - sent.data()) + 1;
    return number == kRoot || std::find(later, sent.end(), issuer_of(number)) == sent.end();
  });
  return static_cast<std::size_t>(end - sent.begin());
}

}  // namespace chains
}  // namespace ocsp_plus::sim
