/**
 * The part of a backend that is not its kernels: reads the cases of "shadowllm parity export-ops", has them computed, and
 * writes what "shadowllm parity check-ops" compares.
 */

#pragma once

#include "safetensors.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

// Kernels with the parameters of the catalogue: outputs, inputs, scalars, sizes. Matrices are row-major; a bias or a list
// may be null, and then all units are meant; a list of key heads is always there.
struct Kernels {
  void (*linear)(float *y, const float *x, const float *weight, const float *bias, const int *rows, int T, int O, int I, int R);
  void (*relu)(float *y, const float *x, int N);
  void (*linear_input_major)(float *y, const float *x, const float *weight, const float *bias, const int *inputs, int T,
                             int O, int I, int R);
  void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, float epsilon, int T, int D);
  void (*attention)(float *y, const float *query, const float *key, const float *value, const int *heads,
                    const int *keyHeads, float scale, float cap, int T, int S, int W, int C, int H, int G, int K,
                    int R);
};

// One case of an op's file.
class Case {
public:
  Case(const safetensors::File &file, int index) : file(file), prefix(std::to_string(index) + ".") {}

  int size(const char *letter) const {
    const std::string &text = metadata(letter);
    if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos)
      throw safetensors::Error(prefix + letter + ": expected a size, got " + text);
    return std::atoi(text.c_str());
  }

  float scalar(const char *name) const { return std::strtof(metadata(name).c_str(), nullptr); }

  std::vector<float> floats(const char *name, const std::vector<int64_t> &shape) const {
    return file.numbers<float>(prefix + "in." + name, "F32", shape);
  }

  bool has(const char *name) const { return file.has(prefix + "in." + name); }

  // Indices, each below `limit`.
  std::vector<int> list(const char *name, int length, int limit) const {
    std::vector<int> values = file.numbers<int>(prefix + "in." + name, "I32", {length});
    values.reserve(1); // an empty list chooses nothing, a null pointer everything
    for (const int value : values)
      if (value < 0 || value >= limit)
        throw safetensors::Error(prefix + name + ": expected indices below " + std::to_string(limit) + ", got " +
                                 std::to_string(value));
    return values;
  }

  void answer(const char *name, const std::vector<int64_t> &shape, const std::vector<float> &values) {
    const char *first = reinterpret_cast<const char *>(values.data());
    outputs.push_back({prefix + "out." + name, "F32", shape, std::vector<char>(first, first + 4 * values.size())});
  }

  std::vector<safetensors::Output> outputs;

private:
  const safetensors::File &file;
  std::string prefix;

  const std::string &metadata(const char *name) const {
    const auto found = file.metadata.find(prefix + name);
    if (found == file.metadata.end()) throw safetensors::Error(prefix + name + ": expected a number, got none");
    return found->second;
  }
};

inline size_t count(int64_t a, int64_t b = 1, int64_t c = 1) { return static_cast<size_t>(a * b * c); }

inline void answerLinear(Case &one, const Kernels &kernels) {
  const int T = one.size("T"), O = one.size("O"), I = one.size("I"), R = one.size("R");
  const auto x = one.floats("x", {T, I}), weight = one.floats("weight", {O, I});
  const auto bias = one.has("bias") ? one.floats("bias", {O}) : std::vector<float>();
  const auto rows = one.has("rows") ? one.list("rows", R, O) : std::vector<int>();
  std::vector<float> y(count(T, O));
  kernels.linear(y.data(), x.data(), weight.data(), one.has("bias") ? bias.data() : nullptr,
                 one.has("rows") ? rows.data() : nullptr, T, O, I, R);
  one.answer("y", {T, O}, y);
}

inline void answerRelu(Case &one, const Kernels &kernels) {
  const int N = one.size("N");
  const auto x = one.floats("x", {N});
  std::vector<float> y(count(N));
  kernels.relu(y.data(), x.data(), N);
  one.answer("y", {N}, y);
}

