// Defined by the file that cmake/page.cmake generates from lib/admin/page/.
#pragma once

#include <string_view>

namespace ocsp_plus::admin {

extern const std::string_view kPage;
extern const std::string_view kPagePolicy;  // Content-Security-Policy, with the hashes of script and style

}  // namespace ocsp_plus::admin
