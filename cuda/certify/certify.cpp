/**
 * Tries the kernels of a module on a device, with nothing but its driver: every op on the cases of a bundle, a small model, and
 * times of shapes. cuda/certify.sh builds it and starts it.
 *
 *   g++ -std=c++17 -O2 -ffp-contract=off -o certify cuda/certify/certify.cpp -ldl -pthread
 *   ./certify --bundle certify.safetensors --kernels kernels.ptx --certificate cuda.json --shapes shapes.json
 *
 * Exit codes: 0 done, 1 something disagrees, 2 usage, 3 a file was refused, 4 no driver, device or room.
 */

#include "certificate.hpp"
#include "errors.hpp"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <new>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

using namespace certify;

const char *const USAGE_TEXT = R"(usage: certify --bundle FILE --kernels FILE [--certificate FILE] [--shapes FILE]
  --bundle FILE       cases to try, as "npm run build:cuda-certify" makes them
  --kernels FILE      the module, PTX
  --certificate FILE  try every op and a small model, and write what was found
  --shapes FILE       time decode at the sizes of OPT models, and write that
  --set ENDING        the kernels that end so: exact unless told otherwise
  --ops LIST          only these ops, separated by commas, and no model
  --driver FILE       another library of the driver's calls, such as the emulator
  --cublas FILE       another library of cuBLAS
  --commit HASH       what to say of the checkout
  --describe          only say what the device is
  --sets              only say which sets of kernels the bundle has cases for, and the backends that run them
)";

class Flags {
public:
  std::map<std::string, std::string> values;
  std::vector<std::string> words;

  Flags(int argc, char **argv) {
    static const std::set<std::string> withValue = {"bundle", "kernels", "certificate", "shapes", "set", "ops", "driver", "cublas", "commit"};
    static const std::set<std::string> alone = {"describe", "sets", "help"};
    for (int i = 1; i < argc; i++) {
      const std::string word = argv[i], name = word.rfind("--", 0) == 0 ? word.substr(2) : "";
      words.push_back(word);
      if (!withValue.count(name) && !alone.count(name)) throw Error(USAGE, word + ": expected a flag that --help lists, got another word");
      if (withValue.count(name) && i + 1 == argc) throw Error(USAGE, word + ": expected a value, got none");
      values[name] = withValue.count(name) ? argv[++i] : "";
      if (withValue.count(name)) words.push_back(argv[i]);
    }
  }

  bool has(const std::string &name) const { return values.count(name) != 0; }

  std::string get(const std::string &name, const std::string &otherwise = "") const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }

  std::string needed(const std::string &name) const {
    if (!has(name)) throw Error(USAGE, "--" + name + ": expected a file, got none");
    return get(name);
  }
};

// Progress goes where nobody reads it later.
void tell(const std::string &text) {
  if (isatty(STDERR_FILENO)) std::fprintf(stderr, "\r\033[K%s", text.c_str());
}

void writeFile(const std::string &path, const std::string &text) {
  const std::string part = path + ".tmp";
  std::ofstream stream(part, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  if (!stream || std::rename(part.c_str(), path.c_str()) != 0)
    refuse(path, "a file that can be written", "an error");
}

std::set<std::string> namesIn(const std::string &list) {
  std::set<std::string> names;
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    names.insert(list.substr(at, comma - at));
    at = comma + 1;
  }
  return names;
}

std::string placeOf(const Difference &worst) {
  return worst.output + "[" + std::to_string(worst.index) + "] is " + words(worst.actual) + ", expected " + words(worst.expected) +
         (worst.sizes.empty() ? "" : ", at " + worst.sizes);
}

std::string reasonOf(const Tally &tally) {
  return tally.worst && !tally.worst->passed ? placeOf(*tally.worst) : tally.fault;
}

void printRow(bool passed, const std::string &name, const Tally &tally, size_t cases, const std::string &time) {
  const std::string worst = tally.worst ? words(tally.worst->error) : "0";
  std::printf("%-4s  %-25s %4zu cases %9zu numbers %7zu differ  worst %-12s %s\n", passed ? "ok" : "FAIL", name.c_str(), cases,
              tally.compared, tally.differing, worst.c_str(), time.c_str());
}

