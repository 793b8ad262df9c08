// A deleter by function, for what OpenSSL allocates.
#pragma once

template <auto F>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    F(p);
  }
};
