/**
 * What the page shows of a text is what the library does: the same tokens, the same masks, and distances that can be had
 * from its logits.
 *
 * Tests src/planners/ranking.ts and src/web/engine/unit_switches.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { givenMask } from '../../../src/masks/planner.ts'
import { maskOverlap } from '../../../src/masks/overlap.ts'
import { neuronStudyPlanners, studyPlanners } from '../../../src/web/engine/study_types.ts'
import { keepsHeads } from '../../../src/planners/index.ts'
import { neuronBudget } from '../../../src/planners/late.ts'
import { selectMask } from '../../../src/masks/selection.ts'
import { budgetOf } from '../../../src/library/planner_options.ts'
import { ShadowModel } from '../../../src/library/shadow_model.ts'
import { placeOf } from '../../../src/web/trace/unit_facts.ts'
import { switchUnits } from '../../../src/web/engine/unit_switches.ts'
import { study } from '../../../src/web/engine/study.ts'
import type {
  DenseStep,
  StudyCompared,
  StudyEnd,
  StudyEvent,
  StudyOptions,
  StudyStart,
  StudyStep,
} from '../../../src/web/engine/study_types.ts'

const prompt = 'The captain looked at the sea and'
const maxTokens = 12
let opt: ShadowModel
beforeAll(async () => {
  opt = await ShadowModel.fromPretrained()
})
afterAll(() => opt.dispose())

interface Told {
  readonly start: StudyStart
  readonly steps: StudyStep[]
  readonly dense: DenseStep[]
  readonly end: StudyCompared & StudyEnd
}

async function tell(options: StudyOptions, text = prompt): Promise<Told> {
  const events = study(opt, text, { maxTokens, ...options })
  const told: StudyEvent[] = []
  for (;;) {
    const { done, value } = await events.next()
    if (!done) told.push(value)
    else {
      const steps = told.filter((event) => event.kind === 'step')
      // The dense text begins when the sparse one is complete.
      const dense = told.slice(1 + steps.length, -1) as DenseStep[]
      const end = { ...(told.at(-1) as StudyCompared), ...value }
      return { start: told[0] as StudyStart, steps, dense, end }
    }
  }
}

async function writes(
  options: Parameters<ShadowModel['generate']>[1],
): Promise<{ text: string; ids: number[] }> {
  const ids: number[] = []
  let text = ''
  for await (const step of opt.generate(prompt, { maxTokens, ...options })) {
    if (ids.push(step.token) <= maxTokens) text += step.text
  }
  return { text, ids }
}

const half = { sparsity: 0.5, seed: 3 } as const

describe.each(['shadow', 'prompt-plainact', 'griffin', 'random', 'dense'] as const)(
  'with the %s planner',
  (planner) => {
    test.each([0, 0.8])('both texts are those of generate, at temperature %d', async (temperature) => {
      const { start, steps, dense, end } = await tell({ planner, ...half, temperature })
      const [ownText, denseText] = [
        await writes({ planner, ...half, temperature }),
        await writes({ seed: half.seed, temperature }),
      ]
      expect(steps.map(({ token }) => token)).toEqual(ownText.ids)
      expect(steps.map(({ text }) => text).join('')).toBe(ownText.text)
      // The dense text is not longer than the other.
      expect(dense.map(({ token }) => token)).toEqual(denseText.ids.slice(0, steps.length))
      expect([...steps, ...dense].map(({ index }) => index)).toEqual([...steps.keys(), ...dense.keys()])
      expect(start.pieces.join('')).toBe(prompt)
      const first = ownText.ids.findIndex((id, i) => id !== denseText.ids[i])
      expect(end.divergence).toBe(first < 0 ? null : first)
      expect(dense.findIndex(({ divergence }) => divergence !== null)).toBe(first < dense.length ? first : -1)
    })

    test('the reported scores select the mask of the text', async () => {
      const { start, steps } = await tell({ planner, ...half })
      const scores = steps.flatMap((step) => step.scores ?? [])
      expect(scores).toHaveLength(planner === 'dense' ? 0 : 1)
      const mask = await opt.mask(prompt, { planner, ...half })
      const budget = keepsHeads(planner) ? neuronBudget(budgetOf(half)) : budgetOf(half)
      for (const one of scores) expect(selectMask(one, budget)).toEqual(mask)
      expect(start.denseLayers).toBe(planner === 'dense' ? opt.config.layers : 1)
    })
  },
)

test('the planners of the page that keep all heads are those whose records say so', () =>
  expect(neuronStudyPlanners).toEqual(studyPlanners.filter(keepsHeads)))

test('the oracle is the one given the dense text', async () => {
  const { steps, end } = await tell({ planner: 'oracle', ...half })
  const { ids } = await writes({})
  const mask = await opt.mask(prompt, { planner: 'oracle', continuation: ids, ...half })
  const [scores] = steps.flatMap((step) => step.scores ?? [])
  expect(selectMask(scores, budgetOf(half))).toEqual(mask)
  // What the map is compared with is the oracle scores of the generated tokens.
  const oracle = selectMask(end.oracleScores ?? expect.unreachable(), budgetOf(half))
  expect(maskOverlap(oracle, mask).neurons.jaccard).toBeGreaterThan(0.8)
})

test('a planner that decides when the prompt has run is refused a decision at every token', () =>
  expect(tell({ planner: 'griffin', ...half, decides: 'always' })).rejects.toThrow(
    'planner griffin: expected one decision, when the prompt has run, got one every 1 tokens',
  ))

test('a planner with a decision at every token gives the text of generate', async () => {
  const options = { planner: 'shadow', ...half } as const
  const { steps } = await tell({ ...options, decides: 'always' })
  expect(steps.every(({ scores }) => scores !== null)).toBe(true)
  expect(steps.map(({ token }) => token)).toEqual((await writes({ ...options, every: 1 })).ids)
})

describe('under units switched by hand', () => {
  const off = { unit: { kind: 'heads', layer: 5, index: 1 }, on: false } as const
  const first = { unit: { kind: 'heads', layer: 0, index: 1 }, on: false } as const

  test.each(['shadow', 'griffin', 'random', 'dense'] as const)(
    'with the %s planner the text is that of the switched mask, and its KL is of that text',
    async (planner) => {
      const mask = await opt.mask(prompt, { planner, ...half })
      const flipped = Array.from({ length: 40 }, (_, i) => {
        const unit = { kind: i < 8 ? 'heads' : 'neurons', layer: 6, index: i } as const
        return { unit, on: mask[unit.kind][placeOf(unit, mask)] === 0 }
      })
      const switches = [first, ...flipped]
      const { start, steps, end } = await tell({ planner, ...half, switches })
      expect(start.switches).toEqual(flipped)
      const switched = givenMask(switchUnits(mask, flipped), await opt.planner({ planner, ...half }))
      const { ids } = await writes({ planner: switched })
      expect(steps.map(({ token }) => token)).toEqual(ids)
      const without = await tell({ planner, ...half })
      expect(end.kl).not.toEqual(without.end.kl)
      expect(Math.max(...(end.kl ?? []))).toBeGreaterThan(0)
    },
  )

  test('a planner that decides at every token decides so each time', async () => {
    const options = { planner: 'shadow', sparsity: 0, seed: 3, maxTokens: 4 } as const
    const every = await tell({ ...options, decides: 'always', switches: [off] })
    // Nothing else is skipped, so that each decision is the first.
    const once = await tell({ ...options, switches: [off] })
    expect(every.end.kl?.[1]).toBeGreaterThan(0)
    expect(every.steps.map(({ token }) => token)).toEqual(once.steps.map(({ token }) => token))
  })

  test('a switch in a layer that runs before a mask is decided changes no text', async () => {
    const { start, end } = await tell({ planner: 'dense', switches: [first] })
    expect([start.switches, end.divergence, end.kl?.[0]]).toEqual([[], null, 0])
  })

  test.each([
    { kind: 'heads', layer: 8, index: 0 },
    { kind: 'neurons', layer: 1, index: 1024 },
    { kind: 'heads', layer: -1, index: 0 },
  ] as const)('%o is refused', (unit) =>
    expect(tell({ switches: [{ unit, on: true }] })).rejects.toMatchObject({
      code: 'OPTIONS',
      message: `switches: expected units of the model, got ${unit.kind} ${unit.index} of layer ${unit.layer}`,
    }),
  )
})

test('KL is that of the distributions after the sparse text, and 0 if nothing is skipped', async () => {
  const { start, steps, end } = await tell({ planner: 'random', sparsity: 0.7, seed: 1 })
  const mask = await opt.mask(prompt, { planner: 'random', sparsity: 0.7, seed: 1 })
  const ids = Int32Array.of(...start.prompt, ...steps.map(({ token }) => token))
  const { vocabulary: V } = opt.config
  const rows = (given: typeof mask | null): Float32Array => {
    const sequence = opt.model.begin({ mask: given, capacity: ids.length })
    const logits = sequence.feed(ids, 'all')
    sequence.dispose()
    return logits
  }
  const [dense, sparse] = [rows(null), rows(mask)]
  const shares = (logits: Float32Array, row: number): Float64Array => {
    const weights = Float64Array.from(logits.subarray(row * V, (row + 1) * V), Math.exp)
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return weights.map((weight) => weight / total)
  }
  expect(end.divergence).not.toBeNull()
  expect(end.kl).toHaveLength(steps.length)
  for (const [index, kl] of (end.kl ?? []).entries()) {
    const [p, q] = [
      shares(dense, start.prompt.length - 1 + index),
      shares(sparse, start.prompt.length - 1 + index),
    ]
    expect(kl).toBeCloseTo(
      p.reduce((sum, share, v) => sum + share * Math.log(share / q[v]), 0),
      8,
    )
  }
  expect((await tell({ planner: 'dense' })).end.kl).toEqual(steps.map(() => 0))
  expect((await tell({ planner: 'random', compares: false })).end.kl).toBeNull()
})

test('both models are timed in as many rounds, where the context has space for enough', async () => {
  const { end } = await tell({ ...half, maxTokens: 2 })
  expect(end.rounds?.sparse.length).toBeGreaterThanOrEqual(12)
  expect(end.rounds?.dense).toHaveLength(end.rounds?.sparse.length ?? NaN)
  for (const time of [...(end.rounds?.sparse ?? []), ...(end.rounds?.dense ?? [])])
    expect(time).toBeGreaterThan(0)
  expect((await tell({ ...half, compares: false })).end.rounds).toBeNull()
  // 256 positions, and a prompt of 227 tokens: seven rounds of four would be too few.
  expect((await tell({ ...half, maxTokens: 1 }, ' sea'.repeat(226))).end.rounds).toBeNull()
})

test('int8 weights generate text, and have no oracle scores', async () => {
  const small = await ShadowModel.fromPretrained('embedded', { storage: 'int8' })
  const events: StudyEvent[] = []
  for await (const event of study(small, prompt, { maxTokens: 3 })) events.push(event)
  expect(events.at(-1)).toMatchObject({ kind: 'compared', oracleScores: null })
  await small.dispose()
})

test('aborted or left early, it frees all memory', async () => {
  await opt.mask(prompt, half) // the predictor is read once and stays
  const before = opt.model.backend.liveBuffers
  for await (const event of study(opt, prompt, { maxTokens }))
    if (event.kind === 'step' && event.index === 2) break
  expect(opt.model.backend.liveBuffers).toBe(before)
  for await (const event of study(opt, prompt, { maxTokens }))
    if (event.kind === 'dense' && event.index === 2) break
  expect(opt.model.backend.liveBuffers).toBe(before)
  const controller = new AbortController()
  const steps = study(opt, prompt, { maxTokens, signal: controller.signal })
  await steps.next()
  await steps.next()
  controller.abort(new Error('enough'))
  await expect(steps.next()).rejects.toThrow('enough')
  expect(opt.model.backend.liveBuffers).toBe(before)
})

test.each<[string, StudyOptions, string]>([
  ['PLANNER', { planner: 'nobody' as 'shadow' }, prompt],
  ['SPARSITY', { sparsity: 2 }, prompt],
  ['CALIBRATION_MISSING', { planner: 'static' }, prompt],
  ['PREDICTOR_MISSING', { planner: 'dejavu' }, prompt],
  ['MAX_TOKENS', { maxTokens: 0 }, prompt],
  ['TEMPERATURE', { temperature: -1 }, prompt],
  ['CRITERION_NAME', { planner: 'oracle', criterion: 'taste' }, prompt],
  ['CONTEXT_LENGTH', {}, 'sea '.repeat(300)],
])('refused: %s', async (code, options, text) => {
  await expect(tell(options, text)).rejects.toMatchObject({ code })
})
