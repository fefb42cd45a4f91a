/**
 * Fibers: a few instructions on x86-64, ucontext elsewhere, which is slower because it also keeps the signal mask.
 */
#include "fiber.h"
#include <cstddef>
#include <cstdlib>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#if defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
#define EMULATOR_SWITCH
#else
#include <ucontext.h>
#endif

namespace emulator {

namespace {
constexpr std::size_t STACK = 256 * 1024;
/** Stacks start this much apart, modulo a page: at equal places their tops would share the same few cache lines. */
constexpr std::size_t STAGGER = 5 * 64;
constexpr std::size_t PAGE = 4096;
std::size_t count = 0;
} // namespace

#ifdef EMULATOR_SWITCH

struct Fiber {
  void (*body)() = nullptr;
  char *stack = nullptr;
  /** Where its registers are saved while it does not run. */
  void *top = nullptr;
};

extern "C" __attribute__((visibility("hidden"))) void emulator_switch(void **from, void *to);
// The last jump is no return: the processor would foresee a return to whoever called, and be wrong.
asm(R"(
.text
.hidden emulator_switch
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
  popq %rcx
  jmp *%rcx
.size emulator_switch, . - emulator_switch
)");

void switch_fiber(Fiber *from, Fiber *to) { emulator_switch(&from->top, to->top); }

namespace {
void prepare(Fiber *fiber) {
  // As if `body` had been called with the stack aligned to 16 bytes, and had been left at its first instruction.
  void **top = reinterpret_cast<void **>(fiber->stack + STACK) - 2;
  *top = reinterpret_cast<void *>(fiber->body);
  fiber->top = top - 6;
}
} // namespace

#else

struct Fiber {
  void (*body)() = nullptr;
  char *stack = nullptr;
  ucontext_t context = {};
};

void switch_fiber(Fiber *from, Fiber *to) { swapcontext(&from->context, &to->context); }

namespace {
void prepare(Fiber *fiber) {
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = STACK;
  makecontext(&fiber->context, fiber->body, 0);
}
} // namespace

#endif

Fiber *main_fiber() {
  static Fiber fiber;
  return &fiber;
}

Fiber *make_fiber(void (*body)()) {
  // Mapped, so that a page no fiber reached takes no memory.
  void *memory = mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  auto *fiber = new Fiber;
  fiber->body = body;
  fiber->stack = static_cast<char *>(memory) + count++ * STAGGER % PAGE;
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
