/**
 * The storages of weight matrices, listed once.
 */
import type { BufferScope } from '../../backends/buffer_scope.ts'
import { valuesOf } from '../../backends/calls.ts'
import { nameOption, type NameOption } from '../../tensor/option.ts'
import type { TensorSource } from '../../tensor/tensor_source.ts'
import { bfloat16 } from './bfloat16.ts'
import { float16 } from './float16.ts'
import { float32 } from './float32.ts'
import { int4 } from './int4.ts'
import { int8 } from './int8.ts'
import type { Matrix, StorageRecord } from './storage.ts'

export type { Matrix } from './storage.ts'

/** The names of all of them. */
export const storages = [
  /** Float32. */
  'f32',
  /** The upper half of a float32: 8 bits of exponent, 7 of fraction. */
  'bf16',
  /** Half precision: 5 bits of exponent, 10 of fraction. */
  'f16',
  /** Whole numbers of 8 bits with scales. Activations are rounded too. */
  'int8',
  /** Whole numbers of 4 bits in blocks with scales. Activations are rounded too. */
  'int4',
] as const

/** The storages of weights. */
export type Storage = (typeof storages)[number]
export const storageOption: NameOption<Storage> = nameOption('STORAGE', storages)

/** What `file` chooses, in words. */
export const fileStorageWords = 'int4 for a GGUF file of Q4_0 or Q4_1, which it holds as it is, else f32'
/** A storage, or `file`: that of the blocks of the file, if it has matrices in such blocks, else f32. */
export type StorageChoice = Storage | 'file'
export const storageChoiceOption: NameOption<StorageChoice> = nameOption('STORAGE', [...storages, 'file'])

const records: { readonly [Name in Storage]: StorageRecord<Name> } = {
  f32: float32,
  bf16: bfloat16,
  f16: float16,
  int8,
  int4,
}

/** A storage by its name. */
export function storageNamed(name: Storage): StorageRecord {
  return records[name]
}

/**
 * The storage that is chosen for the weights of a file. Blocks of Q4_0 and Q4_1 are those of int4; a file counts as one of them if
 * it has all matrices of its layers in such blocks.
 */
export function chosenStorage(choice: StorageChoice, { tensors }: Pick<TensorSource, 'tensors'>): Storage {
  if (choice !== 'file') return choice
  const matrices = [...tensors.values()].filter(
    ({ name, shape }) => name.includes('.layers.') && shape.length === 2,
  )
  const areInt4 = matrices.every(({ stored }) => stored && ['Q4_0', 'Q4_1'].includes(stored.type))
  return matrices.length > 0 && areInt4 ? 'int4' : 'f32'
}

/** A storage of matrices of this element type, which tells how to read one; storages that share a type hold a matrix alike. */
export function storageIn(matrix: Matrix): StorageRecord {
  const { dtype } = valuesOf(matrix)
  return Object.values<StorageRecord>(records).find((record) => record.dtype === dtype) as StorageRecord
}

/** A matrix of these numbers that lives as long as the scope. @param values [rows, columns], finite */
export function matrixOf(
  scope: BufferScope,
  storage: Storage,
  values: Float32Array,
  rows: number,
  columns: number,
): Matrix {
  const builder = storageNamed(storage).builder(scope, [rows, columns], false)
  builder.add({ start: 0, values })
  return builder.build()
}
