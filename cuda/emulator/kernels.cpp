/**
 * The kernels, compiled for the processor from the same sources as for the GPU, and a table of them. The build gives
 * the file as MODULE, their names as KERNELS, `KERNEL(add_exact) KERNEL(linear_exact) ...`, and the hash of all sources as
 * SOURCES.
 */
#include "device.h"

#include MODULE

#include "kernels.h"
#include <tuple>
#include <utility>

namespace emulator {

namespace {

template <auto kernel> struct Entry;

template <typename... Parameters, void (*kernel)(Parameters...)> struct Entry<kernel> {
  static constexpr unsigned char sizes[] = {sizeof(Parameters)..., 0};
  template <std::size_t... I> static void call(void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<Parameters *>(arguments[I])...);
  }
  static void run(void **arguments) { call(arguments, std::index_sequence_for<Parameters...>{}); }
};

} // namespace

#define KERNEL(name) {#name, Entry<name>::run, Entry<name>::sizes},
const Kernel kernels[] = {KERNELS{nullptr, nullptr, nullptr}};
#undef KERNEL

const char *const sources = SOURCES;

} // namespace emulator
