/**
 * The definitions read and write what their sizes say and nothing behind it, in arrays that go on as in those that end there.
 *
 * Tests src/ops/op.ts.
 */
import { describe, expect, test } from 'vitest'
import { evaluate } from '../../src/testing/op_agreement.ts'
import { poison, type Values } from '../../src/testing/op_call.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { kernelNames, kernels, type KernelName } from '../../src/ops/catalog.ts'
import { arrayTypes, type Numbers, type Kernel } from '../../src/ops/op.ts'
import { fitSizes, lettersOf, makeValues, variantsOf } from '../../src/testing/op_case.ts'

/** Numbers behind the end of each array. */
const BEHIND = 9

/** A definition that is given longer arrays. @throws Error if it writes behind the end of one */
function inLongerArrays(name: KernelName, definition: Kernel['reference']): Kernel['reference'] {
  const { params } = kernels[name]
  return ((...args: (Numbers | number | null)[]) => {
    const longer = args.map((value, i) => {
      const param = params[i]
      if (param.kind !== 'array' || value === null || typeof value === 'number') return value
      const array = new arrayTypes[param.dtype](value.length + BEHIND)
      // What is read there shows, and so does what is written.
      array.fill(param.role !== 'in' ? 77 : param.dtype === 'i32' ? 0 : poison[param.dtype])
      array.set(value)
      return array
    })
    const before = longer.map((array) => (array instanceof Object ? array.slice() : array))
    ;(definition as (...given: unknown[]) => void)(...longer)
    args.forEach((value, i) => {
      const [after, was] = [longer[i], before[i]]
      if (!(value instanceof Object && after instanceof Object && was instanceof Object)) return
      expect(after.subarray(value.length), `${name}.${params[i].name}`).toEqual(was.subarray(value.length))
      value.set(after.subarray(0, value.length))
    })
  }) as Kernel['reference']
}

/** Cases of an op: each size from none to a few, and lists there and not. */
function* casesOf(name: KernelName): Generator<Values> {
  const row = kernels[name]
  const data = new Data(1)
  for (const { absent } of variantsOf(row))
    for (const size of [0, 1, 3, 5]) {
      const wanted = Object.fromEntries(lettersOf(row).map((letter) => [letter, data.pick([size, 2])]))
      yield makeValues(name, fitSizes(row, wanted), data, 'plain', absent)
    }
}

const isKept = (name: KernelName, definition: Kernel['reference']): void => {
  for (const values of casesOf(name))
    expect(evaluate(name, values, inLongerArrays(name, definition)), name).toEqual(evaluate(name, values))
}

describe('in longer arrays', () => {
  test.each(kernelNames)('%s gives the same, and writes nothing behind their ends', (name) =>
    isKept(name, kernels[name].reference),
  )

  test('mutants are killed: one element more is written, one element more is added', () => {
    const written = (y: Float32Array, x: Float32Array, N: number): void => {
      for (let i = 0; i <= N; i++) y[i] = Math.max(x[i], 0)
    }
    expect(() => isKept('relu', written)).toThrow('relu.y')
    const added = (y: Float32Array, x: Float32Array, N: number): void => {
      kernels['sum'].reference(...([y, x, N] as never[]))
      if (x[N] !== undefined) y[0] += x[N]
    }
    expect(() => isKept('sum', added)).toThrow('sum')
  })
})