class Run {
public:
  Run(const Flags &flags, const Bundle &bundle, const KernelModule &kernels, const KernelSet &set, Driver &driver)
    : flags(flags), bundle(bundle), kernels(kernels), set(set), driver(driver), machine(driver, kernels) {
    facts.backend = driver.isEmulated ? set.emulated : set.backend;
    facts.device = driver.device;
    facts.isEmulated = driver.isEmulated;
    facts.clock = driver.hasEvents() ? "events" : "host";
    facts.commit = flags.get("commit");
    facts.argv = flags.words;
    std::printf("%s on %s%s\n", facts.backend.c_str(), facts.device.c_str(), facts.isEmulated ? ": no figure of it is one of a GPU" : "");
  }

  // What disagrees, empty if nothing does.
  std::string certify() {
    const std::string path = flags.get("certificate");
    std::vector<OpOutcome> ops = runOps();
    std::optional<ModelOutcome> model;
    if (!flags.has("ops") && !driver.hasFailed) model = runModel();
    std::string failure, others;
    for (const OpOutcome &outcome : ops)
      if (!outcome.tally.passed()) (failure.empty() ? failure : others) += (failure.empty() ? outcome.op + ": " + reasonOf(outcome.tally) : " " + outcome.op);
    if (!others.empty()) failure += "; and" + others;
    if (model && !model->passed() && failure.empty())
      for (const PartOutcome &part : model->parts)
        if (!part.tally.passed() && failure.empty()) failure = "the model's " + part.name + ": " + reasonOf(part.tally);
    // A device that has failed leaves things untried.
    if (driver.hasFailed && failure.empty()) failure = "a call of the driver failed";
    writeFile(path, certificateJson(facts, bundle, kernels, failure.empty(), ops, model));
    return failure;
  }

  std::string measure() {
    Cublas cublas(flags.get("cublas"));
    Measurer measurer(machine, bundle, cublas);
    std::vector<Measured> all;
    std::string failure;
    for (const Section &shape : set.shapes) {
      // The smallest is for where times mean nothing.
      if ((shape.words[0] == "tiny") != driver.isEmulated || driver.hasFailed) continue;
      tell("timing " + shape.words[0] + " " + shape.words[1] + " " + shape.words[2]);
      for (const Measured &one : measurer.run(shape)) {
        print(one);
        const std::string name = one.shape + " " + one.what + " " + one.storage + " " + one.way;
        // What another library gives is not ours to answer for; its times are shown beside what it got wrong.
        if (!one.fault.empty() && one.way != "cublas" && failure.empty()) failure = name + ": " + one.fault;
        all.push_back(one);
      }
    }
    tell("");
    if (all.empty()) failure = "expected shapes to time, got none";
    writeFile(flags.get("shapes"), shapesJson(facts, bundle, kernels, failure.empty(), all));
    return failure;
  }

private:
  const Flags &flags;
  const Bundle &bundle;
  const KernelModule &kernels;
  const KernelSet &set;
  Driver &driver;
  Machine machine;
  RunFacts facts;

  std::vector<OpOutcome> runOps() {
    const std::set<std::string> wanted = namesIn(flags.get("ops"));
    CaseRunner runner(machine, bundle);
    std::vector<OpOutcome> outcomes;
    for (const OpCases &op : set.ops) {
      if ((flags.has("ops") && !wanted.count(op.name)) || driver.hasFailed) continue;
      tell(op.name);
      outcomes.push_back(runner.runOp(op));
      tell("");
      const OpOutcome &outcome = outcomes.back();
      printRow(outcome.tally.passed(), op.name, outcome.tally, outcome.cases,
               outcome.milliseconds ? words(std::round(*outcome.milliseconds * 1e6) / 1e6) + " ms" : "");
    }
    if (outcomes.empty()) throw Error(USAGE, "--ops: expected ops that have kernels in this set, got " + flags.get("ops"));
    return outcomes;
  }

