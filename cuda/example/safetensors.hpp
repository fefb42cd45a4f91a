/**
 * Reads and writes safetensors: eight bytes of header length, a JSON header, then the values of every tensor.
 *
 * A small reader that believes nothing: every length is checked against what is there before memory is taken for it, the
 * header is one JSON object of tensors and texts, a name comes once, and the tensors cover the data completely, once and
 * in whole numbers. What is refused throws safetensors::Error with one line. Machines are little-endian, as the format is.
 */

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace safetensors {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A tensor and where its values lie, in bytes from the start of the data.
struct Tensor {
  std::string dtype;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Bytes of one number; 0 for a type this program does not know.
inline uint64_t sizeOf(const std::string &dtype) {
  static const std::map<std::string, uint64_t> sizes = {{"F64", 8}, {"I64", 8},  {"F32", 4}, {"I32", 4}, {"F16", 2},
                                                        {"I16", 2}, {"BF16", 2}, {"I8", 1},  {"U8", 1},  {"BOOL", 1}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

inline std::string describe(const std::string &dtype, const std::vector<int64_t> &shape) {
  std::string words = dtype + " [";
  for (size_t i = 0; i < shape.size(); i++) words += (i ? ", " : "") + std::to_string(shape[i]);
  return words + "]";
}

// The JSON of a header: objects of texts, lists of whole numbers, and further objects; nothing else has a place in it.
class HeaderReader {
public:
  HeaderReader(const char *text, size_t length, std::string file) : at(text), end(text + length), file(std::move(file)) {}

  // Calls `field` with each key of an object; it must read the value.
  template <class Field> void object(Field field) {
    expect('{');
    std::map<std::string, bool> seen;
    if (peek() != '}') {
      do {
        const std::string key = text();
        if (!seen.emplace(key, true).second) refuse("every key once, got " + key + " twice");
        expect(':');
        field(key);
      } while (skip(','));
    }
    expect('}');
  }

  std::string text() {
    expect('"');
    std::string result;
    while (at < end && *at != '"') {
      const char c = *at++;
      if (static_cast<unsigned char>(c) < 0x20) refuse("text without control marks, got one");
      result += c == '\\' ? escaped() : std::string(1, c);
    }
    if (at >= end) refuse("the end of a text, got that of the header");
    at++;
    return result;
  }

  std::vector<int64_t> numbers() {
    std::vector<int64_t> result;
    expect('[');
    if (peek() != ']') {
      do result.push_back(number());
      while (skip(','));
    }
    expect(']');
    return result;
  }

  void finish() {
    if (peek() != '\0') refuse("nothing after the header");
  }

  [[noreturn]] void refuse(const std::string &expected) { throw Error(file + " header: expected " + expected); }

private:
  const char *at;
  const char *end;
  std::string file;

  // The next mark that is not white space; 0 at the end.
  char peek() {
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
    return at < end ? *at : '\0';
  }

  bool skip(char mark) {
    if (peek() != mark) return false;
    at++;
    return true;
  }

  void expect(char mark) {
    if (!skip(mark)) refuse(std::string("\"") + mark + "\", got something else");
  }

  int64_t number() {
    if (peek() < '0' || *at > '9') refuse("a whole number, got something else");
    int64_t value = 0;
    while (at < end && *at >= '0' && *at <= '9') {
      value = value * 10 + (*at++ - '0');
      if (value > (int64_t{1} << 53)) refuse("numbers up to 2^53, got a larger one");
    }
    return value;
  }

  std::string escaped() {
    if (at >= end) refuse("a mark after a backslash, got none");
    const char c = *at++;
    const std::string plain = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    if (const size_t which = plain.find(c); which != std::string::npos) return std::string(1, meant[which]);
    if (c != 'u') refuse("an escape of JSON, got another one");
    return utf8(unit());
  }

  // Four hexadecimal digits.
  uint32_t unit() {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
      const char c = at < end ? *at++ : '\0';
      const size_t digit = std::string("0123456789abcdef").find(static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c));
      if (c == '\0' || digit == std::string::npos) refuse("four hexadecimal digits, got others");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    return value;
  }

  std::string utf8(uint32_t code) {
    if (code >= 0xd800 && code <= 0xdfff) refuse("names without surrogates, got one");
    const auto byte = [](uint32_t value) { return static_cast<char>(value); };
    if (code < 0x80) return {byte(code)};
    if (code < 0x800) return {byte(0xc0 | code >> 6), byte(0x80 | (code & 0x3f))};
    return {byte(0xe0 | code >> 12), byte(0x80 | (code >> 6 & 0x3f)), byte(0x80 | (code & 0x3f))};
  }
};

// A file in memory.
class File {
public:
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;

  explicit File(const std::string &path) : path(path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw Error(path + ": expected a file, got none");
    bytes.assign(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    if (bytes.size() < 8) throw Error(path + ": expected at least 8 bytes, got " + std::to_string(bytes.size()));
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    if (length > bytes.size() - 8) throw Error(path + ": expected a header within the file, got a longer one");
    dataStart = 8 + static_cast<size_t>(length);
    readHeader(static_cast<size_t>(length));
    checkSpans();
  }

  bool has(const std::string &name) const { return tensors.count(name) != 0; }

  // The numbers of a tensor, which must be of this type and shape.
  template <class Number>
  std::vector<Number> numbers(const std::string &name, const std::string &dtype, const std::vector<int64_t> &shape) const {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw Error(path + " " + name + ": expected " + describe(dtype, shape) + ", got none");
    const Tensor &tensor = found->second;
    if (tensor.dtype != dtype || tensor.shape != shape)
      throw Error(path + " " + name + ": expected " + describe(dtype, shape) + ", got " +
                  describe(tensor.dtype, tensor.shape));
    std::vector<Number> values((tensor.end - tensor.begin) / sizeof(Number));
    if (!values.empty()) std::memcpy(values.data(), bytes.data() + dataStart + tensor.begin, tensor.end - tensor.begin);
    return values;
  }

private:
  std::string path;
  std::vector<char> bytes;
  size_t dataStart = 0;

  void readHeader(size_t length) {
    HeaderReader reader(bytes.data() + 8, length, path);
    reader.object([&](const std::string &name) {
      if (name == "__metadata__") reader.object([&](const std::string &key) { metadata[key] = reader.text(); });
      else tensors[name] = readTensor(reader);
    });
    reader.finish();
  }

  Tensor readTensor(HeaderReader &reader) {
    Tensor tensor;
    std::vector<int64_t> offsets;
    int fields = 0;
    reader.object([&](const std::string &field) {
      fields++;
      if (field == "dtype") tensor.dtype = reader.text();
      else if (field == "shape") tensor.shape = reader.numbers();
      else if (field == "data_offsets") offsets = reader.numbers();
      else reader.refuse("dtype, shape and data_offsets, got " + field);
    });
    if (fields != 3 || offsets.size() != 2) reader.refuse("dtype, shape and data_offsets [begin, end]");
    if (sizeOf(tensor.dtype) == 0) reader.refuse("a known type, got " + tensor.dtype);
    tensor.begin = static_cast<uint64_t>(offsets[0]);
    tensor.end = static_cast<uint64_t>(offsets[1]);
    if (tensor.begin > tensor.end || tensor.end - tensor.begin != byteLength(reader, tensor))
      reader.refuse("offsets that fit " + describe(tensor.dtype, tensor.shape));
    return tensor;
  }

  // Bytes of a tensor. A size past 2^53 is refused even where another dimension is 0.
  static uint64_t byteLength(HeaderReader &reader, const Tensor &tensor) {
    uint64_t length = sizeOf(tensor.dtype);
    bool isEmpty = false;
    for (const int64_t size : tensor.shape) {
      isEmpty = isEmpty || size == 0;
      if (size == 0) continue;
      if (length > (uint64_t{1} << 53) / static_cast<uint64_t>(size)) reader.refuse("sizes that can be, got larger ones");
      length *= static_cast<uint64_t>(size);
    }
    return isEmpty ? 0 : length;
  }

  // Every byte of the data belongs to exactly one tensor.
  void checkSpans() const {
    std::vector<std::pair<uint64_t, uint64_t>> spans;
    for (const auto &[name, tensor] : tensors) spans.emplace_back(tensor.begin, tensor.end);
    std::sort(spans.begin(), spans.end());
    uint64_t covered = 0;
    for (const auto &[begin, end] : spans) {
      if (begin != covered) throw Error(path + ": expected tensors one after the other, got a gap or an overlap");
      covered = end;
    }
    if (covered != bytes.size() - dataStart) throw Error(path + ": expected the tensors to fill the file, got other bytes");
  }
};

// A tensor to be written; its numbers are the bytes.
struct Output {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

// Writes a file of tensors. Names hold nothing that JSON would escape. Those of wider numbers come first, so that each
// lies where numbers of its width may, and the header is filled up to a multiple of eight.
inline void write(const std::string &path, std::vector<Output> outputs) {
  std::stable_sort(outputs.begin(), outputs.end(),
                   [](const Output &a, const Output &b) { return sizeOf(a.dtype) > sizeOf(b.dtype); });
  std::string header = "{";
  uint64_t end = 0;
  for (const Output &output : outputs) {
    const uint64_t begin = end;
    end += output.bytes.size();
    std::string shape;
    for (const int64_t size : output.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    header += (header.size() > 1 ? "," : "") + std::string("\"") + output.name + "\":{\"dtype\":\"" + output.dtype +
              "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  const uint64_t length = header.size();
  stream.write(reinterpret_cast<const char *>(&length), 8);
  stream.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const Output &output : outputs) stream.write(output.bytes.data(), static_cast<std::streamsize>(output.bytes.size()));
  stream.close();
  if (!stream) throw Error(path + ": expected a file that can be written, got an error");
}

} // namespace safetensors