inline void answerLinearInputMajor(Case &one, const Kernels &kernels) {
  const int T = one.size("T"), O = one.size("O"), I = one.size("I"), R = one.size("R");
  const auto x = one.floats("x", {T, I}), weight = one.floats("weight", {I, O});
  const auto bias = one.has("bias") ? one.floats("bias", {O}) : std::vector<float>();
  const auto inputs = one.has("inputs") ? one.list("inputs", R, I) : std::vector<int>();
  std::vector<float> y(count(T, O));
  kernels.linear_input_major(y.data(), x.data(), weight.data(), one.has("bias") ? bias.data() : nullptr,
                             one.has("inputs") ? inputs.data() : nullptr, T, O, I, R);
  one.answer("y", {T, O}, y);
}

inline void answerLayerNorm(Case &one, const Kernels &kernels) {
  const int T = one.size("T"), D = one.size("D");
  const auto x = one.floats("x", {T, D}), weight = one.floats("weight", {D}), bias = one.floats("bias", {D});
  std::vector<float> y(count(T, D));
  kernels.layer_norm(y.data(), x.data(), weight.data(), bias.data(), one.scalar("epsilon"), T, D);
  one.answer("y", {T, D}, y);
}

inline void answerAttention(Case &one, const Kernels &kernels) {
  const int T = one.size("T"), S = one.size("S"), C = one.size("C"), H = one.size("H"), G = one.size("G");
  const int K = one.size("K"), R = one.size("R"), W = one.size("W");
  if (S < T || C < S || W < 1) throw safetensors::Error("attention: expected T <= S <= C and 1 <= W, got others");
  const auto query = one.floats("query", {T, H, K}), key = one.floats("key", {G, C, K}), value = one.floats("value", {G, C, K});
  const auto heads = one.has("heads") ? one.list("heads", R, H) : std::vector<int>();
  // Without a list neighbours share a key head.
  auto keyHeads = one.has("key_heads") ? one.list("key_heads", H, G) : std::vector<int>(count(H));
  if (!one.has("key_heads"))
    for (int h = 0; h < H; h++) keyHeads[h] = static_cast<int>(static_cast<int64_t>(h) * G / H);
  std::vector<float> y(count(T, H, K));
  kernels.attention(y.data(), query.data(), key.data(), value.data(), one.has("heads") ? heads.data() : nullptr,
                    keyHeads.data(), one.scalar("scale"), one.scalar("cap"), T, S, W, C, H, G, K, R);
  one.answer("y", {T, H, K}, y);
}

// Answers every op that is asked and known here. Exit codes: 0 done, 2 usage, 3 a file was refused, 4 no device or no room.
inline int answerAll(int argc, char **argv, const Kernels &kernels) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s EXPECTED_FOLDER ACTUAL_FOLDER\n", argc > 0 ? argv[0] : "sparse_ffn");
    return 2;
  }
  const std::pair<const char *, void (*)(Case &, const Kernels &)> ops[] = {{"linear", answerLinear},
                                                                            {"relu", answerRelu},
                                                                            {"linear_input_major", answerLinearInputMajor},
                                                                            {"layer_norm", answerLayerNorm},
                                                                            {"attention", answerAttention}};
  try {
    std::filesystem::create_directories(argv[2]);
    for (const auto &[op, answer] : ops) {
      const std::string name = std::string("/") + op + ".safetensors";
      if (!std::filesystem::exists(argv[1] + name)) continue;
      const safetensors::File file(argv[1] + name);
      const auto cases = file.metadata.find("cases");
      const long total = cases == file.metadata.end() ? 0 : std::strtol(cases->second.c_str(), nullptr, 10);
      if (total < 1 || total > 10000) throw safetensors::Error(argv[1] + name + ": expected 1 to 10000 cases, got others");
      std::vector<safetensors::Output> outputs;
      for (int index = 0; index < total; index++) {
        Case one(file, index);
        answer(one, kernels);
        for (auto &output : one.outputs) outputs.push_back(std::move(output));
      }
      safetensors::write(argv[2] + name, std::move(outputs));
      std::printf("%s: %ld cases\n", op, total);
    }
    return 0;
  } catch (const safetensors::Error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 4;
  }
}
