/**
 * The CUDA kernels that trade bits for speed. They keep the bounds of the catalogue (src/ops/relaxed.ts derives those) at every
 * small size and offset and past the end of a block. The int8 and int4 products and the copies keep the bits.
 *
 * Equalities between results of one backend hold exactly for these kernels too: skipped = zeroed, packed = listed, a token alone =
 * among others, a step = the whole pass, half precision = its float32 value. The split of a sum depends on the positions of its
 * terms only, or on the order of the definition where terms may be missing. spec/engine/laws.spec.ts and
 * spec/golden/forward.spec.ts state masks, sequences and golden activations of whole models over these backends.
 *
 * Tests src/ops/attention_relaxed.ts, src/ops/layer_norm_fast.ts and src/ops/relaxed.ts.
 */
import { describe, test } from 'vitest'
import { fastOps } from '../../../src/backends/cuda/launch.ts'
import type { KernelName } from '../../../src/ops/catalog.ts'
import { overFastBackends } from '../../harness/backends.ts'
import { everySmallSize, randomSizes } from '../../../src/verify/ops/agreement.ts'
import { attentionLaws } from '../../../src/verify/ops/attention.ts'
import { attentionI8Laws } from '../../../src/verify/ops/attention_i8.ts'
import { allIsDense, choosingOps, chosenIsZeroed, othersAreUnseen } from '../../../src/verify/ops/chosen.ts'
import * as copyRows from '../../../src/verify/ops/copy_rows.ts'
import * as halfPrecision from '../../../src/verify/ops/half_precision.ts'
import * as int4Product from '../../../src/verify/ops/int4_product.ts'
import * as int8Product from '../../../src/verify/ops/int8_product.ts'
import { stateLaws, type LawGroups } from '../../harness/state.ts'
import type { BackendLaw } from '../../../src/verify/ops/law.ts'
import * as layerNorm from '../../../src/verify/ops/layer_norm.ts'
import * as linear from '../../../src/verify/ops/linear.ts'
import * as rmsNorm from '../../../src/verify/ops/rms_norm.ts'
import * as softmax from '../../../src/verify/ops/softmax.ts'
import { tokenOps, tokensApart } from '../../../src/verify/ops/tokens.ts'
import * as zeroTerms from '../../../src/verify/ops/zero_terms.ts'
import { runSeed } from '../../harness/seed.ts'
import { inOrderOfBlocks, pastABlock, whereverItStands } from './block_laws.ts'
import { attentions, longestContext, longHeads, longRows } from '../wasm/block_laws.ts'

const isFast = (op: KernelName): boolean => fastOps.includes(op)
const choosing = choosingOps().filter(isFast)

const chapters: LawGroups = {
  // "The same bits wherever arrays stand" judges the offsets.
  agreement: fastOps.flatMap((op) => [everySmallSize(op, undefined, true), randomSizes(op)]),
  'chosen units': choosing.flatMap((op) => [allIsDense(op), chosenIsZeroed(op), othersAreUnseen(op)]),
  tokens: tokenOps().filter(isFast).map(tokensApart),
  'half precision': Object.values(halfPrecision),
  'int8 products': Object.values(int8Product),
  'int4 products': Object.values(int4Product),
  products: Object.values(linear),
  'terms of zero': Object.values(zeroTerms),
  attention: Object.values(attentionLaws),
  'attention over int8': Object.values(attentionI8Laws),
  'layer norm': Object.values(layerNorm),
  'root mean square norm': Object.values(rmsNorm),
  softmax: Object.values(softmax),
  'copied rows': Object.values(copyRows),
}
/** Cases of a law that draws them. The exact kernels, which these differ from in the order of sums, are tried on all. */
const CASES = 40

const fewCases = (laws: readonly BackendLaw[]): BackendLaw[] =>
  laws.map((law) => ({ ...law, runs: Math.min(law.runs, CASES) }))

stateLaws(
  Object.fromEntries(Object.entries(chapters).map(([title, laws]) => [title, fewCases(laws)])),
  overFastBackends,
)

describe('blocks and wide loads', () => {
  overFastBackends((backend) => {
    test.each(fastOps)('%s: every letter around the edges of a block', (op) => {
      pastABlock(backend, op, runSeed())
    })

    test.each(fastOps)('%s: the same bits wherever arrays stand', (op) => {
      whereverItStands(backend, op, runSeed())
    })

    test('rows as long as int8 sums may be', () => longRows(backend, runSeed(), true))

    test('int4 inputs in the order of their blocks', () => inOrderOfBlocks(backend, runSeed()))

    test.each(attentions)('%s: heads past a tile, and as many positions as fit', (op) => {
      longHeads(backend, op, runSeed())
      longestContext(backend, op, runSeed())
    })
  })
})
