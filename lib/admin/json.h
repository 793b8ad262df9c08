// JSON values of the snapshot, as the status document shows them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "admin/snapshot.h"

namespace ocsp_plus::admin {

// In one line. Strings may hold any bytes: what is not UTF-8 becomes U+FFFD, what is unsafe to show \uNNNN.
std::string dump(const nlohmann::ordered_json& value);

nlohmann::ordered_json to_json(const CertificateStatus& status, UnixSeconds now);
nlohmann::ordered_json to_json(const ResponderStatus& status);

}  // namespace ocsp_plus::admin
