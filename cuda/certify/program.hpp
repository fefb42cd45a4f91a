/**
 * The program of a bundle, read and checked to its last line before anything is done.
 *
 *   set ENDING BACKEND EMULATED                 a set of kernels, and what the backend is called that runs it
 *   op NAME bits|bound                          cases of an op follow
 *   case INDEX SIZES ... end                    one call; what is not an output must stay as it was
 *   model NAME ... end                          a model, one step after the other
 *   part NAME                                   what the numbers that follow are of
 *   shape NAME WHAT STORAGE ... end             what is timed
 *   arm WAY SPARSITY BYTES                      one way to compute it, how many percent it leaves out, what it must read
 *   before, timed, then                         once before it is timed; what is timed; once after
 *
 *   buffer NAME KIND LENGTH SHIFT COPIES FILL   device memory, SHIFT numbers past an aligned place; COPIES alike
 *   free NAME
 *   write @BUFFER+START COUNT DATA              DATA: where numbers begin among those of their kind
 *   zero @BUFFER+START COUNT
 *   launch KERNEL BLOCKS THREADS SHARED ...     arguments: @BUFFER+START, - for none, #SIZE, ~the bits of a float32
 *   gemm rows|columns Y X WEIGHT OUTPUTS INPUTS
 *
 *   equal @BUFFER+START COUNT DATA              bit for bit; NaN is NaN
 *   near @BUFFER+START COUNT DATA ALLOWED       each number as far off as is allowed
 *   hash @BUFFER+START COUNT SHA256             of the bytes, every NaN 7fc00000
 *   same A B COUNT, about A B COUNT             two results
 *   sample rows|columns Y X WEIGHT OUTPUTS INPUTS
 *
 * FILL: zeros, noise, data DATA, numbers SEED, sizes SEED, ids SEED LIMIT, labels SEED LIMIT, spread LIMIT, reversed LIMIT.
 * A place lies inside its buffer, data inside what is stored, and a launch has the arguments its kernel takes. What a kernel
 * does with them is not checked: a program can make a kernel fail, and no more.
 */

#pragma once

#include "bundle.hpp"
#include "kernels.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace certify {

enum class FillKind { ZEROS, NOISE, DATA, NUMBERS, SIZES, IDS, LABELS, SPREAD, REVERSED };

struct BufferSpec {
  std::string name;
  Kind kind = Kind::F32;
  size_t length = 0;
  size_t shift = 0;
  size_t copies = 1;
  FillKind fill = FillKind::NOISE;
  size_t first = 0;  // DATA, SEED or LIMIT
  size_t second = 0; // LIMIT
};

// A number of a buffer, by the buffer's index in its section.
struct Place {
  size_t buffer = 0;
  size_t start = 0;
};

struct Argument {
  char kind = 'a'; // as in KernelModule::parameters
  bool isNone = false;
  Place place;
  uint32_t bits = 0;
};

enum class Verb { BUFFER, FREE, WRITE, ZERO, LAUNCH, GEMM, EQUAL, NEAR, HASH, SAME, ABOUT, SAMPLE, PART, ARM, BEFORE, TIMED, THEN };

struct Step {
  Verb verb;
  std::string word; // of a launch the kernel, of a hash its digits, of an arm or a part the name
  std::vector<Place> places;
  std::vector<Argument> arguments;
  size_t numbers[3] = {}; // what else the line says, in its order
};

// Lines that belong together, from the first to its `end`.
struct Section {
  std::vector<std::string> words;
  std::vector<BufferSpec> buffers;
  std::vector<Step> steps;
};

struct OpCases {
  std::string name;
  bool isBound = false;
  std::vector<Section> cases;
};

struct KernelSet {
  std::string ending, backend, emulated;
  std::vector<OpCases> ops;
  std::vector<Section> models;
  std::vector<Section> shapes;
};

class ProgramReader {
public:
  ProgramReader(const Bundle &bundle, const KernelModule &kernels) : bundle(bundle), kernels(kernels) {}

