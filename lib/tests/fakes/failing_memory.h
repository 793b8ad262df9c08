// Allocations that fail on demand: in operator new, OpenSSL and c-ares.
#pragma once

namespace ocsp_plus::testing {

// Makes one allocation fail. Only allocations during the lifetime of an Inside count.
class FailingMemory {
 public:
  static void plan(long nth);  // 1: the next one
  static bool failed();        // since plan()

  // Returns whether OpenSSL and c-ares accepted our functions, which they do only before their first allocation.
  static bool reaches_everybody();

  class Scope {
   public:
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   protected:
    explicit Scope(bool counts);

   private:
    bool before_;
  };
  struct Inside : Scope {
    Inside() : Scope(true) {}
  };
  struct Outside : Scope {
    Outside() : Scope(false) {}
  };
};

}  // namespace ocsp_plus::testing
