/**
 * Stacks to switch between. A switch saves what a function call must keep, on the stack it leaves, and takes it back
 * from the stack it goes to.
 */
#pragma once

namespace emulator {

struct Fiber;

/** The stack that a program starts on. */
Fiber *main_fiber();

/** A fiber that will run `body` when it is first switched to. `body` must not return. It is never freed. */
Fiber *make_fiber(void (*body)());

/** Leaves a fiber, which must be the one that runs, and goes on with another. */
void switch_fiber(Fiber *from, Fiber *to);

/** Makes a fiber that was left for good start anew. */
void reset_fiber(Fiber *fiber);

} // namespace emulator
