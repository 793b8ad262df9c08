#include "admin/document.h"

#include <utility>

namespace ocsp_plus::admin {
namespace {

class Text : public Document {
 public:
  Text(int http_status, std::string text) : text_(std::move(text)) { head_.http_status = http_status; }
  bool next(std::string* out) override {
    *out += text_;
    return false;
  }
  bool is_brief() const override { return true; }

 private:
  std::string text_;
};

}  // namespace

std::unique_ptr<Document> make_text(int http_status, std::string text) {
  return std::make_unique<Text>(http_status, std::move(text));
}

std::unique_ptr<Document> make_document(const View& view, std::optional<Format> fixed, std::string_view args,
                                        std::string_view accept, std::string_view control) {
  auto query = parse_query(fixed, args, accept);
  if (!query) {
    return make_text(400, query.error().detail + "\n");
  }
  query->control = control;
  switch (query->format) {
    case Format::kHtml:
      return make_page();
    case Format::kPrometheus:
    case Format::kOpenMetrics:
      return make_metrics(view, *query);
    case Format::kReady:
      return make_ready(view, *query);
    case Format::kJson:
      break;
  }
  return make_json(view, *query);
}

}  // namespace ocsp_plus::admin
