// Gets the issuer of one certificate: from the known issuers and the cache directory, else from its caIssuers URLs in
// order, skipping failing hosts, under one deadline. Each signature verification waits for its turn. Hosts share
// their health with responders. May be the first part of an Exchange and works like one: destroying it cancels
// everything.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/exchange.h"
#include "engine/missing_issuers.h"

namespace ocsp_plus::engine {

class IssuerExchange {
 public:
  // Nothing: the target has its issuer. Otherwise the failure of the URL asked last; its detail names the URL.
  using Done = std::function<void(std::optional<net::Fetch::Failure>)>;

  // REQUIRES: services.issuers, target.issuer_lookup. `done` is called from the loop, once; it may destroy the
  // object. Adds the host keys of all hosts it asks to `hosts`: their health may change. All references outlive the
  // object.
  IssuerExchange(const ExchangeServices& services, Target& target, std::vector<std::string>* hosts, Done done);
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
  std::string host() const { return target_.host(url()); }

  ExchangeServices services_;
  Target& target_;
  std::vector<std::string>* hosts_;
  Done done_;
  Millis deadline_ = 0;
  std::unique_ptr<IssuerSearches::Ticket> ticket_;        // first for the known issuers, then for those in document_
  std::optional<std::vector<crypto::X509Ptr>> document_;  // the document fetched last, while it is searched
  std::optional<UnixSeconds> date_;                       // the Date that its host sent with it
  std::size_t next_ = 0;                                  // the next URL to ask; the one before it is being asked
  std::optional<HostCall> call_;                          // the last one
  std::optional<net::Fetch::Failure> failure_;
  std::unique_ptr<net::Fetch> fetch_;
};

}  // namespace ocsp_plus::engine
