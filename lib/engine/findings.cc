#include "engine/findings.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/printable.h"
#include "crypto/certificate_message.h"

namespace ocsp_plus::engine {
namespace {

constexpr const char* kAlthoughDemanded =
    " although it demands one (Must-Staple), so that clients that honour it will refuse to connect";

// Shortens a text of others: nginx cuts a line at 2 kB, and its end names the place.
std::string shortened(std::string_view text) {
  std::array<char, 256> shown;
  return {shown.data(), print_into(text, shown.data(), shown.size())};
}

class Finder {
 public:
  Finder(const Catalog& catalog, const Settings& settings) : catalog_(catalog), settings_(settings) {}

  std::vector<Finding> find(const std::string& nothing_stapled) {
    if (look_at_servers(nothing_stapled) && look_at_unusable() && look_at_certificates()) {
      look_at_spellings();
      look_at_chains(nothing_stapled);
    }
    return std::move(found_);
  }

 private:
  template <typename... Args>
  void say(Severity severity, fmt::format_string<Args...> format, Args&&... args) {
    found_.push_back({severity, printable(fmt::format(format, std::forward<Args>(args)...))});
  }

  // The next three return false if the configuration is refused.
  bool look_at_servers(const std::string& nothing_stapled) {
    if (const auto& ignored = catalog_.ignored_trusted()) {
      say(Severity::kWarning,
          "ocsp_plus: a trusted certificate is ignored, it cannot be used as an issuer: {}, first in {}",
          shortened(ignored->why), ignored->server);
    }
    if (nothing_stapled.empty() || catalog_.profiles().empty()) {
      return true;
    }
    if (catalog_.requires_all().has_value()) {
      say(Severity::kEmergency,
          "\"ocsp_plus_require on\" would refuse every handshake that asks for a status: {} in {}", nothing_stapled,
          *catalog_.requires_all());
      return false;
    }
    say(Severity::kError, "ocsp_plus: nothing is stapled at all: {}", nothing_stapled);
    return true;
  }

  bool look_at_unusable() {
    for (const UnusableCertificate& one : catalog_.unusable()) {
      if (one.required) {
        say(Severity::kEmergency,
            "\"ocsp_plus_require\" would refuse every handshake that asks for the status of certificate {} of "
            "\"{}\", which gets no staple: {} in {}",
            shortened(quoted(one.label)), one.file, shortened(one.why), one.server);
        return false;
      }
      say(Severity::kError, "ocsp_plus: certificate {} of \"{}\" cannot be read and gets no staple{}: {} in {}",
          shortened(quoted(one.label)), one.file, one.must_staple ? kAlthoughDemanded : "", shortened(one.why),
          one.server);
    }
    return true;
  }

  bool look_at_certificates() {
    std::size_t unsupported = 0, leaves = 0;
    std::string first;
    for (const auto& each : catalog_.targets()) {
      const Target& target = *each;
      if (target.ca) {
        continue;  // without a staple of it the list ends earlier, which harms nobody
      }
      ++leaves;
      const Remarks& remarks = *target.remarks;
      const std::string label = shortened(quoted(target.certificate.label()));
      if (remarks.required_by.has_value() && !(verifiable(target) && target.has_source())) {
        refuse(target, remarks, label);
        return false;
      }
      look_at(target, remarks, label);
      if (!target.has_source() && target.certificate.ocsp_urls.empty() && unsupported++ == 0) {
        first = label;
      }
    }
    if (unsupported != 0) {  // usual since several public CAs have ended OCSP
      say(Severity::kNotice,
          "ocsp_plus: {} of {} certificates name no OCSP responder and get no staple, the first is {}; "
          "\"ocsp_plus_responder\" can name one",
          unsupported, leaves, first);
    }
    return true;
  }

