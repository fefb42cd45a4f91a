/**
 * The one family of errors this project raises on purpose.
 *
 * A message is one line, "name: expected X, got Y". `code` is stable and documented; `exitCode` is what the
 * command line ends with. Anything that is not one of these is a bug.
 */

/** Where an error was seen. */
export interface ErrorDetails {
  /** Where in the file the fault was seen, in bytes from its start. */
  byteOffset?: number
  /** The tensor the fault belongs to. */
  tensor?: string
  /** The error underneath, if any. */
  cause?: unknown
}

/** Base of all errors of this project. */
export class ShadowError extends Error {
  readonly code: string
  readonly exitCode: number
  readonly byteOffset: number | undefined
  readonly tensor: string | undefined

  constructor(code: string, message: string, exitCode: number, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.exitCode = exitCode
    this.byteOffset = details.byteOffset
    this.tensor = details.tensor
  }
}

/** A wrong argument, flag or option: exit code 2. */
export class UsageError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 2, details)
  }
}

/** A file or a tensor that is refused: exit code 3. */
export class InputError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 3, details)
  }
}

/** A backend, device or runtime feature that is not here: exit code 4. */
export class MissingError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 4, details)
  }
}

/** The hub, the way to it, or the cache of what came from it: exit code 5. */
export class HubError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 5, details)
  }
}