  std::vector<KernelSet> read() {
    std::istringstream lines(bundle.program);
    for (std::string line; std::getline(lines, line);) {
      number++;
      words.clear();
      at = 0;
      std::istringstream stream(line);
      for (std::string word; stream >> word;) words.push_back(word);
      if (section) readStep();
      else readHeading();
      if (at != words.size()) reject("nothing more in this line", words[at]);
    }
    if (section) reject("an end of what was begun", "none");
    if (sets.empty()) reject("a set of kernels", "none");
    return std::move(sets);
  }

private:
  const Bundle &bundle;
  const KernelModule &kernels;
  std::vector<KernelSet> sets;
  Section *section = nullptr;
  std::string kind; // of the section
  std::map<std::string, size_t> live; // buffers by name
  std::vector<std::string> words;
  size_t at = 0;
  size_t number = 0;

  static constexpr size_t MOST_NUMBERS = size_t{1} << 31;
  static constexpr size_t MOST_COPIES = 4096;

  [[noreturn]] void reject(const std::string &expected, const std::string &got) const {
    refuse(bundle.path + " program, line " + std::to_string(number), expected, got);
  }

  std::string word(const char *expected) {
    if (at == words.size()) reject(expected, "the end of the line");
    return words[at++];
  }

  std::string oneOf(const std::set<std::string> &known, const char *expected) {
    const std::string text = word(expected);
    if (!known.count(text)) reject(expected, "\"" + text + "\"");
    return text;
  }

  size_t whole(const std::string &text, size_t least, size_t most) const {
    const bool isWhole = !text.empty() && text.size() <= 12 && text.find_first_not_of("0123456789") == std::string::npos;
    const size_t value = isWhole ? std::stoull(text) : 0;
    if (!isWhole || value < least || value > most)
      reject(std::to_string(least) + " to " + std::to_string(most), "\"" + text + "\"");
    return value;
  }

  size_t whole(size_t least, size_t most) { return whole(word("a number"), least, most); }

  void readHeading() {
    kind = oneOf({"set", "op", "case", "model", "shape"}, "set, op, case, model or shape");
    if (kind == "set") {
      sets.emplace_back();
      sets.back().ending = word("an ending of names");
      sets.back().backend = word("a backend");
      sets.back().emulated = word("a backend");
      return;
    }
    if (sets.empty()) reject("a set before", kind);
    KernelSet &set = sets.back();
    if (kind == "op") {
      set.ops.push_back({word("the name of an op"), oneOf({"bits", "bound"}, "bits or bound") == "bound", {}});
      return;
    }
    if (kind == "case" && set.ops.empty()) reject("an op before", kind);
    auto &sections = kind == "case" ? set.ops.back().cases : kind == "model" ? set.models : set.shapes;
    section = &sections.emplace_back();
    live.clear();
    if (kind == "case") section->words.push_back(std::to_string(whole(0, 100000)));
    if (kind == "shape") section->words = {word("a name"), word("what is timed")};
    section->words.push_back(kind == "case" ? sizes(word("sizes")) : word("a name"));
  }

