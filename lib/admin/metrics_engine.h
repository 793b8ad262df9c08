// The metrics of the engine, of responders and of the runway.
#pragma once

#include <string>
#include <vector>

#include "admin/metrics_text.h"
#include "admin/runway.h"
#include "admin/snapshot.h"

namespace ocsp_plus::admin {

void write_engine_metrics(const View& view, const MetricsText& text, std::string* out);
void write_runway_metrics(const std::vector<Runway>& all, UnixSeconds now, const MetricsText& text, std::string* out);

}  // namespace ocsp_plus::admin