  std::optional<ModelOutcome> runModel() {
    if (set.models.empty()) return std::nullopt;
    const Section &section = set.models.front();
    ModelOutcome model;
    model.name = section.words[0];
    const auto start = std::chrono::steady_clock::now();
    for (PartOutcome &part : CaseRunner(machine, bundle).runModel(section, [](const std::string &name) { tell("model: " + name); }))
      if (part.tally.compared > 0 || !part.tally.fault.empty()) model.parts.push_back(std::move(part));
    model.milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    tell("");
    for (const PartOutcome &part : model.parts) printRow(part.tally.passed(), "model " + part.name, part.tally, 1, "");
    return model;
  }

  void print(const Measured &one) const {
    const auto micros = [](const std::optional<Times> &times) {
      return times ? words(std::round(times->least * 1e6) / 1e3) + " us" : "-";
    };
    const std::string note = !one.absent.empty() ? "  absent: " + one.absent : !one.fault.empty() ? "  WRONG: " + one.fault : "";
    // A rate of the emulator would be one of nothing.
    const bool hasRate = !facts.isEmulated && one.launched && one.launched->least > 0;
    const double rate = hasRate ? static_cast<double>(one.bytes) / one.launched->least / 1e6 : 0;
    std::printf("%-9s %-9s %-3s  %-6s %3zu %%  %12s  graph %12s  %s GB/s%s\n", one.shape.c_str(), one.what.c_str(),
                one.storage.c_str(), one.way.c_str(), one.sparsity, micros(one.launched).c_str(), micros(one.asGraph).c_str(),
                hasRate ? words(std::round(rate * 10) / 10).c_str() : "-", note.c_str());
  }
};

const KernelSet &setNamed(const std::vector<KernelSet> &sets, const std::string &ending) {
  std::string known;
  for (const KernelSet &set : sets) {
    if (set.ending == ending) return set;
    known += (known.empty() ? "" : ", ") + set.ending;
  }
  throw Error(USAGE, "--set: expected one of " + known + ", got " + ending);
}

int run(int argc, char **argv) {
  const Flags flags(argc, argv);
  if (flags.has("help")) {
    std::fputs(USAGE_TEXT, stdout);
    return DONE;
  }
  const std::string library = flags.get("driver", "libcuda.so.1");
  if (flags.has("describe")) {
    std::printf("%s\n", Driver(library).device.c_str());
    return DONE;
  }
  const std::string bundlePath = flags.needed("bundle"), kernelsPath = flags.needed("kernels");
  if (!flags.has("certificate") && !flags.has("shapes") && !flags.has("sets")) throw Error(USAGE, "expected --certificate or --shapes, got neither");
  const Bundle bundle(bundlePath);
  const KernelModule kernels(kernelsPath);
  if (kernels.hash != bundle.kernels)
    refuse(bundlePath, "cases for kernels " + kernels.hash.substr(0, 12) + "..., which are in " + kernelsPath,
           "some for " + bundle.kernels.substr(0, 12) + "...; run \"npm run build:cuda-certify\"");
  const std::vector<KernelSet> sets = ProgramReader(bundle, kernels).read();
  if (flags.has("sets")) {
    for (const KernelSet &set : sets) std::printf("%s %s %s\n", set.ending.c_str(), set.backend.c_str(), set.emulated.c_str());
    return DONE;
  }
  const KernelSet &set = setNamed(sets, flags.get("set", "exact"));
  Driver driver(library);
  Run work(flags, bundle, kernels, set, driver);
  std::string failure;
  if (flags.has("certificate")) failure = work.certify();
  if (flags.has("shapes") && !driver.hasFailed) {
    const std::string other = work.measure();
    if (failure.empty()) failure = other;
  }
  if (failure.empty()) std::printf("passed%s\n", driver.isEmulated ? ", emulated" : "");
  else std::printf("failed: %s\n", failure.c_str());
  return failure.empty() ? DONE : FAILED;
}

} // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const safetensors::Error &error) {
    std::fprintf(stderr, "certify: %s\n", error.what());
    return REFUSED;
  } catch (const certify::Error &error) {
    std::fprintf(stderr, "certify: %s\n", error.what());
    return error.code;
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "certify: expected room for the numbers, got too little\n");
    return MISSING;
  }
}
