/**
 * The errors that this project throws on purpose.
 *
 * A message is one line, "name: expected X, got Y". `code` is stable and documented; `exitCode` is what the
 * command line ends with. Any other error is a bug.
 */

/** The place of an error. */
export interface ErrorDetails {
  /** The position in the file, in bytes from its start. */
  byteOffset?: number
  /** The tensor concerned. */
  tensor?: string
  /** The option, flag or field at fault, by the name that it was given. */
  option?: string
  /** The underlying error, if any. */
  cause?: unknown
}

/** Base of all errors of this project. */
export class ShadowError extends Error {
  readonly code: string
  readonly exitCode: number
  readonly byteOffset: number | undefined
  readonly tensor: string | undefined
  readonly option: string | undefined

  constructor(code: string, message: string, exitCode: number, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.exitCode = exitCode
    this.byteOffset = details.byteOffset
    this.tensor = details.tensor
    this.option = details.option
  }
}

/** A wrong argument, flag or option: exit code 2. */
export class UsageError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 2, details)
  }
}

/** An invalid file or tensor: exit code 3. */
export class InputError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 3, details)
  }
}

/** A missing backend, device or runtime feature: exit code 4. */
export class MissingError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 4, details)
  }
}

/** A failure of the hub, of the network, or of the cache: exit code 5. */
export class HubError extends ShadowError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super(code, message, 5, details)
  }
}
