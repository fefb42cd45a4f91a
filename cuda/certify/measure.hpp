/**
 * The shapes of a program: every way to compute one, timed launch by launch and as a graph, and its results held together.
 */

#pragma once

#include "../example/float_contract.hpp"
#include "cases.hpp"
#include "cublas.hpp"
#include "timer.hpp"

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace certify {

// One way to compute a shape.
struct Measured {
  std::string shape, what, storage, way;
  size_t sparsity = 0; // percent
  size_t bytes = 0;    // that must be read or written, of one copy
  size_t copies = 1;
  // Of one copy.
  std::optional<Times> launched, asGraph;
  // Why it was not measured.
  std::string absent;
  // What was compared, and what of it was wrong.
  size_t compared = 0;
  std::string fault;
};

class Measurer {
public:
  Measurer(Machine &machine, const Bundle &bundle, Cublas &cublas) : machine(machine), bundle(bundle), cublas(cublas) {}

  std::vector<Measured> run(const Section &shape) {
    const std::vector<Arm> arms = armsOf(shape);
    std::vector<Measured> all;
    CaseRunner::Buffers buffers(machine, bundle, shape);
    size_t copies = 1;
    for (const BufferSpec &spec : shape.buffers) copies = std::max(copies, spec.copies);
    std::string noRoom;
    for (const Arm &arm : arms) {
      Measured one{shape.words[0], shape.words[1], shape.words[2], arm.step->word, arm.step->numbers[0], arm.step->numbers[1], copies,
                   {},             {},             noRoom,         0,              ""};
      try {
        if (noRoom.empty()) runArm(arm, buffers, one);
      } catch (const NoRoom &error) {
        one.absent = noRoom = error.what();
      } catch (const CallError &error) {
        one.fault = error.what();
      }
      all.push_back(one);
      if (machine.driver.hasFailed) break;
    }
    if (!machine.driver.hasFailed) buffers.releaseAll();
    return all;
  }

private:
  // The steps of one way: buffers come before all others.
  struct Arm {
    const Step *step = nullptr;
    std::vector<const Step *> buffers, before, timed, then, checks;
  };

  Machine &machine;
  const Bundle &bundle;
  Cublas &cublas;

  static std::vector<Arm> armsOf(const Section &shape) {
    std::vector<Arm> arms;
    std::vector<const Step *> made; // for the next way
    Verb phase = Verb::TIMED;
    for (const Step &step : shape.steps) {
      if (step.verb == Verb::BUFFER) made.push_back(&step);
      else if (step.verb == Verb::ARM) {
        arms.push_back({&step, std::move(made), {}, {}, {}, {}});
        made.clear();
        phase = Verb::TIMED;
      } else if (step.verb == Verb::BEFORE || step.verb == Verb::TIMED || step.verb == Verb::THEN) phase = step.verb;
      else if (arms.empty()) continue;
      else if (step.verb == Verb::LAUNCH || step.verb == Verb::GEMM) {
        auto &steps = phase == Verb::BEFORE ? arms.back().before : phase == Verb::TIMED ? arms.back().timed : arms.back().then;
        steps.push_back(&step);
      } else arms.back().checks.push_back(&step);
    }
    return arms;
  }

  void runArm(const Arm &arm, CaseRunner::Buffers &buffers, Measured &one) {
    for (const Step *step : arm.buffers) buffers.run(*step);
    for (const Step *step : arm.before) buffers.run(*step);
    const bool needsCublas = !arm.timed.empty() && arm.timed[0]->verb == Verb::GEMM;
    if (needsCublas && !cublas.isHere()) {
      one.absent = "cuBLAS: expected libcublas, got none";
      return;
    }
    if (needsCublas) timeCublas(*arm.timed[0], buffers, one);
    else timeLaunches(arm, buffers, one);
    for (const Step *step : arm.then) buffers.run(*step);
    for (const Step *step : arm.checks) checkResult(*step, buffers, one);
  }

  static void share(Times &times, size_t copies) {
    times.least /= static_cast<double>(copies);
    times.median /= static_cast<double>(copies);
  }

  void timeLaunches(const Arm &arm, CaseRunner::Buffers &buffers, Measured &one) {
    std::vector<Launch> launches;
    for (size_t copy = 0; copy < one.copies; copy++)
      for (const Step *step : arm.timed) launches.push_back(machine.prepare(*step, buffers.all, copy));
    Timer timer(machine);
    one.launched = timer.timesOf([&] {
      for (Launch &launch : launches) machine.run(launch);
    });
    share(*one.launched, one.copies);
    if (!machine.driver.hasGraphs()) return;
    Graph graph(machine, launches);
    one.asGraph = timer.timesOf([&] { graph.launch(); });
    share(*one.asGraph, one.copies);
    machine.wait();
  }

  void timeCublas(const Step &step, CaseRunner::Buffers &buffers, Measured &one) {
    const auto place = [&](int i, size_t copy) {
      return Machine::addressOf(buffers.all[step.places[i].buffer], step.places[i].start, copy);
    };
    cublas.useStream(machine.stream);
    one.launched = Timer(machine).timesOf([&] {
      for (size_t copy = 0; copy < one.copies; copy++)
        cublas.multiply(step.word == "rows", place(0, copy), place(1, copy), place(2, copy), step.numbers[0], step.numbers[1]);
    });
    share(*one.launched, one.copies);
    machine.wait();
  }

  std::vector<double> valuesAt(const Place &place, size_t count, CaseRunner::Buffers &buffers) {
    const DeviceBuffer &buffer = buffers.all[place.buffer];
    const Kind kind = buffer.spec.kind;
    const std::vector<unsigned char> bytes = machine.read(buffer, place.start, count);
    std::vector<double> values;
    for (size_t i = 0; i < count; i++) values.push_back(valueOf(bytes.data() + i * widthOf(kind), kind));
    return values;
  }

  void checkResult(const Step &step, CaseRunner::Buffers &buffers, Measured &one) {
    if (step.verb == Verb::SAMPLE) return checkSample(step, buffers, one);
    const std::vector<double> a = valuesAt(step.places[0], step.numbers[0], buffers);
    const std::vector<double> b = valuesAt(step.places[1], step.numbers[0], buffers);
    double largest = 0;
    for (const double value : b) largest = std::max(largest, std::fabs(value));
    for (size_t i = 0; i < a.size(); i++) {
      one.compared++;
      // Another order of sums, and a result rounded to half precision.
      const bool isRight = step.verb == Verb::SAME ? a[i] == b[i] && std::signbit(a[i]) == std::signbit(b[i])
                                                   : std::fabs(a[i] - b[i]) <= largest / 256;
      if (!isRight && one.fault.empty()) blame(one, i, b[i], a[i]);
    }
  }

  static void blame(Measured &one, size_t i, double expected, double actual) {
    one.fault = "number " + std::to_string(i) + ": expected " + words(expected) + ", got " + words(actual);
  }

  // Some outputs of a product again, by the host, in the order of the definition.
  void checkSample(const Step &step, CaseRunner::Buffers &buffers, Measured &one) {
    constexpr size_t SAMPLES = 16;
    const size_t O = step.numbers[0], I = step.numbers[1];
    const bool byRows = step.word == "rows";
    const std::vector<double> y = valuesAt(step.places[0], O, buffers), x = valuesAt(step.places[1], I, buffers);
    const DeviceBuffer &weight = buffers.all[step.places[2].buffer];
    const Kind kind = weight.spec.kind;
    const unsigned char *const stored = weight.image.data() + weight.begin() + step.places[2].start * widthOf(kind);
    for (size_t turn = 0; turn < SAMPLES; turn++) {
      const size_t o = turn * (O - 1) / (SAMPLES - 1);
      const auto product = [&](size_t i) {
        const double w = valueOf(stored + (byRows ? o * I + i : i * O + o) * widthOf(kind), kind);
        return times(static_cast<float>(x[i]), static_cast<float>(w));
      };
      float expected = 0;
      if (byRows) expected = striped(static_cast<int>(I), product);
      else
        for (size_t i = 0; i < I; i++) expected = plus(expected, product(i));
      one.compared++;
      if (y[o] != expected && one.fault.empty()) blame(one, o, expected, y[o]);
    }
  }
};

} // namespace certify
