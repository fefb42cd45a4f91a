/**
 * Tokens do not see each other: an op over T tokens is the same op over some of them and then over the rest, bit for
 * bit. Batches, prompts cut in two and single decoding steps rest on it. Attention is the one op that mixes tokens; its
 * own law is in attention.ts.
 *
 * A row of the catalogue says where its tokens are: every array whose shape starts with T. Accumulators are carried
 * from one part to the next.
 */
import fc from 'fast-check'
import { kernelNames, kernels, type KernelName } from '../../ops/catalog.ts'
import type { Numbers, Kernel } from '../../ops/op.ts'
import { call, type Value, type Values } from '../../testing/op_call.ts'
import { sameBits } from '../compare.ts'
import { arraysOf, fitSizes, lettersOf, makeValues, variantsOf } from '../../testing/op_case.ts'
import { anyData } from '../drawn_data.ts'
import { forAll, type BackendLaw } from './law.ts'

const mixing = ['attention', 'attention_i8', 'attention_backward', 'cache_append', 'cache_append_i8']

/** The ops this law is about. */
export function tokenOps(): KernelName[] {
  return kernelNames.filter((name) => lettersOf(kernels[name]).includes('T') && !mixing.includes(name))
}

function hasTokens(row: Kernel, name: string): boolean {
  return arraysOf(row).some((param) => param.name === name && param.shape[0] === 'T')
}

/** The values of tokens from..to. */
function part(row: Kernel, values: Values, from: number, to: number): Values {
  const cut = (name: string, value: Value): Value => {
    if (!hasTokens(row, name) || value === null) return value
    const width = (value as Numbers).length / (values.T as number)
    return (value as Numbers).slice(from * width, to * width)
  }
  const entries = Object.entries(values).map(([name, value]) => [name, cut(name, value)])
  return { ...Object.fromEntries(entries), T: to - from }
}

/** One op over T tokens = over the first few, then over the others. */
export function tokensApart(name: KernelName): BackendLaw {
  const row = kernels[name]
  return forAll(
    `${name}: tokens together = tokens in two parts`,
    {
      T: fc.integer({ min: 1, max: 19 }),
      cut: fc.nat({ max: 18 }),
      most: fc.nat({ max: 130 }),
      data: anyData,
    },
    (backend, { T, cut, most, data }) => {
      const letters = lettersOf(row).filter((letter) => letter !== 'T')
      const wanted = Object.fromEntries(letters.map((letter) => [letter, data.whole(letter, 0, most)]))
      const sizes = fitSizes(row, { ...wanted, R: wanted.R && Math.min(wanted.R, 5), T })
      const values = makeValues(name, sizes, data, 'wild', data.oneOf('variant', variantsOf(row)).absent)
      const together = call(backend, name, values)
      const first = call(backend, name, part(row, values, 0, cut % T))
      const carried = arraysOf(row).filter(({ role }) => role === 'add')
      const onto = Object.fromEntries(carried.map((param) => [param.name, first[param.name] ?? null]))
      const second = call(backend, name, { ...part(row, values, cut % T, T), ...onto })
      for (const output of Object.keys(together)) {
        const apart = hasTokens(row, output) ? [...first[output], ...second[output]] : second[output]
        sameBits(`${name}.${output}`, apart, together[output])
      }
    },
    { runs: 60 },
  )
}
