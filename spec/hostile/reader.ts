/**
 * A reader under test: bytes in, and out comes something or a typed error. Whatever the bytes are, anything else is a
 * bug: another exception, a hang, memory that the file's size does not explain, a changed prototype, two answers.
 */
import type { Random } from '../../src/tensor/random.ts'

/** See the head of this file. */
export interface Reader {
  readonly name: string
  /** Everything the bytes say, as plain data. @param folder a place of its own for files */
  read(bytes: Uint8Array, folder: string): Promise<unknown>
  /** Right files, small ones, from which wrong ones are made. */
  valid(): Promise<Uint8Array[]>
  /** Words of the format, put into files at random. */
  readonly words?: readonly string[]
  /** The codes of wrong use (exit code 2) that it may answer with too. */
  readonly usage?: readonly string[]
  /** Whether a file that is cut off may still be read, as with lines of JSON. */
  readonly readsPrefixes?: boolean
  /** Makes lengths and checksums right again in a file that was changed. */
  readonly repair?: (bytes: Uint8Array, random: Random) => Uint8Array | Promise<Uint8Array>
}
