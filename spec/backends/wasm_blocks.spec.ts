/** The laws of wasm_block_laws.ts hold for the committed kernels. */
import { afterEach, describe, expect, test } from 'vitest'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import fc from 'fast-check'
import { law, runSeed } from '../harness/seed.ts'
import {
  atAnEdge,
  longestContext,
  longRows,
  pastEveryBlock,
  products,
  type Product,
} from './wasm_block_laws.ts'

const backend = await WasmBackend.create()
const names = Object.keys(products) as Product[]

afterEach(() => expect(backend.liveBuffers, 'buffers left behind').toBe(0))

describe.each(names)('%s', (name) => {
  law(
    `${name}: sizes at the edge of a block`,
    [fc.constantFrom('T', 'O', 'I'), fc.nat()],
    (large, seed) => atAnEdge(backend, name, large, seed),
    { runs: 100 },
  )

  test('all sizes past a block', () => pastEveryBlock(backend, name, runSeed()))
})

test('rows as long as are packed, and longer; the longest of int8', () => longRows(backend, runSeed()))

test('attention over the longest context', () => longestContext(backend, runSeed()))
