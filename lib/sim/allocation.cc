// A file of its own: where the compiler sees both these and their callers, it takes malloc() for the wrong partner of
// delete.
#include <cstdlib>
#include <new>

#include "sim/machine.h"

// Every allocation is an instant at which a process may be killed.
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
