/**
 * Files nobody should trust, made to order, and how the laws judge what a reader does with them.
 *
 * A reader has two ways to answer: the tensors, or an InputError. Anything else (a RangeError, a TypeError, a hang)
 * is a bug in the reader, whatever the file.
 */
import { expect } from 'vitest'
import { bytesAsFile } from '../../src/io/files.ts'
import { readTorchCheckpoint } from '../../src/io/torch_checkpoint.ts'
import { decodeFloats } from '../../src/tensor/dtypes.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { rowsOf, type RawTensorSource, type TensorSource } from '../../src/tensor/tensor_source.ts'
import { joined } from '../../fixtures/hostile/bytes.ts'
import { sameBits } from '../../src/verify/compare.ts'

/** A torch checkpoint in memory. */
export function parseTorch(bytes: Uint8Array, name = 'checkpoint'): Promise<RawTensorSource> {
  return readTorchCheckpoint(bytesAsFile(bytes), name)
}

/** The InputError an action ends with. Fails if it ends well, or with any other error. */
export async function refusalOf(action: () => unknown): Promise<InputError> {
  try {
    await action()
  } catch (error) {
    if (error instanceof InputError) return judgeMessage(error)
    throw error
  }
  throw new Error('expected an InputError, but the input was accepted')
}

function judgeMessage(error: InputError): InputError {
  expect(error.message).toMatch(/: expected /)
  expect(error.message).not.toMatch(/\p{Cc}/u) // one line, and no terminal escapes out of a file
  expect(error.message.length).toBeLessThan(1000)
  expect(error.code).toMatch(/^[A-Z][A-Z0-9_]+$/)
  expect(error.exitCode).toBe(3)
  return error
}

/** What an action answers: its value, or its InputError. Any other error passes through. */
export async function answerOf<T>(action: () => T | Promise<T>): Promise<T | InputError> {
  try {
    return await action()
  } catch (error) {
    if (error instanceof InputError) return judgeMessage(error)
    throw error
  }
}

/** Everything a source says, as one comparable value. */
export interface Contents {
  metadata: [string, string][]
  tensors: { name: string; dtype: string; shape: readonly number[]; bytes: Uint8Array }[]
}

/**
 * Reads a source completely and closes it. Every tensor is streamed as well, and floats are read in two parts, which must
 * be what the bytes say: what holds of files read whole is so put to the test for streams and rows.
 */
export async function contentsOf(opened: RawTensorSource | Promise<RawTensorSource>): Promise<Contents> {
  const source = await opened
  try {
    const tensors: Contents['tensors'] = []
    for (const { name, dtype, shape } of source.tensors.values()) {
      const streamed = await streamedBytes(source, name, 5)
      const parts = /^B?F\d/.test(dtype) ? await inTwoParts(source, name, shape) : null
      const bytes = await source.readRaw(name)
      expect(streamed, name).toEqual(bytes)
      if (parts) sameBits(name, parts, decodeFloats(dtype, bytes, name))
      tensors.push({ name, dtype, shape, bytes })
    }
    return { metadata: [...source.metadata], tensors }
  } finally {
    await source.close()
  }
}

/** The bytes of a tensor as its stream gives them, in parts of about a length. */
export async function streamedBytes(
  source: TensorSource,
  name: string,
  partLength: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  for await (const { bytes } of source.stream(name, partLength)) parts.push(bytes.slice())
  return joined(parts)
}

/** All rows, the later ones first. */
async function inTwoParts(
  source: TensorSource,
  name: string,
  shape: readonly number[],
): Promise<Float32Array> {
  const { rows, columns } = rowsOf(shape)
  const middle = Math.ceil(rows / 2)
  const values = new Float32Array(rows * columns)
  values.set(await source.readRows(name, middle, rows - middle), middle * columns)
  values.set(await source.readRows(name, 0, middle))
  return values
}

/**
 * The values a byte is replaced by in laws about damage: each bit flipped, and the characters that mean something
 * in JSON, pickles and sizes. SHADOWLLM_RUNS of 10 or more tries all 255.
 */
export function damagedValues(value: number, all: boolean): number[] {
  if (all) return Array.from({ length: 256 }, (_, i) => i).filter((other) => other !== value)
  const marks = [...'"{}[],:\\0129-.eF '].map((mark) => mark.charCodeAt(0))
  const others = new Set([...Array.from({ length: 8 }, (_, bit) => value ^ (1 << bit)), ...marks, 0, 255])
  others.delete(value)
  return [...others]
}

/** The same bytes with one of them replaced. */
export function withByte(bytes: Uint8Array, index: number, value: number): Uint8Array<ArrayBuffer> {
  const changed = new Uint8Array(bytes)
  changed[index] = value
  return changed
}
