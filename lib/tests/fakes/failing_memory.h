// Memory that runs out on demand: everybody's in this process, through operator new, OpenSSL and c-ares.
#pragma once

namespace ocsp_plus::testing {

// One allocation fails, and those after it succeed again. Only allocations inside of an Inside count.
class FailingMemory {
 public:
  static void plan(long nth);  // 1: the next one
  static bool failed();        // since it was planned

  // Whether OpenSSL and c-ares took our functions, which they do only before their own first allocation.
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
