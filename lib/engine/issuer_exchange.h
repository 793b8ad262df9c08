// Getting the issuer of one certificate: from those that are known or kept, else from its caIssuers URLs in order,
// the failing hosts left out, under one deadline. Each signature that is verified waits for its turn. The hosts'
// health is that of responders. Like an Exchange, of which it may be the first part: destroying it cancels all.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/exchange.h"
#include "engine/issuers.h"

namespace ocsp_plus::engine {

class IssuerExchange {
 public:
  // Nothing: the target has its issuer. Else the failure of the URL asked last, named in its detail.
  using Done = std::function<void(std::optional<net::Fetch::Failure>)>;

  // REQUIRES: context.issuers, target.issuer_lookup. `done` comes from the loop, once; it may destroy the object.
  // Host keys of those that are asked are added to `hosts`, whose standing may change. All of it outlives the object.
  IssuerExchange(const ExchangeContext& context, const Target& target, std::vector<std::string>* hosts, Done done);
  ~IssuerExchange();
  IssuerExchange(const IssuerExchange&) = delete;
  IssuerExchange& operator=(const IssuerExchange&) = delete;

 private:
  void search_ended(const IssuerSearch& search);
  void ask_next();
  void ask(const net::Url& url);
  void leave_out(const net::Url& url);
  void on_outcome(net::Fetch::Outcome outcome);
  void fail_with(net::Fetch::Failure failure);
  void end(std::optional<net::Fetch::Failure> failure);
  const net::Url& url() const { return *target_.issuer_lookup->urls[next_ - 1]; }
  std::string host() const { return url().host_key() + target_.health_suffix; }

  ExchangeContext context_;
  const Target& target_;
  std::vector<std::string>* hosts_;
  Done done_;
  Millis deadline_ = 0;
  std::unique_ptr<IssuerSearches::Ticket> ticket_;        // first among the known, then in what was fetched
  std::optional<std::vector<crypto::X509Ptr>> document_;  // what was fetched last, while it is searched
  std::optional<UnixSeconds> date_;                       // and when its host said that was
  std::size_t next_ = 0;                                  // URL to be asked; the one before is being asked
  std::optional<HostCall> call_;                          // the last one
  std::optional<net::Fetch::Failure> failure_;
  std::unique_ptr<net::Fetch> fetch_;
};

}  // namespace ocsp_plus::engine
