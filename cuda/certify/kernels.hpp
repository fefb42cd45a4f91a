/**
 * The module of kernels: its text, its hash, and what each kernel takes. A launch hands a driver as many addresses as the
 * kernel has parameters, so their number and their kinds are looked up before.
 */

#pragma once

#include "errors.hpp"
#include "sha256.hpp"

#include <fstream>
#include <iterator>
#include <map>
#include <string>

namespace certify {

inline std::string readText(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) refuse(path, "a file", "none");
  return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
}

class KernelModule {
public:
  std::string text;
  std::string hash;
  // Parameters by the name of a kernel: 'a' an address, 's' a size, 'f' a float32.
  std::map<std::string, std::string> parameters;

  explicit KernelModule(const std::string &path) : text(readText(path)), hash(sha256(text)) {
    static const std::string entry = ".visible .entry ";
    for (size_t at = text.find(entry); at != std::string::npos; at = text.find(entry, at)) {
      at += entry.size();
      const size_t open = text.find('(', at), close = text.find(')', at);
      if (open == std::string::npos || close == std::string::npos || open > close) refuse(path, "kernels with parameters", "other text");
      parameters[text.substr(at, open - at)] = kindsIn(path, text.substr(open, close - open));
    }
    if (parameters.empty()) refuse(path, "a module of kernels in PTX", "text without any");
  }

private:
  static std::string kindsIn(const std::string &path, const std::string &list) {
    static const std::string mark = ".param .";
    static const std::map<std::string, char> kinds = {{"u64", 'a'}, {"u32", 's'}, {"f32", 'f'}};
    std::string result;
    for (size_t at = list.find(mark); at != std::string::npos; at = list.find(mark, at)) {
      at += mark.size();
      const auto found = kinds.find(list.substr(at, 3));
      if (found == kinds.end()) refuse(path, "parameters u64, u32 and f32", list.substr(at, 3));
      result += found->second;
    }
    return result;
  }
};

} // namespace certify
