/**
 * What was found, as JSON: a certificate of the form that `shadowllm parity run` writes and `parity verify-certificate` reads
 * (src/parity/certificate.ts), and the times of shapes. Over the emulator both carry the name of that backend.
 */

#pragma once

#include "bundle.hpp"
#include "cases.hpp"
#include "json.hpp"
#include "measure.hpp"

#include <chrono>
#include <ctime>
#include <fstream>
#include <string>
#include <sys/utsname.h>
#include <thread>
#include <vector>

namespace certify {

inline const std::string CERTIFICATE_FORMAT = "shadowllm-parity-certificate 1";
inline const std::string SHAPES_FORMAT = "shadowllm-cuda-shapes 1";

// What a run knows of itself.
struct RunFacts {
  std::string backend, device, clock, commit;
  bool isEmulated = false;
  std::vector<std::string> argv;
};

// The model of a program: its parts, and how long all of them took.
struct ModelOutcome {
  std::string name;
  std::vector<PartOutcome> parts;
  double milliseconds = 0;

  bool passed() const {
    for (const PartOutcome &part : parts)
      if (!part.tally.passed()) return false;
    return !parts.empty();
  }
};

inline std::string systemName() {
  utsname names = {};
  uname(&names);
  const std::string machine = names.machine;
  return std::string("linux ") + (machine == "x86_64" ? "x64" : machine == "aarch64" ? "arm64" : machine);
}

inline std::string processorName() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "unknown";
}

inline std::string dateNow() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto part = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  char text[40], whole[32];
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  std::strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text, sizeof text, "%s.%03dZ", whole, static_cast<int>(part));
  return text;
}

inline std::string provenanceJson(const RunFacts &facts, const Bundle &bundle, const std::string &model) {
  std::vector<std::string> argv;
  for (const std::string &word : facts.argv) argv.push_back(Json::text(word));
  const std::string hash = Json::text(bundle.hash);
  return Json::object({"version", Json::text(bundle.version), "commit", facts.commit.empty() ? "null" : Json::text(facts.commit),
                       "runtime", Json::text("cuda/certify"), "system", Json::text(systemName()), "processor",
                       Json::text(processorName()), "threads", Json::whole(std::thread::hardware_concurrency()), "backend",
                       Json::text(facts.backend), "model", Json::object({"name", Json::text(model), "hash", hash}), "data",
                       Json::object({"name", Json::text("src/ops"), "hash", Json::text(bundle.definitions)}), "seed", "0", "argv",
                       Json::list(argv), "date", Json::text(dateNow())});
}

// "T=2,O=5" as an object.
inline std::string sizesJson(const std::string &sizes) {
  std::vector<std::string> fields;
  for (size_t at = 0; at < sizes.size();) {
    const size_t equals = sizes.find('=', at), comma = std::min(sizes.find(',', at), sizes.size());
    fields.push_back(sizes.substr(at, equals - at));
    fields.push_back(sizes.substr(equals + 1, comma - equals - 1));
    at = comma + 1;
  }
  return Json::object(fields);
}

inline std::string worstJson(const std::optional<Difference> &worst) {
  if (!worst) return "null";
  return Json::object({"output", Json::text(worst->output), "index", Json::whole(worst->index), "expected",
                       Json::number(worst->expected), "actual", Json::number(worst->actual), "error", Json::number(worst->error),
                       "tolerance", Json::number(worst->tolerance), "passed", Json::flag(worst->passed), "case",
                       Json::whole(worst->caseIndex), "sizes", sizesJson(worst->sizes)});
}

