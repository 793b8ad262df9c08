// A separate file: a compiler that sees both these operators and their callers warns that malloc() and delete do not
// match.
#include <cstdlib>
#include <new>

#include "sim/machine.h"

// Every allocation is a point at which the machine may kill the process.
void* operator new(std::size_t size) {
  ocsp_plus::sim::Machine::allocation();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
