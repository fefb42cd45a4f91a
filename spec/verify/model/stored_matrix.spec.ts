/**
 * Products of the specification with int4 matrices: both orientations give the same bits, near those of the numbers that the
 * blocks stand for.
 */
import fc from 'fast-check'
import { describe, test } from 'vitest'
import { matrix, tensor, type Tensor } from '../../../src/spec/plain.ts'
import { storeWeight } from '../../../src/verify/model/stored_matrix.ts'
import { near, sameBits } from '../../../src/verify/compare.ts'
import { anyData, kills, lawForAll, stateLaw } from '../../harness/seed.ts'

type Store = typeof storeWeight

const isProduct = lawForAll(
  'x times an int4 matrix of either orientation is x times its numbers, within half a step for each activation',
  {
    T: fc.integer({ min: 1, max: 5 }),
    O: fc.integer({ min: 1, max: 40 }),
    I: fc.integer({ min: 1, max: 100 }),
    hasBias: fc.boolean(),
    data: anyData,
  },
  (store: Store, { T, O, I, hasBias, data }) => {
    const [x, weight] = [tensor(data.floats('x', [T, I]), T, I), tensor(data.floats('weight', [O, I]), O, I)]
    const bias = hasBias ? tensor(data.floats('bias', O), O) : null
    const stored = store(weight, 'int4', false)
    const y = stored.dots(x, bias)
    sameBits('y', store(weight, 'int4', true).sums(x, bias).data, y.data)
    const numbers = stored.widen()
    // Activations and numbers are below 2, but for what half precision adds to the latter.
    const error = 1.01 * I * 2 * (0.5 * (2 / 127))
    near('y', y.data, matrix(numbers).dots(x, bias).data, error)
    near('numbers', numbers.data, weight.data, 0.51 * (4 / 15) + 2 ** -9)
  },
)
stateLaw(isProduct, storeWeight)

describe('mutants are killed:', () => {
  /** The weights with something done to them before they are stored. */
  const storing =
    (change: (x: Tensor, isTurned: boolean) => Tensor): Store =>
    (x, storage, isTurned) =>
      storeWeight(change(x, isTurned), storage, isTurned)
  const shifted = ({ data, shape }: Tensor): Tensor =>
    tensor(
      data.map((_, n) => data[(n + 1) % data.length]),
      ...shape,
    )
  const firstRows = ({ data, shape }: Tensor): Tensor =>
    tensor(
      data.map((_, n) => data[n % shape[1]]),
      ...shape,
    )

  test.each<[string, Store]>([
    ['turned weights begin at the second number', storing((x, turned) => (turned ? shifted(x) : x))],
    ['all weights begin at the second number', storing(shifted)],
    [
      'a product without the bias',
      (...all) => {
        const right = storeWeight(...all)
        return { ...right, dots: (x) => right.dots(x, null) }
      },
    ],
    ['blocks of the first output for every output', storing((x, turned) => (turned ? firstRows(x) : x))],
  ])('%s', (_, mutant) => kills(isProduct, mutant))
})
