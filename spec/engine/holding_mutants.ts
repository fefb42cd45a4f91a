/**
 * Bugs planted in how weights are held: packed, rounded, spread over several backends. mutants.spec.ts plants them.
 */
import type { Buffer } from '../../src/backends/backend.ts'
import { valuesOf } from '../../src/backends/calls.ts'
import { BLOCK } from '../../src/tensor/int4.ts'
import type { engineLaws } from '../../src/verify/model/engine_laws.ts'
import { wrongBackend, wrongBegin, wrongOps, type Mutants } from './plant.ts'
import type { sequenceLaws } from '../../src/verify/model/sequence_laws.ts'
import type { storageLaws } from '../../src/verify/model/storage_laws.ts'

type LawName = keyof typeof engineLaws | keyof typeof sequenceLaws | keyof typeof storageLaws

/** The mutants of this page. */
export const holdingMutants: Mutants<LawName> = {
  'the past is kept as float32 whatever weights are stored as': {
    plant: wrongBegin((right) => (options) => right({ ...options, cache: options?.cache ?? 'f32' })),
    breaks: ['pastFollowsWeights'],
  },
  'packing copies the row after the one that is wanted': {
    plant: wrongOps((right, backend) => ({
      copy_rows(y, x, slots, rows) {
        const last = x.shape[0] - 1
        const next = backend.upload(backend.readI32(rows).map((row) => Math.min(row + 1, last)))
        right.copy_rows(y, x, slots, next)
        backend.free(next)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  'packed rows that changed their places are added in the order they stand in': {
    plant: wrongOps((right) => ({
      linear_input_major(y, x, weight, bias, inputs) {
        const packed = inputs?.length === x.shape[1]
        right.linear_input_major(y, x, weight, bias, packed ? null : inputs)
      },
    })),
    breaks: ['engineSchedule', 'anyRun'],
  },
  'half precision is cut off, not rounded': {
    plant: wrongOps((right, backend) => ({
      narrow(y, x) {
        const by = y.dtype === 'bf16' ? 0.996 : 1
        const shrunk = backend.upload(backend.readF32(x).map((value) => Math.fround(value * by)))
        right.narrow(y, shrunk)
        backend.free(shrunk)
      },
    })),
    breaks: ['engineLogits', 'engineGradients'],
  },
  'every int8 row has the scale of the first': {
    plant: wrongOps((right, backend) => ({
      linear(y, x, weight, ...rest) {
        if (!('scales' in weight)) return right.linear(y, x, weight, ...rest)
        const first = backend.upload(backend.readF32(weight.scales).map((_, __, all) => all[0]))
        right.linear(y, x, { ...weight, scales: first }, ...rest)
        backend.free(first)
      },
    })),
    breaks: ['int8IsNearRounded', 'engineLogits'],
  },
  'packing leaves the scales of int8 rows behind': {
    plant: wrongOps((right) => {
      let copies = 0
      return {
        copy_rows: (y, ...rest) => {
          const isScales = copies-- > 0
          if (y.dtype === 'i8') copies = 1
          if (!isScales) right.copy_rows(y, ...rest)
        },
      }
    }),
    breaks: ['engineLogits', 'anyRun'],
  },
  'packed int4 inputs have the blocks of their places': {
    plant: wrongOps((right, backend) => ({
      linear_input_major(y, x, weight, ...rest) {
        if (!('blocks' in weight)) return right.linear_input_major(y, x, weight, ...rest)
        const places = Int32Array.from({ length: weight.blocks.length }, (_, i) => Math.floor(i / BLOCK))
        const blocks = backend.upload(places)
        right.linear_input_major(y, x, { ...weight, blocks }, ...rest)
        backend.free(blocks)
      },
    })),
    breaks: ['engineLogits'],
  },
  'of int4 inputs the first tile of outputs is packed': {
    plant: wrongOps((right) => {
      let rowsOfFirst: Buffer | null = null
      return {
        copy_rows(y, x, slots, rows) {
          const isLater = x.dtype === 'i4' && rows === rowsOfFirst
          rowsOfFirst = x.dtype === 'i4' ? rows : null
          if (!isLater) right.copy_rows(y, x, slots, rows)
        },
      }
    }),
    breaks: ['engineLogits', 'engineSchedule'],
  },
  'int4 rows of outputs are packed from the first place on, wherever they belong': {
    plant: wrongOps((right) => ({
      copy_interleaved_rows: (y, x, _, ...rest) => right.copy_interleaved_rows(y, x, null, ...rest),
    })),
    breaks: ['engineSchedule'],
  },
  'bf16 rows lose their last number where there is one token': {
    plant: wrongOps((right, backend) => ({
      linear(y, x, weight, bias, rows) {
        const [T, I] = x.shape
        if (valuesOf(weight).dtype !== 'bf16' || T > 1 || I < 2) return right.linear(y, x, weight, bias, rows)
        const cut = backend.upload(backend.readF32(x).fill(0, I - 1), x.shape)
        right.linear(y, cut, weight, bias, rows)
        backend.free(cut)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
  'the stream does not reach a second backend': {
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
  'packing forgets biases': {
    plant: wrongOps((right) => ({
      copy_rows(y, x, slots, rows) {
        if (x.shape[1] !== 1) right.copy_rows(y, x, slots, rows)
      },
    })),
    breaks: ['engineLogits', 'anyRun'],
  },
}
