/**
 * How certify ends when it cannot do what it was asked: one line, and the exit code that says whose fault it was.
 */

#pragma once

#include <stdexcept>
#include <string>

namespace certify {

enum ExitCode { DONE = 0, FAILED = 1, USAGE = 2, REFUSED = 3, MISSING = 4 };

struct Error : std::runtime_error {
  ExitCode code;
  Error(ExitCode code, const std::string &what) : std::runtime_error(what), code(code) {}
};

// A call of the driver that failed. A device does nothing more after a kernel has failed.
struct CallError : Error {
  explicit CallError(const std::string &what) : Error(MISSING, what) {}
};

// The device has no room for a buffer.
struct NoRoom : Error {
  explicit NoRoom(const std::string &what) : Error(MISSING, what) {}
};

[[noreturn]] inline void refuse(const std::string &subject, const std::string &expected, const std::string &got) {
  throw Error(REFUSED, subject + ": expected " + expected + ", got " + got);
}

} // namespace certify
