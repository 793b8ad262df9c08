#include "base/reason.h"

namespace ocsp_plus {

std::string_view token(Reason reason) noexcept {
  switch (reason) {
#define OCSP_PLUS_REASON_TOKEN(number, name, token, meaning) \
  case Reason::name:                                         \
    return token;
    OCSP_PLUS_REASONS(OCSP_PLUS_REASON_TOKEN)
#undef OCSP_PLUS_REASON_TOKEN
  }
  return "not_checked";
}

std::string_view meaning(Reason reason) noexcept {
  switch (reason) {
#define OCSP_PLUS_REASON_MEANING(number, name, token, meaning) \
  case Reason::name:                                           \
    return meaning;
    OCSP_PLUS_REASONS(OCSP_PLUS_REASON_MEANING)
#undef OCSP_PLUS_REASON_MEANING
  }
  return "nothing has been checked yet";
}

}  // namespace ocsp_plus
