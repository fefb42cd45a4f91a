/**
 * Bugs planted in how weights are held: packed, rounded, spread over several backends. mutants.spec.ts plants them.
 */
import type { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { wrongBackend, wrongBegin, wrongOps, type Mutant } from './plant.ts'
import type { sequenceLaws } from '../../src/verify/model/sequence_laws.ts'
import type { storageLaws } from '../../src/verify/model/storage_laws.ts'

type LawName = keyof typeof engineLaws | keyof typeof sequenceLaws | keyof typeof storageLaws

/** The mutants of this page. */
export const holdingMutants: readonly Mutant<LawName>[] = [
  {
    bug: 'the past is kept as float32 whatever weights are stored as',
    plant: wrongBegin((right) => (options) => right({ ...options, cache: options?.cache ?? 'f32' })),
    breaks: ['pastFollowsWeights'],
  },
  {
    bug: 'packing copies the row after the one that is wanted',
    plant: wrongOps((right, backend) => ({
      copy_rows(y, x, slots, rows, S, O, I, R) {
        const next = backend.upload(backend.readI32(rows).map((row) => Math.min(row + 1, O - 1)))
        right.copy_rows(y, x, slots, next, S, O, I, R)
        backend.free(next)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  {
    bug: 'packed rows that changed their places are added in the order they stand in',
    plant: wrongOps((right) => ({
      linear_input_major(y, x, weight, bias, inputs, T, O, I, R) {
        const packed = inputs !== null && R === I
        right.linear_input_major(y, x, weight, bias, packed ? null : inputs, T, O, I, R)
      },
    })),
    breaks: ['engineSchedule', 'anyRun'],
  },
  {
    bug: 'half precision is cut off, not rounded',
    plant: wrongOps((right, backend) => ({
      narrow_bf16(y, x, N) {
        const shrunk = backend.upload(backend.readF32(x).map((value) => Math.fround(value * 0.996)))
        right.narrow_bf16(y, shrunk, N)
        backend.free(shrunk)
      },
    })),
    breaks: ['engineLogits', 'engineGradients'],
  },
  {
    bug: 'every int8 row has the scale of the first',
    plant: wrongOps((right, backend) => ({
      linear_i8(y, x, weight, scales, ...rest) {
        const first = backend.upload(backend.readF32(scales).map((_, __, all) => all[0]))
        right.linear_i8(y, x, weight, first, ...rest)
        backend.free(first)
      },
    })),
    breaks: ['int8IsNearRounded', 'engineLogits'],
  },
  {
    bug: 'packing leaves the scales of int8 rows behind',
    plant: wrongOps((right) => {
      let copies = 0
      return {
        copy_rows_i8: (...all) => {
          copies = 1
          right.copy_rows_i8(...all)
        },
        copy_rows: (...all) => (copies-- > 0 ? undefined : right.copy_rows(...all)),
      }
    }),
    breaks: ['engineLogits', 'anyRun'],
  },
  {
    bug: 'bf16 rows lose their last number where there is one token',
    plant: wrongOps((right, backend) => ({
      linear_bf16(y, x, weight, bias, rows, T, O, I, R) {
        if (T > 1 || I < 2) return right.linear_bf16(y, x, weight, bias, rows, T, O, I, R)
        const cut = backend.upload(backend.readF32(x).fill(0, I - 1))
        right.linear_bf16(y, cut, weight, bias, rows, T, O, I, R)
        backend.free(cut)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  {
    bug: 'the stream does not reach a second backend',
    plant: () =>
      wrongBackend((right) => ({
        sibling: () => {
          const other = right.sibling()
          other.write = () => {}
          return other
        },
      })),
    breaks: ['engineLogits', 'anyRun'],
  },
  {
    bug: 'packing forgets biases',
    plant: wrongOps((right) => ({
      copy_rows(y, x, slots, rows, S, O, I, R) {
        if (I !== 1) right.copy_rows(y, x, slots, rows, S, O, I, R)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
]
