/**
 * A term of zero changes no bit of an input-major product: with any pattern of zeros among the inputs the result is that of
 * the definition, and that of a list of the other inputs alone. Kernels may therefore leave zeros out, and do where they
 * are many enough.
 *
 * A strict backend gives the bits of the definition each time. Where products are fused, a sum may be -0 in place of +0 if
 * nothing follows it, so that results are compared with each other as numbers.
 *
 * Patterns: none but zeros, one other input, a few, any share. Zeros have both signs. The other inputs are plain, or all of them
 * are subnormal, or tiny and huge with some that are infinite and NaN. Tokens have zeros of their own besides.
 *
 * Tests src/ops/linear_input_major.ts and src/ops/linear_input_major_i8.ts.
 */
import fc from 'fast-check'
import type { KernelName } from '../../ops/catalog.ts'
import { call } from '../../testing/op_call.ts'
import { makeValues } from '../../testing/op_case.ts'
import type { Data } from '../../testing/seeded_data.ts'
import { sameNumbers } from '../compare.ts'
import { checkAgreement } from './agreement.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

/** Outputs: of the ends of loops, and of rows long enough that a list pays for many inputs. */
const widths = [1, 15, 17, 40, 270, 1030]

/** Few tokens most of all; many are packed, from 8 or 16 on. */
const tokens = [1, 1, 2, 2, 3, 7, 8, 17]

/** The least number that is not subnormal. */
const SUBNORMAL = 2 ** -126

/** Inputs that are not zero, in ascending order. */
function nonzeroInputs(data: Data, I: number): Int32Array {
  const shares = [0, 1 / I, 0.05, data.uniform()]
  return data.ascending('kept', Math.round(I * data.oneOf('share', shares)), I)
}

const zeros = [0, -0]

/** Inputs of T tokens: those that are kept as they are drawn, the others zeros of either sign. */
function withZeros(data: Data, T: number, I: number, kept: Int32Array): Float32Array {
  const kind = data.oneOf('kind', ['plain', 'wild', 'broken', 'subnormal'] as const)
  const share = data.oneOf('shareOfKept', [0.5, 1])
  const isKept = new Uint8Array(I)
  for (const i of kept) isKept[i] = 1
  const make = (stream: Data): Float32Array => {
    const all =
      kind === 'subnormal'
        ? new Float32Array(T * I).map(() => SUBNORMAL * stream.uniform())
        : stream.floats('x', T * I, kind)
    return all.map((x, n) => (isKept[n % I] === 1 && stream.chance(share) ? x : stream.pick(zeros)))
  }
  return data.deal('x', [T, I], make, { blank: 0 })
}

function zeroTermsOf(name: KernelName): BackendLaw {
  return forAll(
    `${name}: a term of zero changes no bit`,
    {
      T: fc.constantFrom(...tokens),
      O: fc.constantFrom(...widths),
      longest: fc.integer({ min: 1, max: 900 }),
      offset: fc.nat({ max: 4 }),
      data: anyData,
    },
    (backend, { T, O, longest, offset, data }) => {
      // As many inputs as keep a case below 2^18 products.
      const I = Math.max(1, Math.min(longest, Math.floor(2 ** 18 / (T * O))))
      const absent = new Set(['inputs', ...(data.flag('no bias', 0.5) ? ['bias'] : [])])
      const values = makeValues(name, { T, O, I, R: 0 }, data, 'wild', absent)
      const kept = nonzeroInputs(data, I)
      const given = { ...values, x: withZeros(data, T, I, kept) }
      const { y } = checkAgreement(backend, name, given, { offset, aliased: false })
      sameNumbers('y', y, call(backend, name, { ...given, inputs: kept, R: kept.length }).y)
      // A list may have zeros too, and any order: the other inputs in the same order are the same sum.
      const order = data.order('order', I)
      const isKept = new Set(kept)
      const rest = order.filter((i) => isKept.has(i))
      const listed = { ...given, inputs: order, R: I }
      const whole = checkAgreement(backend, name, listed, { offset, aliased: false }).y
      sameNumbers('y', whole, call(backend, name, { ...given, inputs: rest, R: rest.length }).y)
    },
    { runs: 60 },
  )
}

export const zeroTerms: BackendLaw = zeroTermsOf('linear_input_major')
export const zeroTermsBf16: BackendLaw = zeroTermsOf('linear_input_major_bf16')
export const zeroTermsF16: BackendLaw = zeroTermsOf('linear_input_major_f16')
export const zeroTermsI8: BackendLaw = zeroTermsOf('linear_input_major_i8')
