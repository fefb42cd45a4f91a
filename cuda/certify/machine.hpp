/**
 * Device memory and launches, as the steps of a program ask for them, in the order of one stream.
 *
 * Around the numbers of a buffer stand bytes that must survive, and a copy of what was put there stays with the host, so
 * that a kernel shows which writes where it must not.
 */

#pragma once

#include "driver.hpp"
#include "program.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace certify {

// Bytes before and after the numbers of a buffer; a multiple of what any access wants, so that SHIFT alone says how a
// buffer is aligned.
constexpr size_t GUARD = 64;
constexpr unsigned char NOISE = 0xff;
constexpr size_t USUAL_SHARED = 48 * 1024;
constexpr int NOT_SCORED = -100;

// A buffer on the device: as many allocations as there are copies, alike.
struct DeviceBuffer {
  BufferSpec spec;
  std::vector<Address> copies;
  // What was put into each, guards included.
  std::vector<unsigned char> image;

  size_t begin() const { return GUARD + spec.shift * widthOf(spec.kind); }
  size_t bytes() const { return spec.length * widthOf(spec.kind); }
};

// A launch ready to be made: the function, its size, and where its arguments stand.
struct Launch {
  Handle function = nullptr;
  unsigned blocks = 0, threads = 0, shared = 0;
  std::vector<uint64_t> slots;
};

class Machine {
public:
  Driver &driver;
  Handle stream = nullptr;

  Machine(Driver &driver, const KernelModule &kernels) : driver(driver) {
    driver.check("cuModuleLoadData", driver.cuModuleLoadData(&module, kernels.text.c_str()));
    driver.check("cuStreamCreate", driver.cuStreamCreate(&stream, NON_BLOCKING));
  }

  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  ~Machine() {
    if (driver.hasFailed) return;
    driver.cuStreamDestroy_v2(stream);
    driver.cuModuleUnload(module);
  }

  DeviceBuffer make(const BufferSpec &spec, const Bundle &bundle) {
    DeviceBuffer buffer{spec, {}, {}};
    buffer.image.assign(buffer.begin() + buffer.bytes() + GUARD, NOISE);
    if (buffer.bytes() > 0) fill(buffer.image.data() + buffer.begin(), spec, bundle);
    try {
      for (size_t copy = 0; copy < spec.copies; copy++) {
        buffer.copies.push_back(allocate(buffer.image.size()));
        copyIn(buffer.copies.back(), buffer.image.data(), buffer.image.size());
      }
    } catch (const Error &) {
      release(buffer);
      throw;
    }
    return buffer;
  }

  void release(DeviceBuffer &buffer) {
    if (!buffer.copies.empty() && !driver.hasFailed) wait();
    for (const Address address : buffer.copies) {
      const int result = driver.cuMemFree_v2(address);
      if (!driver.hasFailed) driver.check("cuMemFree_v2", result);
    }
    buffer.copies.clear();
  }

  // Where a number of a copy stands; a buffer with fewer copies is in all of them.
  static Address addressOf(const DeviceBuffer &buffer, size_t start, size_t copy = 0) {
    return buffer.copies[copy % buffer.copies.size()] + buffer.begin() + start * widthOf(buffer.spec.kind);
  }

  // The numbers from `start` on, as bytes.
  std::vector<unsigned char> read(const DeviceBuffer &buffer, size_t start, size_t count) {
    return copyOut(addressOf(buffer, start), count * widthOf(buffer.spec.kind));
  }

  // Everything of a copy, with what is around its numbers.
  std::vector<unsigned char> readWhole(const DeviceBuffer &buffer) { return copyOut(buffer.copies[0], buffer.image.size()); }

  void write(DeviceBuffer &buffer, size_t start, const void *numbers, size_t count) {
    copyIn(addressOf(buffer, start), numbers, count * widthOf(buffer.spec.kind));
  }

  void zero(DeviceBuffer &buffer, size_t start, size_t count) {
    const size_t bytes = count * widthOf(buffer.spec.kind);
    if (bytes > 0) driver.check("cuMemsetD8Async", driver.cuMemsetD8Async(addressOf(buffer, start), 0, bytes, stream));
  }

