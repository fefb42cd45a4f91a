/**
 * Stacks to switch between. A switch saves what a function call must keep, on the stack it leaves, and takes it back
 * from the stack it goes to.
 */
#pragma once
#include <cstddef>

namespace emulator {

struct Fiber;

/** A fiber that will run `body` when it is first switched to. `body` must not return. It is never freed. */
Fiber *make_fiber(void (*body)());

/** Leaves the stack that runs, which is this thread's own or a fiber's, and goes on with a fiber. */
void enter_fiber(Fiber *fiber);

/** Goes back to whoever entered the fiber that runs. */
void leave_fiber();

/** Makes a fiber that was left for good start anew. */
void reset_fiber(Fiber *fiber);

} // namespace emulator
