// The status page: one document without external parts, assembled from lib/admin/page/ at build time.
#include "admin/page.h"

#include "admin/document.h"

namespace ocsp_plus::admin {
namespace {

class Page : public Document {
 public:
  Page() {
    head_.content_type = "text/html; charset=utf-8";
    head_.content_security_policy = kPagePolicy;
    head_.varies = true;
  }
  bool next(std::string* out) override {
    *out += kPage;
    return false;
  }
};

}  // namespace

std::unique_ptr<Document> make_page() {
  return std::make_unique<Page>();
}

}  // namespace ocsp_plus::admin
