/**
 * The cases of ops and the steps of a model, run and compared.
 *
 * An op whose call fails has failed, and the rest is not tried: a device does nothing more after a kernel has failed. What
 * was found until then is kept.
 */

#pragma once

#include "compare.hpp"
#include "machine.hpp"
#include "timer.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace certify {

// What was found of an op: OpOutcome of src/parity/run_ops.ts.
struct OpOutcome {
  std::string op;
  bool isBound = false;
  size_t cases = 0;
  Tally tally;
  std::string timedSizes;
  std::optional<double> milliseconds;
};

struct PartOutcome {
  std::string name;
  Tally tally;
};

class CaseRunner {
public:
  CaseRunner(Machine &machine, const Bundle &bundle) : machine(machine), bundle(bundle) {}

  // All cases of an op; of the last that launches anything, the largest, the time is taken.
  OpOutcome runOp(const OpCases &op) {
    OpOutcome outcome{op.name, op.isBound, 0, {}, "", {}};
    const Section *last = nullptr;
    for (const Section &one : op.cases)
      if (launchOf(one)) last = &one;
    for (const Section &one : op.cases) {
      outcome.cases++;
      try {
        runCase(one, outcome, &one == last);
      } catch (const CallError &error) {
        outcome.tally.blame(error.what());
        break;
      }
    }
    return outcome;
  }

  // The parts of a model, in order; `tell` is called before each.
  std::vector<PartOutcome> runModel(const Section &model, const std::function<void(const std::string &)> &tell) {
    std::vector<PartOutcome> parts;
    Buffers buffers(machine, bundle, model);
    const auto partOf = [&](const std::string &name) -> Tally & {
      for (PartOutcome &part : parts)
        if (part.name == name) return part.tally;
      parts.push_back({name, {}});
      return parts.back().tally;
    };
    std::string name = "model";
    try {
      for (const Step &step : model.steps) {
        if (step.verb == Verb::PART) tell(name = step.word);
        else if (!buffers.run(step)) compare(step, buffers, partOf(name), {});
      }
    } catch (const CallError &error) {
      partOf(name).blame(error.what());
    }
    return parts;
  }

  // The buffers of a section, which come and go as its steps say.
  class Buffers {
  public:
    std::vector<DeviceBuffer> all;

    Buffers(Machine &machine, const Bundle &bundle, const Section &section) : machine(machine), bundle(bundle), section(section) {
      all.resize(section.buffers.size());
    }

    ~Buffers() {
      try {
        releaseAll();
      } catch (const Error &) {
        // The error that ended the work is the one that counts.
      }
    }

    void releaseAll() {
      for (DeviceBuffer &buffer : all) machine.release(buffer);
    }

    // Does a step that changes something; false if it is another one.
    bool run(const Step &step) {
      switch (step.verb) {
      case Verb::BUFFER: all[step.places[0].buffer] = machine.make(section.buffers[step.places[0].buffer], bundle); return true;
      case Verb::FREE: machine.release(all[step.places[0].buffer]); return true;
      case Verb::WRITE:
        machine.write(at(step), step.places[0].start, bundle.numbers(at(step).spec.kind, step.numbers[1]), step.numbers[0]);
        return true;
      case Verb::ZERO: machine.zero(at(step), step.places[0].start, step.numbers[0]); return true;
      case Verb::LAUNCH: {
        Launch launch = machine.prepare(step, all);
        machine.run(launch);
        return true;
      }
      default: return false;
      }
    }

    DeviceBuffer &at(const Step &step) { return all[step.places[0].buffer]; }

  private:
    Machine &machine;
    const Bundle &bundle;
    const Section &section;
  };

private:
  Machine &machine;
  const Bundle &bundle;

  // The launch of a case; none where there is nothing to do.
  static const Step *launchOf(const Section &one) {
    for (const Step &step : one.steps)
      if (step.verb == Verb::LAUNCH) return &step;
    return nullptr;
  }

  void runCase(const Section &one, OpOutcome &outcome, bool isTimed) {
    Buffers buffers(machine, bundle, one);
    Difference place;
    place.caseIndex = std::stoul(one.words[0]);
    place.sizes = one.words[1];
    std::vector<bool> isOutput(one.buffers.size(), false);
    for (const Step &step : one.steps) {
      if (buffers.run(step)) continue;
      isOutput[step.places.at(0).buffer] = true;
      compare(step, buffers, outcome.tally, place);
    }
    for (size_t i = 0; i < buffers.all.size(); i++) checkUntouched(buffers.all[i], isOutput[i], one, outcome.tally);
    if (isTimed) {
      std::vector<Launch> launches = {machine.prepare(*launchOf(one), buffers.all)};
      outcome.milliseconds = Timer(machine).leastOf(launches);
      outcome.timedSizes = place.sizes;
    }
    buffers.releaseAll();
  }

  void compare(const Step &step, Buffers &buffers, Tally &tally, Difference place) {
    const DeviceBuffer &buffer = buffers.at(step);
    const Kind kind = buffer.spec.kind;
    const size_t count = step.numbers[0];
    const std::vector<unsigned char> actual = machine.read(buffer, step.places[0].start, count);
    place.output = buffer.spec.name;
    if (step.verb == Verb::HASH) {
      tally.compared += count;
      const std::string hash = hashOf(actual, kind);
      if (hash == step.word) return;
      tally.blame(place.output + ", " + place.sizes + ": expected numbers of SHA-256 " + step.word.substr(0, 12) + "..., got " +
                  hash.substr(0, 12) + "...");
    } else if (step.verb == Verb::EQUAL || step.verb == Verb::NEAR) {
      const char *const allowed = step.verb == Verb::NEAR ? bundle.numbers(kind, step.numbers[2]) : nullptr;
      compareNumbers(tally, place, actual.data(), bundle.numbers(kind, step.numbers[1]), allowed, count, kind);
    } else refuse(bundle.path, "equal, near or hash in a case", "another step");
  }

  // What is around a buffer stays as it was, and so does what is in it unless it is written.
  void checkUntouched(const DeviceBuffer &buffer, bool isOutput, const Section &one, Tally &tally) {
    const std::vector<unsigned char> now = machine.readWhole(buffer);
    for (size_t i = 0; i < now.size(); i++) {
      const bool isInside = i >= buffer.begin() && i < buffer.begin() + buffer.bytes();
      if (now[i] == buffer.image[i] || (isOutput && isInside)) continue;
      const std::string where = isInside ? "its numbers" : i < buffer.begin() ? "what is before it" : "what is behind it";
      tally.blame(buffer.spec.name + ", " + one.words[1] + ": expected " + where + " untouched, got a change");
      return;
    }
  }
};

} // namespace certify