  // A launch by a step, on one copy of its buffers.
  Launch prepare(const Step &step, const std::vector<DeviceBuffer> &buffers, size_t copy = 0) {
    Launch launch;
    launch.blocks = static_cast<unsigned>(step.numbers[0]);
    launch.threads = static_cast<unsigned>(step.numbers[1]);
    launch.shared = static_cast<unsigned>(step.numbers[2]);
    launch.function = functionOf(step.word, launch.shared);
    for (const Argument &argument : step.arguments) {
      const bool isArray = argument.kind == 'a' && !argument.isNone;
      launch.slots.push_back(isArray ? addressOf(buffers[argument.place.buffer], argument.place.start, copy) : argument.bits);
    }
    return launch;
  }

  void run(Launch &launch) {
    std::vector<void *> arguments = addresses(launch);
    const int result = driver.cuLaunchKernel(launch.function, launch.blocks, 1, 1, launch.threads, 1, 1, launch.shared, stream,
                                             arguments.data(), nullptr);
    driver.check("cuLaunchKernel", result);
  }

  static std::vector<void *> addresses(Launch &launch) {
    std::vector<void *> arguments;
    for (uint64_t &slot : launch.slots) arguments.push_back(&slot);
    return arguments;
  }

  // Waits until everything that was launched is done.
  void wait() { driver.check("cuStreamSynchronize", driver.cuStreamSynchronize(stream)); }

private:
  Handle module = nullptr;
  std::map<std::string, Handle> functions;
  std::map<std::string, unsigned> granted;

  // The host's bytes may be gone right after.
  void copyIn(Address to, const void *from, size_t bytes) {
    if (bytes == 0) return;
    driver.check("cuMemcpyHtoDAsync_v2", driver.cuMemcpyHtoDAsync_v2(to, from, bytes, stream));
    wait();
  }

  std::vector<unsigned char> copyOut(Address from, size_t length) {
    std::vector<unsigned char> bytes(length);
    if (length > 0) driver.check("cuMemcpyDtoHAsync_v2", driver.cuMemcpyDtoHAsync_v2(bytes.data(), from, length, stream));
    wait();
    return bytes;
  }

  Address allocate(size_t bytes) {
    Address address = 0;
    const int result = driver.cuMemAlloc_v2(&address, bytes);
    if (result == OUT_OF_MEMORY) throw NoRoom("device: expected room for " + std::to_string(bytes) + " more bytes, got too little");
    driver.check("cuMemAlloc_v2", result);
    return address;
  }

  Handle functionOf(const std::string &name, unsigned shared) {
    Handle &function = functions[name];
    if (!function) driver.check("cuModuleGetFunction", driver.cuModuleGetFunction(&function, module, name.c_str()));
    if (shared > USUAL_SHARED && shared > granted[name]) {
      driver.check("cuFuncSetAttribute", driver.cuFuncSetAttribute(function, DYNAMIC_SHARED_BYTES, static_cast<int>(shared)));
      granted[name] = shared;
    }
    return function;
  }

  static void fill(unsigned char *to, const BufferSpec &spec, const Bundle &bundle) {
    const size_t width = widthOf(spec.kind);
    switch (spec.fill) {
    case FillKind::NOISE: return;
    case FillKind::ZEROS: std::memset(to, 0, spec.length * width); return;
    case FillKind::DATA: std::memcpy(to, bundle.numbers(spec.kind, spec.first), spec.length * width); return;
    case FillKind::NUMBERS:
    case FillKind::SIZES: return fillNumbers(to, spec);
    default: return fillIndices(to, spec);
    }
  }

  static void fillNumbers(unsigned char *to, const BufferSpec &spec) {
    const size_t width = widthOf(spec.kind);
    for (size_t i = 0; i < spec.length; i++) {
      generateNumber(to + i * width, spec.kind, mix(static_cast<uint32_t>(spec.first), static_cast<uint32_t>(i)));
      if (spec.fill == FillKind::SIZES) to[i * width + 3] &= 0x7f; // the sign of a float32
    }
  }

  static void fillIndices(unsigned char *to, const BufferSpec &spec) {
    const auto bits = [&](size_t more, size_t i) { return mix(static_cast<uint32_t>(spec.first + more), static_cast<uint32_t>(i)); };
    for (size_t i = 0; i < spec.length; i++) {
      const bool isSpread = spec.fill == FillKind::SPREAD || spec.fill == FillKind::REVERSED;
      const size_t turn = spec.fill == FillKind::REVERSED ? spec.length - 1 - i : i;
      int32_t value = static_cast<int32_t>(isSpread ? turn * spec.first / spec.length : bits(0, i) % spec.second);
      if (spec.fill == FillKind::LABELS && bits(1, i) % 5 == 0) value = NOT_SCORED;
      std::memcpy(to + 4 * i, &value, 4);
    }
  }
};

} // namespace certify