  // T=2,O=5
  std::string sizes(const std::string &text) const {
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
      const size_t equals = part.find('=');
      if (equals == 0 || equals == std::string::npos) reject("sizes", "\"" + text + "\"");
      whole(part.substr(equals + 1), 0, MOST_NUMBERS);
    }
    return text;
  }

  void readStep() {
    const std::string verb = word("a step");
    if (verb == "end") {
      section = nullptr;
      return;
    }
    static const std::map<std::string, Verb> verbs = {
      {"buffer", Verb::BUFFER}, {"free", Verb::FREE},   {"write", Verb::WRITE},   {"zero", Verb::ZERO}, {"launch", Verb::LAUNCH},
      {"gemm", Verb::GEMM},     {"equal", Verb::EQUAL}, {"near", Verb::NEAR},     {"hash", Verb::HASH}, {"same", Verb::SAME},
      {"about", Verb::ABOUT},   {"part", Verb::PART},   {"sample", Verb::SAMPLE}, {"arm", Verb::ARM},   {"before", Verb::BEFORE},
      {"timed", Verb::TIMED},   {"then", Verb::THEN}};
    const auto found = verbs.find(verb);
    if (found == verbs.end()) reject("a step", "\"" + verb + "\"");
    Step step;
    step.verb = found->second;
    if (!belongs(step.verb)) reject("a step of such a section", verb);
    readArguments(step);
    section->steps.push_back(std::move(step));
  }

  // Cases and models compare numbers, shapes compare results.
  bool belongs(Verb verb) const {
    const bool isOfShape = verb >= Verb::SAME && verb != Verb::PART;
    const bool isOfNumbers = verb == Verb::EQUAL || verb == Verb::NEAR || verb == Verb::HASH || verb == Verb::WRITE || verb == Verb::ZERO || verb == Verb::FREE;
    if (kind == "shape") return isOfShape || !(isOfNumbers || verb == Verb::PART);
    return !isOfShape && verb != Verb::GEMM && (kind == "model" || verb != Verb::PART);
  }

  void readArguments(Step &step) {
    switch (step.verb) {
    case Verb::BUFFER: return readBuffer(step);
    case Verb::FREE: return readFree(step);
    case Verb::LAUNCH: return readLaunch(step);
    case Verb::GEMM:
    case Verb::SAMPLE: return readProduct(step);
    case Verb::WRITE:
    case Verb::EQUAL:
    case Verb::NEAR: return readCompared(step);
    case Verb::ZERO:
    case Verb::HASH:
      step.places.push_back(place(word("a place")));
      step.numbers[0] = countAt(step.places[0]);
      if (step.verb == Verb::HASH) step.word = word("64 digits");
      return;
    case Verb::SAME:
    case Verb::ABOUT:
      for (int i = 0; i < 2; i++) step.places.push_back(place(word("a place")));
      step.numbers[0] = countAt(step.places[0]);
      checkInside(step.places[1], step.numbers[0]);
      return;
    case Verb::PART: step.word = word("a name"); return;
    case Verb::ARM:
      step.word = word("a name");
      step.numbers[0] = whole(0, 100);
      step.numbers[1] = whole(0, size_t{1} << 40);
      return;
    default: return;
    }
  }

  const BufferSpec &specOf(const Place &place) const { return section->buffers[place.buffer]; }

  void readBuffer(Step &step) {
    BufferSpec spec;
    spec.name = word("a name");
    const std::string kind = word("a kind of numbers");
    const KindName *known = nullptr;
    for (const KindName &one : KINDS)
      if (kind == one.name) known = &one;
    if (!known) reject("f32, i32, bf16, f16 or i8", "\"" + kind + "\"");
    spec.kind = known->kind;
    spec.length = whole(0, MOST_NUMBERS);
    spec.shift = whole(0, 64);
    spec.copies = whole(1, MOST_COPIES);
    readFill(spec);
    if (live.count(spec.name)) reject("a name that is free", spec.name);
    live[spec.name] = section->buffers.size();
    step.places.push_back({section->buffers.size(), 0});
    section->buffers.push_back(spec);
  }

  void readFill(BufferSpec &spec) {
    static const std::map<std::string, FillKind> fills = {
      {"zeros", FillKind::ZEROS}, {"noise", FillKind::NOISE}, {"data", FillKind::DATA},     {"numbers", FillKind::NUMBERS},
      {"sizes", FillKind::SIZES}, {"ids", FillKind::IDS},     {"labels", FillKind::LABELS}, {"spread", FillKind::SPREAD},
      {"reversed", FillKind::REVERSED}};
    const std::string text = word("a fill");
    const auto found = fills.find(text);
    if (found == fills.end()) reject("a fill", "\"" + text + "\"");
    spec.fill = found->second;
    const bool isList = spec.fill >= FillKind::IDS, hasSeed = spec.fill >= FillKind::NUMBERS && spec.fill <= FillKind::LABELS;
    if (isList && spec.kind != Kind::I32) reject("i32 for " + text, "another kind");
    if (spec.fill == FillKind::SIZES && spec.kind != Kind::F32) reject("f32 for sizes", "another kind");
    if (spec.fill == FillKind::DATA) spec.first = dataOf(spec.kind, spec.length);
    if (hasSeed) spec.first = whole(0, UINT32_MAX);
    if (isList) (hasSeed ? spec.second : spec.first) = whole(spec.length > 0 ? 1 : 0, INT32_MAX);
  }

  // Where `count` numbers begin among the stored ones.
  size_t dataOf(Kind kind, size_t count) {
    const size_t start = whole(0, MOST_NUMBERS), there = bundle.countOf(kind);
    if (start > there || count > there - start) reject("data within " + std::to_string(there) + " numbers", "more");
    return start;
  }

  void readFree(Step &step) {
    const std::string name = word("a buffer");
    const auto found = live.find(name);
    if (found == live.end()) reject("a buffer that is there", name);
    step.places.push_back({found->second, 0});
    live.erase(found);
  }

  Place place(const std::string &text) const {
    const size_t plus = text.find('+');
    const auto found = text.empty() || text[0] != '@' ? live.end() : live.find(text.substr(1, plus == std::string::npos ? plus : plus - 1));
    if (found == live.end()) reject("a buffer that is there", "\"" + text + "\"");
    const Place result = {found->second, plus == std::string::npos ? 0 : whole(text.substr(plus + 1), 0, MOST_NUMBERS)};
    checkInside(result, 0);
    return result;
  }

  void checkInside(const Place &place, size_t count) const {
    const BufferSpec &spec = specOf(place);
    if (place.start > spec.length || count > spec.length - place.start)
      reject("a place within " + spec.name + ", " + std::to_string(spec.length) + " numbers", "more");
  }

  size_t countAt(const Place &place) {
    const size_t count = whole(0, MOST_NUMBERS);
    checkInside(place, count);
    return count;
  }

  void readCompared(Step &step) {
    step.places.push_back(place(word("a place")));
    const Kind kind = specOf(step.places[0]).kind;
    step.numbers[0] = countAt(step.places[0]);
    step.numbers[1] = dataOf(kind, step.numbers[0]);
    if (step.verb != Verb::NEAR) return;
    if (kind != Kind::F32) reject("f32 for near", "another kind");
    step.numbers[2] = dataOf(kind, step.numbers[0]);
  }

  void readLaunch(Step &step) {
    step.word = word("a kernel");
    const auto found = kernels.parameters.find(step.word);
    if (found == kernels.parameters.end()) reject("a kernel of the module", step.word);
    step.numbers[0] = whole(1, INT32_MAX);
    step.numbers[1] = whole(1, 1024);
    step.numbers[2] = whole(0, 1 << 20);
    for (const char kind : found->second) step.arguments.push_back(argument(kind));
  }

  Argument argument(char kind) {
    const std::string text = word("an argument");
    Argument result;
    const char mark = text[0];
    result.kind = mark == '#' ? 's' : mark == '~' ? 'f' : 'a';
    if (result.kind != kind)
      reject(kind == 's' ? "a size" : kind == 'f' ? "a float32" : "an array", "\"" + text + "\"");
    if (text == "-") result.isNone = true;
    else if (mark == '#') result.bits = static_cast<uint32_t>(whole(text.substr(1), 0, INT32_MAX));
    else if (mark == '~') result.bits = bitsOf(text.substr(1));
    else result.place = place(text);
    return result;
  }

  uint32_t bitsOf(const std::string &digits) const {
    if (digits.size() != 8 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
      reject("eight hexadecimal digits", "\"" + digits + "\"");
    return static_cast<uint32_t>(std::stoul(digits, nullptr, 16));
  }

  // Y [O], X [I] and WEIGHT [O, I] by rows or [I, O] by columns.
  void readProduct(Step &step) {
    step.word = oneOf({"rows", "columns"}, "rows or columns");
    for (int i = 0; i < 3; i++) step.places.push_back(place(word("a place")));
    const size_t O = step.numbers[0] = whole(1, 1 << 20), I = step.numbers[1] = whole(1, 1 << 20);
    checkInside(step.places[0], O);
    checkInside(step.places[1], I);
    checkInside(step.places[2], O * I);
    const Kind y = specOf(step.places[0]).kind, x = specOf(step.places[1]).kind, weight = specOf(step.places[2]).kind;
    const bool isHalf = x == Kind::F16 && y == Kind::F16 && weight == Kind::F16;
    const bool isSampled = x == Kind::F32 && y == Kind::F32 && (weight == Kind::F32 || weight == Kind::F16);
    if (step.verb == Verb::GEMM ? !isHalf : !isSampled) reject("arrays of the kinds of a product", "others");
  }
};

} // namespace certify
