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

/** Base of all errors of this project. [The list of error codes](site:reference/documents/errors.html) has each with its class, its exit code and its messages. */
export class ShadowError extends Error {
  /** What went wrong, such as `SPARSITY`: stable and documented. */
  readonly code: string
  /** What a command ends with. */
  readonly exitCode: number
  // What is not known of an error is no property of it, and is not printed with it.
  /** Its position in the file, in bytes from the start. */
  declare readonly byteOffset: number | undefined
  /** The tensor concerned. */
  declare readonly tensor: string | undefined
  /** The option, flag or field at fault, by the name that it was given. */
  declare readonly option: string | undefined

  /**
   * @param code stable, such as `SPARSITY`
   * @param message one line, `name: expected X, got Y`
   * @param exitCode of the command that ends with it
   */
  constructor(code: string, message: string, exitCode: number, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.exitCode = exitCode
    if (details.byteOffset !== undefined) this.byteOffset = details.byteOffset
    if (details.tensor !== undefined) this.tensor = details.tensor
    if (details.option !== undefined) this.option = details.option
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
