/**
 * Tensors called "x" with any bytes, and the files of torch that hold one.
 */
import fc from 'fast-check'
import { elementSize } from '../../src/tensor/dtypes.ts'
import { dict, P, pickle, sizes, storage, tensor, torchFile } from '../../fixtures/hostile/build_torch.ts'

/** How torch names the storage of an element type. */
export const storageTypes = {
  F64: 'DoubleStorage',
  F32: 'FloatStorage',
  F16: 'HalfStorage',
  BF16: 'BFloat16Storage',
  I64: 'LongStorage',
  U8: 'ByteStorage',
  BOOL: 'BoolStorage',
} as const

/** A tensor, as bytes of some element type. */
export interface Sample {
  readonly dtype: keyof typeof storageTypes
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

const product = (shape: readonly number[]): number => shape.reduce((count, size) => count * size, 1)

/** Any tensor of one of these element types, of up to three dimensions, empty ones too. */
export function sampleOf(...dtypes: Sample['dtype'][]): fc.Arbitrary<Sample> {
  return fc
    .record({ dtype: fc.constantFrom(...dtypes), shape: fc.array(fc.nat(5), { maxLength: 3 }) })
    .chain(({ dtype, shape }) => {
      const length = product(shape) * elementSize(dtype)
      return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ dtype, shape, data }))
    })
}

/** Strides of numbers that follow each other, the last dimension first. */
export const rowMajor = (shape: readonly number[]): number[] =>
  shape.map((_, i) => product(shape.slice(i + 1)))
/** The same, the first dimension first. */
export const columnMajor = (shape: readonly number[]): number[] =>
  shape.map((_, i) => product(shape.slice(0, i)))

/** A torch file with a sample, which has so many other values of its storage before it and after it, all bytes 0x55. */
export function torchOf(
  { dtype, shape, data }: Sample,
  [before, after]: readonly [number, number],
  stridesOf = rowMajor,
): Uint8Array {
  const size = elementSize(dtype)
  const stored = new Uint8Array(data.length + (before + after) * size).fill(0x55)
  stored.set(data, before * size)
  const from = storage(storageTypes[dtype], '0', P.int(stored.length / size))
  const x = tensor(from, P.int(before), sizes(...shape), sizes(...stridesOf(shape)))
  return torchFile(pickle(dict([P.text('x'), x])), { 0: stored }).bytes
}
