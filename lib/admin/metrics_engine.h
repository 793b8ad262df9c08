// The metrics of the engine, of responders and of the runway.
#pragma once

#include <string>
#include <vector>

#include "admin/metrics_text.h"
#include "admin/runway.h"
#include "admin/snapshot.h"

namespace ocsp_plus::admin {

// Appends the metrics of the engine and of responders to `out`, in whole lines.
void write_engine_metrics(const View& view, const MetricsText& text, std::string* out);
// Appends the seconds from `now` to the end of each part's runway, where it has one, and the certificates that depend
// on the part, in whole lines. `all`: as RunwayWalk::result().
void write_runway_metrics(const std::vector<Runway>& all, UnixSeconds now, const MetricsText& text, std::string* out);

}  // namespace ocsp_plus::admin
