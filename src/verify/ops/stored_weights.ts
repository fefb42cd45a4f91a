/**
 * How weights come to be stored and packed: narrow_bf16, narrow_f16 and quantize_rows do what the conversions of
 * src/tensor/dtypes.ts do, and embedding_i8 gives back what rows were quantized to.
 *
 * Tests src/ops/narrow.ts, src/ops/quantize_rows.ts and src/ops/embedding.ts.
 */
import fc from 'fast-check'
import { dequantizeRows, quantizeRows } from '../../tensor/dtypes.ts'
import { narrowToBf16, narrowToF16 } from '../../tensor/halves.ts'
import { call, callRaw } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import type { Data, DataKind } from '../../testing/seeded_data.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const size = fc.nat({ max: 60 })
const kind = fc.constantFrom<DataKind>('plain', 'steep', 'ties', 'wild')

/** float32 of any bit pattern, and the midpoints between neighbours in half precision. */
function anyFloats(stream: Data, length: number): Float32Array {
  const bits = new Uint32Array(length).map(() => {
    const pattern = Math.floor(stream.uniform() * 2 ** 32)
    const cut = stream.pick([0, 13, 16])
    return stream.chance(0.5) ? pattern : (((pattern >>> cut) << cut) | (cut && 1 << (cut - 1))) >>> 0
  })
  return new Float32Array(bits.buffer)
}

function narrows(half: 'bf16' | 'f16', narrow: typeof narrowToBf16): BackendLaw {
  return forAll(
    `narrow_${half}: the nearest pattern to any float32, a tie to the even one, a NaN with what fits of its payload`,
    { N: fc.nat({ max: 200 }), data: anyData },
    (backend, { N, data }) => {
      const x = data.flag('isAnyPattern', 0.5)
        ? data.deal('x', N, (stream) => anyFloats(stream, N), { blank: 0 })
        : data.floats('x', N, 'broken')
      sameBits('y', callRaw(backend, `narrow_${half}`, { x, N }).y, narrow(x))
    },
  )
}

export const narrowsToBf16: BackendLaw = narrows('bf16', narrowToBf16)
export const narrowsToF16: BackendLaw = narrows('f16', narrowToF16)

export const quantizes: BackendLaw = forAll(
  'quantize_rows: each row in steps of its largest absolute value / 127; a row of zeros has scale 0',
  { O: fc.nat({ max: 7 }), I: size, kind, data: anyData },
  (backend, { O, I, kind, data }) => {
    const x = data.floats('x', [O, I], kind).map((value, n) => (Math.floor(n / I) % 3 === 2 ? 0 : value))
    const { y, scales } = callRaw(backend, 'quantize_rows', { x, O, I })
    const expected = quantizeRows(x, O, I)
    sameBits('y', y, expected.values)
    sameBits('scales', scales, expected.scales)
  },
)

export const embedsInt8: BackendLaw = forAll(
  'embedding_i8: row t is what the row of its id was quantized to',
  { T: fc.nat({ max: 9 }), V: fc.integer({ min: 1, max: 12 }), D: size, kind, data: anyData },
  (backend, { T, V, D, kind, data }) => {
    const quantized = quantizeRows(data.floats('table', [V, D], kind), V, D)
    const ids = data.ids('ids', T, V)
    const { values: table, scales } = quantized
    const rows = dequantizeRows(quantized)
    const { y } = call(backend, 'embedding_i8', { table, scales, ids, T, V, D })
    for (let t = 0; t < T; t++)
      sameBits(`y[${t}]`, y.subarray(t * D, (t + 1) * D), rows.subarray(ids[t] * D, (ids[t] + 1) * D))
  },
)
