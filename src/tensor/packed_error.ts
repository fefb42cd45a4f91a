/**
 * Errors as data, for messages between threads.
 */
import { isObject } from './arguments.ts'
import { HubError, InputError, MissingError, ShadowError, UsageError } from './errors.ts'

/** An error as data. The exit code tells its class: minified code does not keep the names of classes. */
export interface PackedError {
  readonly message: string
  readonly name?: string
  readonly code?: string
  readonly exitCode?: number
  readonly option?: string
}

/** A thrown error, as data. */
export function packError(error: unknown): PackedError {
  if (error instanceof ShadowError) {
    const { message, code, exitCode, option } = error
    return { message, code, exitCode, ...(option !== undefined && { option }) }
  }
  return error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: 'Error', message: String(error) }
}

/** By exit code, as in errors.ts. */
const families = new Map([
  [2, UsageError],
  [3, InputError],
  [4, MissingError],
  [5, HubError],
])

/** The error, of its class. Data that is no error becomes an error that says so. */
export function unpackError(data: unknown): Error {
  const packed = (isObject(data) ? data : {}) as Partial<Record<keyof PackedError, unknown>>
  const { name, message, code, exitCode, option: given } = packed
  if (typeof message !== 'string') return new Error('the other thread failed without a message')
  if (typeof code === 'string' && typeof exitCode === 'number') {
    const Family = families.get(exitCode)
    const details = { option: typeof given === 'string' ? given : undefined }
    return Family ? new Family(code, message, details) : new ShadowError(code, message, exitCode, details)
  }
  const error = new Error(message)
  if (typeof name === 'string') error.name = name
  return error
}
