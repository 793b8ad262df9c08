// A status document while it is being written: a piece at a time, so that ten thousand certificates neither block the
// worker that answers nor fill its memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "admin/query.h"
#include "admin/snapshot.h"

namespace ocsp_plus::admin {

struct Head {
  int http_status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string_view content_security_policy;  // empty: none is to be sent
  bool varies = false;                       // with the Accept header
};

class Document {
 public:
  virtual ~Document() = default;

  // Appends the next piece, if any: some kilobytes, and the work of half a millisecond or so. false: that was all.
  // Nothing appended and true: it goes on looking.
  virtual bool next(std::string* out) = 0;

  // Whether all of it is one short piece, however many certificates there are.
  virtual bool is_brief() const { return false; }

  // Final as soon as next() has appended something.
  const Head& head() const { return head_; }

 protected:
  Head head_;
};

// `fixed`, `args`, `accept`: see parse_query(). A request that makes no sense is a document with status 400. `view`
// is copied, what it refers to outlives the document.
std::unique_ptr<Document> make_document(const View& view, std::optional<Format> fixed, std::string_view args,
                                        std::string_view accept);

// The kinds; `query` is copied.
std::unique_ptr<Document> make_json(const View& view, const Query& query);
std::unique_ptr<Document> make_metrics(const View& view, const Query& query);
std::unique_ptr<Document> make_page();
std::unique_ptr<Document> make_ready(const View& view, const Query& query);
// One piece of plain text.
std::unique_ptr<Document> make_text(int http_status, std::string text);

// How much a piece may take.
constexpr std::size_t kPieceBytes = 12288;
constexpr std::size_t kPieceCertificates = 200;  // looked at

}  // namespace ocsp_plus::admin
