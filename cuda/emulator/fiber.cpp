/**
 * Fibers: a few instructions on x86-64, ucontext elsewhere, which is slower because it also keeps the signal mask.
 */
#include "fiber.h"
#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace emulator {

namespace {
constexpr std::size_t STACK = 256 * 1024;
/** Stacks start this much apart, modulo a page: at equal places their tops would share the same few cache lines. */
constexpr std::size_t STAGGER = 5 * 64;
constexpr std::size_t PAGE = 4096;
std::size_t count = 0;
}

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)

extern "C" void emulator_switch(void **from, void *to);
asm(R"(
.text
.type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch, . - emulator_switch
)");

struct Fiber {
  void (*body)();
  char *stack;
  void *top;
};

namespace {
void *outside;
Fiber *inside;

void prepare(Fiber *fiber) {
  // As if `body` had been called with the stack aligned to 16 bytes, and had been left at its first instruction.
  void **top = reinterpret_cast<void **>(fiber->stack + STACK) - 2;
  *top = reinterpret_cast<void *>(fiber->body);
  fiber->top = top - 6;
}
} // namespace

void enter_fiber(Fiber *fiber) {
  inside = fiber;
  emulator_switch(&outside, fiber->top);
}

void leave_fiber() { emulator_switch(&inside->top, outside); }

#else

struct Fiber {
  void (*body)();
  char *stack;
  ucontext_t context;
};

namespace {
ucontext_t outside;
Fiber *inside;

void prepare(Fiber *fiber) {
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = STACK;
  makecontext(&fiber->context, fiber->body, 0);
}
} // namespace

void enter_fiber(Fiber *fiber) {
  inside = fiber;
  swapcontext(&outside, &fiber->context);
}

void leave_fiber() { swapcontext(&inside->context, &outside); }

#endif

Fiber *make_fiber(void (*body)()) {
  // Mapped, so that a page no fiber reached takes no memory.
  void *stack = mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) std::abort();
  char *start = static_cast<char *>(stack) + count++ * STAGGER % PAGE;
  auto *fiber = new Fiber{body, start, {}};
  prepare(fiber);
  return fiber;
}

void reset_fiber(Fiber *fiber) {
#ifdef __SANITIZE_ADDRESS__
  // Frames that never returned left their red zones behind.
  __asan_unpoison_memory_region(fiber->stack, STACK);
#endif
  prepare(fiber);
}

} // namespace emulator
