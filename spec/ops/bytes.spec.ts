/**
 * The bytes that a call is said to touch are those of the elements that matter: inputs whose change changes an output, and outputs
 * that are written.
 *
 * Tests the `bytes` of every kernel of src/ops/catalog.ts.
 */
import fc from 'fast-check'
import { test } from 'vitest'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import {
  arrayTypes,
  elementCount,
  type ArrayParam,
  type Kernel,
  type Numbers,
  type Sizes,
} from '../../src/ops/op.ts'
import { evaluate } from '../../src/testing/op_agreement.ts'
import { sizesOf, type Values } from '../../src/testing/op_call.ts'
import { arraysOf, fitSizes, lettersOf, makeValues } from '../../src/testing/op_case.ts'
import type { Data } from '../../src/testing/seeded_data.ts'
import { anyData, kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'

/** Other values in place of one. Those of whole numbers may be rounded away, so there are several. */
function changesOf(dtype: ArrayParam['dtype'], value: number): number[] {
  if (dtype === 'f32') return [NaN, value + 1, -3 * value, 1e30]
  if (dtype === 'i8') return [127, -127, -value, 0]
  if (dtype === 'i4') return [value ^ 0xff, value ^ 0x10, value ^ 0x08]
  return [value ^ 0x8000, value ^ 0x0700, value ^ 0x0040]
}

const textOf = (outputs: Readonly<Record<string, Numbers>>): string =>
  Object.values(outputs)
    .map((numbers) => Array.from(numbers, String).join())
    .join(';')

/** The factors of the rows of an int8 input. */
function scalesOf(row: Kernel, { name, role }: ArrayParam): ArrayParam | null {
  if (role !== 'in') return null
  return arraysOf(row).find((param) => [`${name}_scales`, 'scales'].includes(param.name)) ?? null
}

/** Bytes of the elements that matter in a call. Lists matter as a whole. */
function bytesThatMatter(name: KernelName, values: Values): number {
  const row: Kernel = kernels[name]
  const sizes = sizesOf(row, values)
  const outputs = evaluate(name, values)
  const usual = textOf(outputs)
  let bytes = 0
  for (const param of arraysOf(row)) {
    const size = arrayTypes[param.dtype].BYTES_PER_ELEMENT
    const given = values[param.name] as Numbers | null | undefined
    if (given === null) continue
    if (param.role === 'out') {
      // What is not written stays what it was.
      const other = new arrayTypes[param.dtype](elementCount(param, sizes)).fill(21)
      const again = evaluate(name, { ...values, [param.name]: other })[param.name]
      bytes += size * outputs[param.name].filter((value, i) => Object.is(value, again[i])).length
    } else if (param.dtype === 'i32') bytes += size * elementCount(param, sizes)
    else {
      // Whole numbers have no NaN, but the factors of their rows have.
      const scales = param.dtype === 'i8' ? scalesOf(row, param) : null
      const judged = scales ?? param
      const array = values[judged.name] as Numbers
      const each = elementCount(param, sizes) / elementCount(judged, sizes)
      for (let i = 0; i < array.length; i++) {
        const value = array[i]
        const matters = changesOf(judged.dtype, value).some((change) => {
          array[i] = change
          const changed = evaluate(name, values)
          array[i] = value
          // What passes through a call unchanged is not touched.
          if (param.role === 'in') return textOf(changed) !== usual
          return !Object.is(changed[param.name][i], new arrayTypes[param.dtype](1).fill(change)[0])
        })
        if (matters) bytes += each * size
      }
    }
  }
  return bytes
}

/** Arguments in which no list names one thing twice, as far as there are enough of them. */
function spreadValues(name: KernelName, letters: readonly number[], data: Data): Values {
  const row: Kernel = kernels[name]
  const wanted: Record<string, number> = {}
  lettersOf(row).forEach((letter, i) => (wanted[letter] = letters[i % letters.length]))
  // Rotations are of pairs.
  if (name.startsWith('rotary')) wanted.R = 2 * wanted.R
  // Where all are chosen, nothing is compared.
  if (name === 'top_k') wanted.N = wanted.R + 1
  const chosen = arraysOf(row).find(({ holds }) => holds === 'ascending')
  const lists = arraysOf(row).filter(({ holds }) => holds === 'ids')
  let sizes: Sizes = fitSizes(row, wanted)
  if (!chosen) {
    for (const { below, shape } of lists)
      wanted[below as string] = Math.max(sizes[below as string], ...shape.map((letter) => sizes[letter]))
    sizes = fitSizes(row, wanted)
  }
  const values: Record<string, Values[string]> = { ...makeValues(name, sizes, data, 'smooth') }
  // Behind a ReLU a negative number hides others.
  for (const { name: array, dtype } of arraysOf(row))
    if (dtype === 'f32' && values[array] instanceof Float32Array)
      values[array] = values[array].map((value) => Math.abs(value))
  // Without a cap, what would be capped does not matter to a gradient.
  if (name.startsWith('soft_cap')) values.cap = 5
  // A pivot of nothing hides its row, and a right side that cancels hides what it is divided by.
  for (const array of ['a', 'factor'])
    if (name.endsWith('cholesky') && values[array] instanceof Float32Array)
      values[array] = values[array].map((value, i) => value + (i % (sizes.U + 1) === 0 ? 40 : 0.5))
  if (name === 'solve_cholesky') values.b = (values.b as Float32Array).map((value, i) => value + 1 + i / 7)
  // A row without a label is not read.
  for (const { name: array, holds, below } of arraysOf(row))
    if (holds === 'labels')
      values[array] = data.ids(array, (values[array] as Int32Array).length, sizes[below as string])
  for (const list of lists) {
    const ids = data.permutation(sizes[list.below as string])
    const length = elementCount(list, sizes)
    const own = Int32Array.from({ length }, (_, i) => ids[i % ids.length])
    // Of a list about units that are chosen by another list, those come first.
    const units = chosen && list.shape[0] === chosen.below ? (values[chosen.name] as Int32Array) : null
    units?.forEach((unit, i) => (own[unit] = ids[i % ids.length]))
    values[list.name] = own
  }
  return values
}

/** Kernels whose bytes are counted in whole blocks, some of whose numbers may meet no input. */
const inBlocks = (row: Kernel): boolean => arraysOf(row).some(({ dtype }) => dtype === 'i4')

/** Any kernel, and more often one with lists, which decide what is read. */
const withLists = kernelNames.filter((name) =>
  arraysOf(kernels[name]).some(({ holds }) => holds === 'ascending' || holds === 'ids'),
)
const anyKernel = fc.oneof(fc.constantFrom(...kernelNames), fc.constantFrom(...withLists))

type CountBytes = (row: Kernel, sizes: Sizes) => number

const bytesMatter = lawForAll(
  'a call touches as many bytes as its elements that matter have, and blocks as a whole',
  {
    name: anyKernel,
    letters: fc.array(fc.integer({ min: 2, max: 4 }), { minLength: 1, maxLength: 8, size: 'max' }),
    data: anyData,
  },
  (countBytes: CountBytes, { name, letters, data }) => {
    const row: Kernel = kernels[name]
    const values = spreadValues(name, letters, data)
    const counted = countBytes(row, sizesOf(row, values))
    const expected = bytesThatMatter(name, values)
    if (inBlocks(row) ? counted >= expected : counted === expected) return
    throw new Error(
      `${name}: expected ${expected} bytes, got ${counted} of ${JSON.stringify(sizesOf(row, values))}`,
    )
  },
  { runs: casesAtTier(700, 3000) },
)
stateLaw(bytesMatter, (row, sizes) => row.bytes(sizes))

test('bytes of heads that are not read, of rows that are not chosen, and without what is written: killed', async () => {
  await kills(bytesMatter, (row, sizes) =>
    row.bytes('R' in sizes && 'H' in sizes ? { ...sizes, R: sizes.H } : sizes),
  )
  await kills(bytesMatter, (row, sizes) =>
    row.bytes('R' in sizes && 'O' in sizes ? { ...sizes, R: sizes.O } : sizes),
  )
  await kills(bytesMatter, (row, sizes) => {
    const [output] = arraysOf(row).filter(({ role }) => role === 'out')
    return row.bytes(sizes) - (output ? 4 * elementCount(output, sizes) : 0)
  })
})
