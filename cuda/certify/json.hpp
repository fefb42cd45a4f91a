/**
 * JSON, written: as much of it as a certificate takes. Numbers that are not finite become null, which JSON has instead.
 */

#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace certify {

class Json {
public:
  static std::string text(const std::string &value) {
    std::string result = "\"";
    for (const char c : value) {
      char escape[8];
      if (c == '"' || c == '\\') result += std::string("\\") + c;
      else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
        std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        result += escape;
      } else result += c;
    }
    return result + "\"";
  }

  static std::string number(double value) {
    if (!std::isfinite(value)) return "null";
    char digits[40];
    for (int precision = 6; precision <= 17; precision++) {
      std::snprintf(digits, sizeof digits, "%.*g", precision, value);
      if (std::strtod(digits, nullptr) == value) break;
    }
    return digits;
  }

  static std::string number(const std::optional<double> &value) { return value ? number(*value) : "null"; }
  static std::string whole(size_t value) { return std::to_string(value); }
  static std::string flag(bool value) { return value ? "true" : "false"; }

  static std::string list(const std::vector<std::string> &values) { return wrap('[', values, ']'); }

  // Fields: name, value as JSON, name, value, ...
  static std::string object(const std::vector<std::string> &fields) {
    std::vector<std::string> values;
    for (size_t i = 0; i + 1 < fields.size(); i += 2) values.push_back(text(fields[i]) + ": " + fields[i + 1]);
    return wrap('{', values, '}');
  }

private:
  static std::string wrap(char open, const std::vector<std::string> &values, char close) {
    std::string result(1, open);
    for (size_t i = 0; i < values.size(); i++) result += (i ? ",\n" : "\n") + indented(values[i]);
    return result + (values.empty() ? "" : "\n") + close;
  }

  static std::string indented(const std::string &value) {
    std::string result = "  ";
    for (const char c : value) result += c == '\n' ? std::string("\n  ") : std::string(1, c);
    return result;
  }
};

} // namespace certify
