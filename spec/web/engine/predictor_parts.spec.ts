/**
 * The parts of the predictor that a page shows are those that score: the scores follow from them.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { rankingOf } from '../../../src/planners/ranking.ts'
import { ShadowModel } from '../../../src/library/shadow_model.ts'
import { mountFolder, readFile } from '../../../src/platform/platform.ts'
import { embeddedFiles } from '../../../src/io/embedded.ts'
import { unitKinds, type UnitMask } from '../../../src/masks/mask.ts'
import type { PromptView } from '../../../src/masks/planner.ts'
import type { UnitScores } from '../../../src/masks/selection.ts'
import { predictorParts } from '../../../src/web/engine/predictor_parts.ts'

let opt: ShadowModel
beforeAll(async () => {
  opt = await ShadowModel.fromPretrained()
})
afterAll(() => opt.dispose())

test('the scores of a prompt are W2 relu(W1 features + b1) + b2', async () => {
  const prompt = Int32Array.from(opt.encode('The captain looked at the sea and', { prefix: true }))
  const parts = (await predictorParts(opt, prompt)) ?? expect.unreachable()
  expect(parts.features).toHaveLength(256)
  const planner = await opt.planner({ planner: 'shadow', sparsity: 0.5 })
  const ranking = rankingOf(planner) ?? expect.unreachable()
  let scores: UnitScores | null = null
  const choose = (view: PromptView): UnitMask => {
    scores = ranking.scores(view)
    return (planner as { choose(view: PromptView): UnitMask }).choose(view)
  }
  await opt.mask(prompt, { planner: { name: 'look', by: 'attention', sourceLayer: 0, choose } })
  for (const kind of unitKinds) {
    const { first, firstBias, second, secondBias } = parts[kind]
    const own = (scores as unknown as UnitScores)[kind].slice(opt.model.shape[kind])
    const row = (matrix: Float32Array, r: number, x: ArrayLike<number>, bias: Float32Array): number =>
      Array.from(x).reduce((sum, value, i) => sum + value * matrix[r * x.length + i], bias[r])
    const inner = Array.from(firstBias, (_, r) => Math.max(0, row(first, r, parts.features, firstBias)))
    expect(second.length).toBe(own.length * inner.length)
    own.forEach((score, o) => expect(score).toBeCloseTo(row(second, o, inner, secondBias), 4))
  }
})

test('a model without a predictor has no parts', async () => {
  const files = Object.entries(embeddedFiles).filter(([name]) => name !== 'predictor.safetensors')
  const folder = mountFolder(
    'without',
    new Map(await Promise.all(files.map(async ([name, url]) => [name, await readFile(url)] as const))),
  )
  const bare = await ShadowModel.fromPretrained(folder)
  expect(await predictorParts(bare, Int32Array.of(2, 5))).toBeNull()
  await bare.dispose()
})
