/**
 * A bundle: a program and the numbers it is done with, in a file that says its own SHA-256 (scripts/cuda/certify writes it).
 *
 * Nothing of it is believed before that hash was found right. It is a hash and no signature: what a wrong program with a
 * right hash could do is bounded by program.hpp.
 */

#pragma once

#include "../example/safetensors.hpp"
#include "errors.hpp"
#include "kernels.hpp"
#include "numbers.hpp"
#include "sha256.hpp"

#include <map>
#include <string>
#include <vector>

namespace certify {

inline const std::string BUNDLE_FORMAT = "shadowllm-cuda-certify 1";

class Bundle {
public:
  std::string path;
  std::string hash;
  std::string version;
  // What the expected numbers are of, and for which module they are.
  std::string definitions;
  std::string kernels;
  std::string program;
  // The numbers of each kind, as they are stored.
  std::map<Kind, std::vector<char>> pools;

  explicit Bundle(const std::string &path) : path(path) {
    checkSeal();
    const safetensors::File file(path);
    if (said(file, "format") != BUNDLE_FORMAT) refuse(path + " format", BUNDLE_FORMAT, "\"" + said(file, "format") + "\"");
    version = said(file, "version");
    definitions = said(file, "definitions");
    kernels = said(file, "kernels");
    const std::vector<char> text = bytesOf(file, "program", "U8");
    program.assign(text.begin(), text.end());
    for (const auto &[kind, name, stored, width] : KINDS)
      if (file.has(name)) pools[kind] = bytesOf(file, name, stored);
  }

  // How many numbers of a kind there are.
  size_t countOf(Kind kind) const {
    const auto found = pools.find(kind);
    return found == pools.end() ? 0 : found->second.size() / widthOf(kind);
  }

  // Where the numbers from `start` on lie.
  const char *numbers(Kind kind, size_t start) const {
    const auto found = pools.find(kind);
    return found == pools.end() ? nullptr : found->second.data() + start * widthOf(kind);
  }

private:
  static std::string said(const safetensors::File &file, const std::string &key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? "" : found->second;
  }

  static std::vector<char> bytesOf(const safetensors::File &file, const std::string &name, const std::string &dtype) {
    const auto found = file.tensors.find(name);
    return file.numbers<char>(name, dtype, found == file.tensors.end() ? std::vector<int64_t>{} : found->second.shape);
  }

  // The hash stands first in the header, and is of the file in which its 64 digits are zeros.
  void checkSeal() {
    static const std::string mark = "{\"__metadata__\":{\"sha256\":\"";
    std::string bytes = readText(path);
    const size_t place = 8 + mark.size();
    if (bytes.size() < place + 64) refuse(path, "a bundle of cases", std::to_string(bytes.size()) + " bytes");
    if (bytes.compare(8, mark.size(), mark) != 0) refuse(path, "a bundle of cases, its hash first", "another file");
    hash = bytes.substr(place, 64);
    bytes.replace(place, 64, 64, '0');
    if (sha256(bytes) != hash) refuse(path, "the bytes that its hash is of", "others: the file is damaged");
  }
};

} // namespace certify