  // OpenSSL sends a response with such a leaf only if that names the issuer as the leaf does. GnuTLS accepts no other
  // either, but Java refuses to connect with it, and CAs make none.
  void look_at_spellings() {
    std::size_t number = 0;
    const Target* first = nullptr;
    Severity severity = Severity::kNotice;
    for (const auto& target : catalog_.targets()) {
      if (settings_.policy.must_be_sendable && target->has_source() && target->issuer != nullptr &&
          !crypto::spells_issuer(target->certificate, *target->issuer)) {
        first = number++ == 0 ? target.get() : first;
        severity = target->staple_required() ? Severity::kWarning : severity;
      }
    }
    if (number != 0) {
      say(severity,
          "ocsp_plus: {} of {} certificates write their issuer's name in other string types than the issuer itself "
          "and get no staple: OpenSSL 3.6 and newer send no usual response with them, and no response suits all "
          "clients; have them reissued, the first is {}",
          number, catalog_.targets().size(), shortened(quoted(first->certificate.label())));
    }
  }

  // Staples after the leaf's: none with this OpenSSL, or none for want of an issuer.
  void look_at_chains(const std::string& nothing_stapled) {
    if (!catalog_.staples_chains().has_value() || !nothing_stapled.empty()) {
      return;
    }
    const LooseChains& loose = catalog_.loose_chains();
    if (!settings_.sends_chain) {
      say(Severity::kNotice,
          "ocsp_plus: \"ocsp_plus_chain on\" staples nothing but the leaf: this OpenSSL sends no other staples, "
          "3.6.1 and newer do; first in {}",
          *catalog_.staples_chains());
    } else if (loose.count != 0) {
      say(Severity::kNotice,
          "ocsp_plus: \"ocsp_plus_chain on\" staples nothing but the leaf with {} {}, the first is {}: a CA "
          "certificate is stapled only where its issuer is sent too; append {} to \"{}\" in {}",
          loose.count, loose.count == 1 ? "certificate" : "certificates", shortened(quoted(loose.leaf)),
          shortened(quoted(loose.missing)), loose.file, loose.server);
    }
  }

  // The issuer is fetched as the first step of a responder exchange, so without a responder it never is.
  bool issuer_is_fetched(const Target& target) const {
    return settings_.issuer_fetch && target.issuer == nullptr && target.leaf != nullptr &&
           target.issuer_reference != CertificateId() && !target.responders.empty();
  }
  bool verifiable(const Target& target) const { return target.issuer != nullptr || issuer_is_fetched(target); }

  // Advises what to do about an issuer that was not found; `fault` disqualifies a candidate.
  static std::string issuer_advice(std::string_view fault) {
    return fmt::format(
        "a certificate with its issuer's name was found, but {}; put the right one in its place or name it in "
        "\"ocsp_plus_trusted_certificate\"",
        fault);
  }

  void refuse(const Target& target, const Remarks& remarks, const std::string& label) {
    const std::string_view fault = crypto::describe(remarks.issuer_fault);
    std::string why;
    if (!target.has_source()) {
      why = remarks.ignored_url.empty()
                ? "it names no OCSP responder"
                : "the responder that it names cannot be used, " + shortened(remarks.ignored_url);
      why += ", name one with \"ocsp_plus_responder\"";
    } else if (!remarks.issuer_unusable.empty()) {
      why = "the issuer that was found cannot be used: " + shortened(remarks.issuer_unusable);
    } else if (!fault.empty()) {
      why = "no issuer was found: " + issuer_advice(fault);
    } else {
      why = "no issuer was found, append it to \"ssl_certificate\" or name it in \"ocsp_plus_trusted_certificate\"";
    }
    say(Severity::kEmergency,
        "\"ocsp_plus_require\" would refuse every handshake that asks for the status of certificate {}: {} in {}",
        label, why, *remarks.required_by);
  }

