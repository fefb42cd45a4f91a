/**
 * Large shapes of the wasm kernels: the products of many tokens are cut into blocks and tiles, and a result must not
 * show where. The sizes stand around every edge of assembly/linear_tile.ts, assembly/outer_product.ts and the longest
 * context.
 */
import { describe, expect, test } from 'vitest'
import type { OpName } from '../../src/ops/catalog.ts'
import { LONGEST_CONTEXT } from '../../src/ops/attention.ts'
import type { Sizes } from '../../src/ops/op.ts'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import { Data } from '../harness/data.ts'
import { checkAgreement } from '../harness/laws/agreement.ts'
import { makeValues } from '../harness/op_case.ts'
import { runSeed, scaledRuns } from '../harness/seed.ts'

const backend = await WasmBackend.create()

function check(name: OpName, sizes: Sizes, data: Data, absent: readonly string[]): void {
  const values = makeValues(name, sizes, data, 'plain', new Set(absent))
  checkAgreement(backend, name, values, { offset: data.pick([0, 1, 3]), aliased: false })
  expect(backend.liveBuffers).toBe(0)
}

/** A few sizes just below, at and above each edge. */
function around(edges: readonly number[]): number[] {
  return edges.flatMap((edge) => [edge - 1, edge, edge + 1, edge + 3])
}

/** Tokens per block of linear; rows and terms per block of the outer products. */
const edges = around([96, 128, 192, 256])
const small = [1, 3, 4, 5, 8, 9, 17, 33]

const products = ['linear', 'linear_input_major', 'linear_backward_weight'] as const
const lists = { linear: 'rows', linear_input_major: 'inputs', linear_backward_weight: 'rows' } as const

describe.each(products)('%s', (name) => {
  const data = new Data(runSeed())
  const pickSizes = (large: 'T' | 'O' | 'I'): Sizes => {
    const sizes = { T: data.pick(small), O: data.pick(small), I: data.pick(small), [large]: data.pick(edges) }
    const most = name === 'linear_input_major' ? sizes.I : sizes.O
    return { ...sizes, R: Math.ceil(most * data.uniform()) }
  }

  test.each(['T', 'O', 'I'] as const)('%s at the edge of a block', (large) => {
    for (let run = 0; run < scaledRuns(25); run++) {
      check(name, pickSizes(large), data, [])
      check(name, pickSizes(large), data, [lists[name]])
    }
  })

  test('all sizes past a block', () => {
    check(name, { T: 97, O: 129, I: 257, R: 121 }, data, [])
    check(name, { T: 131, O: 133, I: 259, R: 0 }, data, [lists[name]])
  })
})

test('linear with the longest rows it packs, and longer', () => {
  const data = new Data(runSeed())
  for (const I of [16_383, 16_384, 16_385, 20_000]) check('linear', { T: 19, O: 5, I, R: 4 }, data, [])
})

test('attention over the longest context', () => {
  const sizes = { T: 2, S: LONGEST_CONTEXT, C: LONGEST_CONTEXT, H: 2, K: 5, R: 1 }
  check('attention', sizes, new Data(runSeed()), [])
})
