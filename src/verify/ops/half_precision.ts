/**
 * Weights in half precision are their float32 values: an op over bf16 or f16 is the float32 op over the widened weights,
 * bit for bit, on one and the same backend. What each pattern is worth is said, and tried for every pattern, in
 * spec/tensor/dtypes.spec.ts.
 *
 * Tests src/ops/linear.ts, src/ops/linear_input_major.ts, src/ops/embedding.ts and src/tensor/halves.ts.
 */
import fc from 'fast-check'
import type { KernelName } from '../../ops/catalog.ts'
import { widenBf16, widenF16 } from '../../tensor/halves.ts'
import { call } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { type DataKind } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

type Half = 'bf16' | 'f16'

const size = fc.nat({ max: 60 })
const kind = fc.constantFrom<DataKind>('plain', 'steep', 'wild')

const widen = { bf16: widenBf16, f16: widenF16 }

/** linear or linear_input_major over half precision, some units chosen. */
function isWidened(plain: 'linear' | 'linear_input_major', half: Half): BackendLaw {
  const name: KernelName = `${plain}_${half}`
  return forAll(
    `${name}: ${plain} over the widened weights, bit for bit`,
    { T: fc.integer({ min: 1, max: 10 }), O: size, I: size, kind, data: anyData },
    (backend, { T, O, I, kind, data }) => {
      const list = data.someOf('list', plain === 'linear' ? O : I)
      const chosen = data.flag('isListed', 0.5) ? { [plain === 'linear' ? 'rows' : 'inputs']: list } : {}
      const [x, weight, bias] = [
        data.floats('x', [T, I], kind),
        data.halves('weight', half, [O, I], kind),
        data.floats('bias', O, kind),
      ]
      const given = { x, weight, bias, ...chosen, T, O, I }
      const expected = call(backend, plain, { ...given, weight: widen[half](weight) })
      sameBits('y', call(backend, name, given).y, expected.y)
    },
  )
}

/** embedding over half precision. */
function embedsWidened(half: Half): BackendLaw {
  const name: KernelName = `embedding_${half}`
  return forAll(
    `${name}: embedding over the widened table, bit for bit`,
    { T: fc.nat({ max: 9 }), V: fc.integer({ min: 1, max: 12 }), D: size, kind, data: anyData },
    (backend, { T, V, D, kind, data }) => {
      const [table, ids] = [data.halves('table', half, [V, D], kind), data.ids('ids', T, V)]
      const given = { table, ids, T, V, D }
      const expected = call(backend, 'embedding', { ...given, table: widen[half](table) })
      sameBits('y', call(backend, name, given).y, expected.y)
    },
  )
}

export const linearBf16: BackendLaw = isWidened('linear', 'bf16')
export const linearF16: BackendLaw = isWidened('linear', 'f16')
export const linearInputMajorBf16: BackendLaw = isWidened('linear_input_major', 'bf16')
export const linearInputMajorF16: BackendLaw = isWidened('linear_input_major', 'f16')
export const embeddingBf16: BackendLaw = embedsWidened('bf16')
export const embeddingF16: BackendLaw = embedsWidened('f16')
