// A status document, written piece by piece, so that ten thousand certificates neither block the answering worker nor
// fill its memory.
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
  std::string_view content_security_policy;  // empty: no such header
  bool varies = false;                       // with the Accept header
};

class Document {
 public:
  virtual ~Document() = default;

  // Appends the next piece, some kilobytes and about half a millisecond of work. Returns false at the end. It may
  // append nothing and return true: call it again.
  virtual bool next(std::string* out) = 0;

  // Returns whether the document is one short piece, however many certificates there are.
  virtual bool is_brief() const { return false; }

  // Final once next() has appended something.
  const Head& head() const { return head_; }

 protected:
  Head head_;
};

// `fixed`, `args`, `accept`: see parse_query(). An invalid request yields a document with status 400. `control`: the
// path of a control location in the same server; empty: none is known. Copies `view`; what it refers to must outlive
// the document.
std::unique_ptr<Document> make_document(const View& view, std::optional<Format> fixed, std::string_view args,
                                        std::string_view accept, std::string_view control);

// One function per kind of document. Copies `query`.
std::unique_ptr<Document> make_json(const View& view, const Query& query);
std::unique_ptr<Document> make_metrics(const View& view, const Query& query);
std::unique_ptr<Document> make_page();
std::unique_ptr<Document> make_ready(const View& view, const Query& query);
// A document of one piece of plain text.
std::unique_ptr<Document> make_text(int http_status, std::string text);

// Bounds of one piece.
constexpr std::size_t kPieceBytes = 12288;
constexpr std::size_t kPieceCertificates = 200;  // examined

}  // namespace ocsp_plus::admin
