/**
 * Every CUDA kernel gives the reference's bits past the end of a block, too, up to the longest rows and contexts.
 */
import { test } from 'vitest'
import { kernelNames } from '../../../src/ops/catalog.ts'
import { overCudaBackends } from '../../harness/backends.ts'
import { runSeed } from '../../harness/seed.ts'
import { inOrderOfBlocks, pastABlock } from './block_laws.ts'
import { attentions, longestContext, longHeads, longRows } from '../wasm/block_laws.ts'

overCudaBackends((backend) => {
  test.each(kernelNames)('%s: every letter around the edges of a block', (op) => {
    pastABlock(backend, op, runSeed())
  })

  test('rows as long as int8 sums may be', () => longRows(backend, runSeed(), true))

  test('int4 inputs in the order of their blocks', () => inOrderOfBlocks(backend, runSeed()))

  test.each(attentions)('%s: heads past a tile, and as many positions as there is room for', (op) => {
    longHeads(backend, op, runSeed())
    longestContext(backend, op, runSeed())
  })
})
