// A file of its own: where the compiler sees both these and their callers, it takes malloc() for the wrong partner of
// delete.
#include "tests/fakes/failing_memory.h"

#include <ares.h>
#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

namespace ocsp_plus::testing {
namespace {

bool counts_now = false;
bool has_failed = false;
bool everybody = false;
long until_failure = 0;  // 0: none is planned

bool fails() {
  if (!counts_now || until_failure == 0 || --until_failure != 0) {
    return false;
  }
  return has_failed = true;
}

void* allocate(std::size_t size) {
  return fails() ? nullptr : std::malloc(size);
}
void* reallocate(void* memory, std::size_t size) {
  return fails() ? nullptr : std::realloc(memory, size);
}

// Before anything of OpenSSL or c-ares is used.
__attribute__((constructor)) void take_over() {
  everybody = CRYPTO_set_mem_functions([](std::size_t size, const char*, int) { return allocate(size); },
                                       [](void* memory, std::size_t size, const char*, int) {
                                         // As realloc() is used there: 0 frees.
                                         if (size == 0) {
                                           std::free(memory);
                                           return static_cast<void*>(nullptr);
                                         }
                                         return reallocate(memory, size);
                                       },
                                       [](void* memory, const char*, int) { std::free(memory); }) == 1 &&
              ares_library_init_mem(ARES_LIB_INIT_ALL, allocate, std::free, reallocate) == ARES_SUCCESS;
}

}  // namespace

void FailingMemory::plan(long nth) {
  until_failure = nth;
  has_failed = false;
}

bool FailingMemory::failed() {
  return has_failed;
}

bool FailingMemory::reaches_everybody() {
  return everybody;
}

FailingMemory::Scope::Scope(bool counts) : before_(counts_now) {
  counts_now = counts;
}

FailingMemory::Scope::~Scope() {
  counts_now = before_;
}

}  // namespace ocsp_plus::testing

void* operator new(std::size_t size) {
  void* memory = ocsp_plus::testing::allocate(size == 0 ? 1 : size);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

// With AddressSanitizer this would be its own, and the delete below not its counterpart.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return ocsp_plus::testing::allocate(size == 0 ? 1 : size);
}

// Of what begins on a cache line.
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto line = static_cast<std::size_t>(alignment);
  void* memory = ocsp_plus::testing::fails() ? nullptr : std::aligned_alloc(line, (size + line - 1) / line * line);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
