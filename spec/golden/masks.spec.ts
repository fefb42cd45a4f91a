/**
 * Masks: heads, neurons and both, one mask for a batch or one per sequence, skipped or simulated, give the masked logits
 * and losses of three independent routes (fixtures/golden/README.md); greedy text, dense and sparse, is exact.
 */
import { describe, expect, test } from 'vitest'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { forwardBatch } from '../../src/engine/batch.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { overBackends } from '../harness/backends.ts'
import {
  casesOf,
  expectNear,
  get,
  getFloats,
  getIds,
  llamaVariants,
  readCase,
  tolerance,
  variants,
  type Case,
} from './golden.ts'
import { expectLogits, expectLoss, maskedKinds, maskOf, rowsOf, withGolden, type LogitsOf } from './model.ts'

const { logits: near } = tolerance
function runBatch(
  model: LanguageModel,
  tensors: Case,
  masks: UnitMask | UnitMask[],
  mode: 'skip' | 'simulate',
): LogitsOf {
  const rows = rowsOf(tensors)
  const ids = getIds(tensors, 'input_ids')
  const attention = getIds(tensors, 'attention_mask')
  const logits = forwardBatch(model, ids, attention, rows.B, rows.T, { masks, mode })
  return (sequence) => rows.cut(logits, sequence, model.config.vocabulary)
}

overBackends((backend) => {
  for (const variant of variants)
    describe(variant, () => {
      for (const name of casesOf[variant]) {
        const tensors = readCase(variant, name)
        for (const mode of ['skip', 'simulate'] as const)
          test(`${name}: ${mode} heads, neurons, both`, () =>
            withGolden(variant, backend, (model) => {
              for (const [key, kind] of maskedKinds(tensors)) {
                const logitsOf = runBatch(model, tensors, maskOf(model, tensors, kind), mode)
                expectLogits(tensors, `${key}.logits`, logitsOf)
                expectLoss(backend, tensors, `${key}.loss`, logitsOf)
              }
            }))
      }
    })

  test('a mask of its own for each sequence of a batch', () =>
    withGolden('preln', backend, (model) => {
      const tensors = readCase('preln', 'batch')
      const { layers, heads, neurons } = model.shape
      const headMasks = getFloats(tensors, 'head_mask_per_sample')
      const neuronMasks = getFloats(tensors, 'ffn_mask_per_sample')
      const masks = rowsOf(tensors).sequences.map(({ row }) =>
        makeMask(
          model.shape,
          headMasks.slice(row * layers * heads, (row + 1) * layers * heads),
          neuronMasks.slice(row * layers * neurons, (row + 1) * layers * neurons),
        ),
      )
      for (const mode of ['skip', 'simulate'] as const)
        expectLogits(tensors, 'masked_per_sample.logits', runBatch(model, tensors, masks, mode))
    }))

  for (const [variant, kind] of ['preln' as const, ...llamaVariants].flatMap((variant) => [
    [variant, 'dense'] as const,
    [variant, 'sparse'] as const,
  ]))
    test(`greedy, ${kind}, ${variant}: sixteen tokens exact, logits near`, () =>
      withGolden(variant, backend, async (model) => {
        const tensors = readCase(variant, 'greedy')
        const prompt = getIds(tensors, 'prompt')
        const mask = kind === 'sparse' ? maskOf(model, tensors, 'both') : null
        const V = model.config.vocabulary
        const { values: tokens } = get(tensors, `${kind}.tokens`)
        const text: number[] = []
        const steps = generateTokens(model, prompt, { mask, maxTokens: 16, stopIds: [] })
        for await (const { token, index, logits } of steps) {
          text.push(token)
          const expected = get(tensors, `${kind}.logits`).values.subarray(index * V, (index + 1) * V)
          expectNear(logits, expected, near, `logits of step ${index}`)
        }
        // Some files begin with the prompt.
        expect(text).toEqual(Array.from(tokens.slice(-16)))
      }))

  test("a planner sees layer 0's heads and its mask gives the released logits", () =>
    withGolden('preln', backend, (model) => {
      const tensors = readCase('preln', 'predictor')
      const { width } = model.config
      const planner: MaskPlanner = {
        name: 'golden',
        by: 'attention',
        choose({ context, tokens }) {
          const expected = get(tensors, 'first_layer_last_token_context').values
          expectNear(context.subarray((tokens - 1) * width), expected, near, 'context')
          return makeMask(
            model.shape,
            getFloats(tensors, 'head.global_mask_50_layer0kept'),
            getFloats(tensors, 'ffn.global_mask_50_layer0kept'),
          )
        },
      }
      for (const mode of ['skip', 'simulate'] as const) {
        const sequence = model.begin({ planner, mode })
        const logits = sequence.feed(getIds(tensors, 'input_ids'), 'all')
        sequence.dispose()
        expectNear(logits, get(tensors, 'global50_layer0kept.logits').values, near, 'logits')
      }
    }))
})