  void look_at(const Target& target, const Remarks& remarks, const std::string& label) {
    if (remarks.other_responders.has_value()) {
      say(Severity::kNotice,
          "ocsp_plus: servers name different responders for certificate {}, all are used in the order of the "
          "configuration; the second is in {}",
          label, *remarks.other_responders);
    }
    if (remarks.other_anchors.has_value()) {
      say(Severity::kNotice,
          "ocsp_plus: servers differ in \"ocsp_plus_responder_trusted_certificate\" for certificate {}, the "
          "certificates of all are trusted, for a server without it those of the system; the second is in {}",
          label, *remarks.other_anchors);
    }
    if (!remarks.ignored_url.empty()) {
      look_at_url(target, remarks, label);
    }
    if (remarks.message != 0) {
      look_at_message(target, remarks, label);
    }
    if (target.has_source()) {
      if (target.issuer == nullptr) {
        look_at_issuer(target, remarks, label);
      }
    } else if (target.certificate.must_staple && remarks.ignored_url.empty()) {
      say(Severity::kError,
          "ocsp_plus: certificate {} demands a staple (Must-Staple) but names no OCSP responder: clients that honour "
          "it will refuse to connect; reissue it or name one with \"ocsp_plus_responder\" in {}",
          label, remarks.server);
    }
  }

  void look_at_url(const Target& target, const Remarks& remarks, const std::string& label) {
    if (target.has_source()) {
      say(Severity::kWarning, "ocsp_plus: certificate {} names a responder that cannot be used: {}", label,
          shortened(remarks.ignored_url));
    } else {
      say(Severity::kError,
          "ocsp_plus: certificate {} names a responder that cannot be used, and gets no staple{}: {}; name one with "
          "\"ocsp_plus_responder\" in {}",
          label, target.certificate.must_staple ? kAlthoughDemanded : "", shortened(remarks.ignored_url),
          remarks.server);
    }
  }

  void look_at_message(const Target& target, const Remarks& remarks, const std::string& label) {
    say(Severity::kWarning,
        "ocsp_plus: certificate {} and its chain are {} bytes of a Certificate message, of which Java accepts {}: a "
        "staple of more than {} bytes {}; shorten the chain in {}",
        label, remarks.message, crypto::kMostMessage, crypto::staple_room(remarks.message),
        target.staple_required() ? "is demanded, so it is sent, and Java refuses to connect"
                                 : "is left out on TLS 1.3",
        remarks.message_server);
  }

  void look_at_issuer(const Target& target, const Remarks& remarks, const std::string& label) {
    const std::string_view fault = crypto::describe(remarks.issuer_fault);
    std::string what = "it gets no staple";
    Severity severity = Severity::kError;
    if (issuer_is_fetched(target)) {
      severity = Severity::kWarning;
      what = fmt::format("it is fetched from where the certificate says, but the chain sent to clients is {}",
                         fault.empty() ? "incomplete" : "wrong");
    } else if (target.certificate.must_staple) {
      what += kAlthoughDemanded;
    }
    if (!remarks.issuer_unusable.empty()) {
      say(severity, "ocsp_plus: the issuer found for certificate {} of \"{}\" cannot be used, {}: {} in {}", label,
          remarks.file, what, shortened(remarks.issuer_unusable), remarks.server);
    } else if (!fault.empty()) {
      say(severity, "ocsp_plus: no issuer found for certificate {} of \"{}\", {}: {} in {}", label, remarks.file,
          what, issuer_advice(fault), remarks.server);
    } else {
      say(severity,
          "ocsp_plus: no issuer found for certificate {} of \"{}\", {}: append the issuer's certificate to that file "
          "or name it in \"ocsp_plus_trusted_certificate\" in {}",
          label, remarks.file, what, remarks.server);
    }
  }

  const Catalog& catalog_;
  const Settings& settings_;
  std::vector<Finding> found_;
};

}  // namespace

std::vector<Finding> findings(const Catalog& catalog, const Settings& settings, const std::string& nothing_stapled) {
  return Finder(catalog, settings).find(nothing_stapled);
}

}  // namespace ocsp_plus::engine
