/**
 * Every CUDA kernel gives the reference's bits past the end of a block, too, up to the longest rows and contexts.
 */
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { opNames } from '../../src/ops/catalog.ts'
import { MissingError } from '../../src/tensor/errors.ts'
import { runSeed } from '../harness/seed.ts'
import { pastABlock } from './cuda_block_laws.ts'
import { attentions, longestContext, longHeads, longRows } from './wasm_block_laws.ts'

describe.each(['cuda', 'cuda-emulated'] as const)('%s', async (name) => {
  const backend = await createBackend(name).catch((error: unknown) => {
    if (error instanceof MissingError) return error
    throw error
  })
  if (backend instanceof MissingError) {
    test.skip(`is not here: ${backend.message}`, () => {})
    return
  }

  test.each(opNames)('%s: every letter around the edges of a block', (op) => {
    pastABlock(backend, op, runSeed())
    expect(backend.liveBuffers).toBe(0)
  })

  test('rows as long as int8 sums may be', () => longRows(backend, runSeed()))

  test.each(attentions)('%s: heads past a tile, and as many positions as there is room for', (op) => {
    longHeads(backend, op, runSeed())
    longestContext(backend, op, runSeed())
  })
})
