/**
 * The products of `src/spec` with int4 matrices: both orientations give the same bits, near those of the numbers that the
 * blocks stand for.
 *
 * Tests src/spec/arrays.ts.
 */
import fc from 'fast-check'
import { describe, test } from 'vitest'
import * as arrays from '../../src/spec/arrays.ts'
import { tensor, type Matrix, type Tensor } from '../../src/spec/arrays.ts'
import { dequantizeBlocks } from '../../src/tensor/int4.ts'
import { near, sameBits } from '../harness/compare.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'

const { storeWeight, linear, linearInputMajor } = arrays
const specification = { storeWeight, linear, linearInputMajor }
type Specification = typeof specification

const isProduct = lawForAll(
  'x times an int4 matrix of either orientation is x times its numbers, within half a step for each activation',
  {
    T: fc.integer({ min: 1, max: 5 }),
    O: fc.integer({ min: 1, max: 40 }),
    I: fc.integer({ min: 1, max: 100 }),
    hasBias: fc.boolean(),
    data: anyData,
  },
  (spec: Specification, { T, O, I, hasBias, data }) => {
    const [x, weight] = [tensor(data.floats('x', [T, I]), T, I), tensor(data.floats('weight', [O, I]), O, I)]
    const bias = hasBias ? tensor(data.floats('bias', O), O) : null
    const stored = spec.storeWeight(weight, 'int4', false)
    const y = spec.linear(x, stored, bias)
    sameBits('y', spec.linearInputMajor(x, spec.storeWeight(weight, 'int4', true), bias).data, y.data)
    const numbers = tensor(dequantizeBlocks((stored as { blocks: Uint32Array }).blocks, O, I), O, I)
    // Activations and numbers are below 2, but for what half precision adds to the latter.
    const error = 1.01 * I * 2 * (0.5 * (2 / 127))
    near('y', y.data, linear(x, storeWeight(numbers, 'f32', false), bias).data, error)
    near('numbers', numbers.data, weight.data, 0.51 * (4 / 15) + 2 ** -9)
  },
)
stateLaw(isProduct, specification)

describe('mutants are killed:', () => {
  /** The weights with something done to them before they are stored. */
  const storing =
    (change: (x: Tensor, isTurned: boolean) => Tensor): Specification['storeWeight'] =>
    (x, storage, isTurned) =>
      storeWeight(change(x, isTurned), storage, isTurned)
  const shifted = ({ data, shape }: Tensor): Tensor =>
    tensor(
      data.map((_, n) => data[(n + 1) % data.length]),
      ...shape,
    )

  test.each<[string, Partial<Specification>]>([
    [
      'turned weights begin at the second number',
      { storeWeight: storing((x, turned) => (turned ? shifted(x) : x)) },
    ],
    ['all weights begin at the second number', { storeWeight: storing(shifted) }],
    ['a product without the bias', { linear: (x, weight) => linear(x, weight) }],
    [
      'blocks of the first output for every output',
      {
        linearInputMajor: (x, weight, bias) => {
          const { blocks, columns } = weight as Matrix & { blocks: Uint32Array }
          const size = blocks.length / columns
          return linearInputMajor(
            x,
            { ...weight, blocks: blocks.map((_, n) => blocks[n % size]) } as Matrix,
            bias,
          )
        },
      },
    ],
  ])('%s', (_, mutant) => kills(isProduct, { ...specification, ...mutant }))
})
