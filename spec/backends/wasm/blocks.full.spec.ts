/** The laws of block_laws.ts hold for the committed kernels: of the strict build, of the relaxed one, and of Rust. */
import { afterEach, describe, expect, test } from 'vitest'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import fc from 'fast-check'
import { law, runSeed } from '../../harness/seed.ts'
import {
  atAnEdge,
  attentions,
  largestInt4Sums,
  longestContext,
  longHeads,
  longLists,
  longRows,
  manyInt4Tokens,
  manyGradients,
  manyQueries,
  pastEveryBlock,
  products,
  tilesInTurn,
  tinySumsAreZero,
  type Product,
} from './block_laws.ts'

const builds = ['wasm', 'wasm-relaxed', 'wasm-rust'] as const
const backends = await Promise.all(builds.map((build) => WasmBackend.create({ build })))
const names = Object.keys(products) as Product[]

afterEach(() => {
  for (const { name, liveBuffers } of backends) expect(liveBuffers, `buffers left behind in ${name}`).toBe(0)
})

// A law over every build before the next: they are tried on the same calls, which the definition answers once.
function overBuilds(declare: (backend: WasmBackend) => void): void {
  for (const backend of backends) describe(backend.name, () => declare(backend))
}

for (const name of names) {
  overBuilds((backend) =>
    law(
      `${backend.name} ${name}: sizes at the edge of a block`,
      { large: fc.constantFrom('T', 'O', 'I'), seed: fc.nat() },
      ({ large, seed }) => atAnEdge(backend, name, large, seed),
      { runs: 100 },
    ),
  )

  overBuilds((backend) =>
    test(`${name}: all sizes past a block`, () => pastEveryBlock(backend, name, runSeed())),
  )
}

overBuilds((backend) =>
  test('rows up to the packed length and longer, and the longest of int8 and int4', () =>
    longRows(backend, runSeed())),
)

overBuilds((backend) =>
  test('as many tokens of int4 as are taken together', () => manyInt4Tokens(backend, runSeed())),
)

overBuilds((backend) => test('tiles of int4 that are read in turn', () => tilesInTurn(backend, runSeed())))

overBuilds((backend) => test('the largest sums of int4 products', () => largestInt4Sums(backend)))

overBuilds((backend) =>
  test('linear_input_major: lists of inputs as long as its scratch, and longer', () =>
    longLists(backend, runSeed())),
)

overBuilds((backend) =>
  test('linear_input_major: sums of products too small to be told from 0 are +0', () =>
    tinySumsAreZero(backend)),
)

overBuilds((backend) =>
  law(
    `${backend.name} attention_backward: queries at the edges of blocks and windows, and in long heads`,
    { seed: fc.nat() },
    ({ seed }) => manyGradients(backend, seed),
    { runs: 100 },
  ),
)

for (const name of attentions) {
  overBuilds((backend) =>
    law(
      `${backend.name} ${name}: queries and keys at the edges of blocks, tiles and streams`,
      { seed: fc.nat() },
      ({ seed }) => manyQueries(backend, name, seed),
      { runs: 100 },
    ),
  )

  overBuilds((backend) =>
    test(`${name}: heads longer than the scratch`, () => longHeads(backend, name, runSeed())),
  )

  overBuilds((backend) =>
    test(`${name}: the longest context`, () => longestContext(backend, name, runSeed())),
  )
}