inline std::string opJson(const OpOutcome &outcome) {
  const Tally &tally = outcome.tally;
  return Json::object({"op", Json::text(outcome.op), "passed", Json::flag(tally.passed()), "owes",
                       Json::text(outcome.isBound ? "bound" : "bits"), "cases", Json::whole(outcome.cases), "compared", Json::whole(tally.compared), "differing",
                       Json::whole(tally.differing), "worst", worstJson(tally.worst), "fault",
                       tally.fault.empty() ? "null" : Json::text(tally.fault), "timedSizes", sizesJson(outcome.timedSizes),
                       "milliseconds", Json::number(outcome.milliseconds), "referenceMilliseconds", "null"});
}

// How a part of the model came out, in words.
inline std::string detailOf(const Tally &tally) {
  if (!tally.fault.empty()) return tally.fault;
  return std::to_string(tally.differing) + " of " + std::to_string(tally.compared) + " numbers otherwise";
}

inline std::string modelJson(const ModelOutcome &model) {
  std::vector<std::string> checks;
  for (const PartOutcome &part : model.parts) {
    std::string name = part.name;
    std::replace(name.begin(), name.end(), '-', ' ');
    checks.push_back(Json::object({"name", Json::text(name), "passed", Json::flag(part.tally.passed()), "detail",
                                   Json::text(detailOf(part.tally))}));
  }
  // Tensors are compared as they are read, and belong to a check.
  const std::string report =
    Json::object({"passed", Json::flag(model.passed()), "tensors", "[]", "onlyInA", "[]", "onlyInB", "[]", "worst", "null"});
  return Json::object({"passed", Json::flag(model.passed()), "report", report, "checks", Json::list(checks), "milliseconds",
                       Json::number(model.milliseconds), "referenceMilliseconds", "null"});
}

inline std::string certificateJson(const RunFacts &facts, const Bundle &bundle, const KernelModule &kernels, bool passed,
                                   const std::vector<OpOutcome> &ops, const std::optional<ModelOutcome> &model) {
  std::vector<std::string> rows;
  for (const OpOutcome &outcome : ops) rows.push_back(opJson(outcome));
  return Json::object({"format", Json::text(CERTIFICATE_FORMAT), "provenance",
                       provenanceJson(facts, bundle, model ? model->name : "none"), "device", Json::text(facts.device), "kernels",
                       Json::text(kernels.hash), "passed", Json::flag(passed), "ops", Json::list(rows), "model",
                       model ? modelJson(*model) : "null", "bundle", Json::text(bundle.hash), "emulated",
                       Json::flag(facts.isEmulated), "clock", Json::text(facts.clock)}) +
         "\n";
}

inline std::string timesJson(const std::optional<Times> &times) {
  if (!times) return "null";
  return Json::object({"least", Json::number(times->least), "median", Json::number(times->median), "samples", Json::whole(times->samples)});
}

inline std::string shapesJson(const RunFacts &facts, const Bundle &bundle, const KernelModule &kernels, bool passed,
                              const std::vector<Measured> &all) {
  std::vector<std::string> rows;
  for (const Measured &one : all)
    rows.push_back(Json::object(
      {"shape", Json::text(one.shape), "what", Json::text(one.what), "storage", Json::text(one.storage), "way", Json::text(one.way),
       "sparsity", Json::number(static_cast<double>(one.sparsity) / 100), "bytes", Json::whole(one.bytes), "copies",
       Json::whole(one.copies), "milliseconds", timesJson(one.launched), "graphMilliseconds", timesJson(one.asGraph), "absent",
       one.absent.empty() ? "null" : Json::text(one.absent), "compared", Json::whole(one.compared), "fault",
       one.fault.empty() ? "null" : Json::text(one.fault)}));
  return Json::object({"format", Json::text(SHAPES_FORMAT), "provenance", provenanceJson(facts, bundle, "none"), "device",
                       Json::text(facts.device), "kernels", Json::text(kernels.hash), "passed", Json::flag(passed), "bundle",
                       Json::text(bundle.hash), "emulated", Json::flag(facts.isEmulated), "clock", Json::text(facts.clock), "rows",
                       Json::list(rows)}) +
         "\n";
}

} // namespace certify
