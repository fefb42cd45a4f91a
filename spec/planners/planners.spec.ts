/**
 * The planners that run a pass of their own, DejaVu's, and all of them by name.
 *
 * A law judges the function that makes a planner, so that the mutants at the end can be judged too. Predictors are
 * stand-ins that write down what they are shown.
 *
 * Tests src/masks/planner.ts, src/planners/dejavu.ts, src/planners/dejavu_style.ts, src/planners/dense.ts,
 * src/planners/index.ts, src/planners/late.ts, src/planners/leaky.ts, src/planners/make.ts, src/planners/prompt_plainact.ts and
 * src/planners/record.ts.
 */
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { plainact } from '../../src/criteria/plainact.ts'
import { makeBudget, type Budget } from '../../src/masks/budget.ts'
import { denseMask, type UnitShape } from '../../src/masks/mask.ts'
import type { MaskPlanner, PromptView } from '../../src/masks/planner.ts'
import { selectMask, type UnitScores } from '../../src/masks/selection.ts'
import { backward } from '../../src/engine/backward.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { denseLayers, type PredictorConfig } from '../../src/predictor/predictor_config.ts'
import { dejavuPlanner } from '../../src/planners/dejavu.ts'
import { leakyMask } from '../../src/planners/leaky.ts'
import type { RankingPlanner } from '../../src/planners/ranking.ts'
import { defaultEvery, keepsHeads, plannerOf, planners, plannersThat } from '../../src/planners/index.ts'
import { dejavuStylePlanner } from '../../src/planners/dejavu_style.ts'
import { promptPlanner } from '../../src/planners/prompt_plainact.ts'
import { plannerNames, type PlannerName } from '../../src/planners/index.ts'
import { makePlanner, type PlannerOptions } from '../../src/planners/make.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import type { PlannerSources } from '../../src/planners/record.ts'
import { Random } from '../../src/tensor/random.ts'
import { expectNear, get, getFloats, getIds, readCase, tolerance } from '../golden/golden.ts'
import { anyModel, forAll, tokensOf, withModel, type ModelLaw } from '../../src/verify/model/cases.ts'
import { withGolden } from '../golden/model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { sameBits } from '../../src/verify/compare.ts'
import { anyData } from '../harness/seed.ts'
import { roundedShare } from '../masks/cases.ts'
import { findsEach, stateLaws } from '../engine/cases.ts'
import { randomScores } from '../../src/criteria/random.ts'
import { contextWidth } from '../../src/engine/config.ts'

const golden = readCase('preln', 'predictor')
const shape = { layers: 2, heads: 4, neurons: 64 }

/** Scores that depend on the shape and a seed only. */
const scoresOf = (units: UnitShape, seed: number): UnitScores => randomScores(units, new Random(seed))

/** The mask of a sequence after its prompt. */
function plannedIn(
  model: LanguageModel,
  planner: MaskPlanner,
  prompt: Int32Array,
): ReturnType<typeof denseMask> {
  const sequence = model.begin({ planner })
  try {
    sequence.feed(prompt, 'none')
    return sequence.mask ?? denseMask(model.shape)
  } finally {
    sequence.dispose()
  }
}

const promptLaw = (make = promptPlanner): ModelLaw =>
  forAll(
    "prompt-plainact keeps what one forward and one backward pass over the prompt's own loss score highest, and leaves nothing behind",
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const prompt = data.ids('prompt', data.whole('length', 2, model.positions), model.vocabulary)
        const budget = makeBudget(data.numbers('sparsity', 1, (stream) => stream.uniform(), 0)[0])
        const trace = traceForward(loaded, prompt)
        const gradients = backward(loaded, trace, prompt)
        const input = { model: loaded, tokens: prompt, labels: prompt, trace, gradients, seed: 0 }
        const expected = selectMask(plainact.score(input), budget)
        gradients.dispose()
        trace.dispose()
        const before = subject.backend.liveBuffers
        expect(plannedIn(loaded, make(loaded, budget), prompt)).toEqual(expected)
        expect(subject.backend.liveBuffers).toBe(before)
      }),
  )

const styleLaw = (
  make: (...args: Parameters<typeof dejavuStylePlanner>) => MaskPlanner = dejavuStylePlanner,
): ModelLaw =>
  forAll(
    "dejavu-style is shown every layer's own heads at the last prompt token, as the dense model computes them",
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const prompt = tokensOf(model, data)
        const budget = makeBudget(data.numbers('sparsity', 1, (stream) => stream.uniform(), 0)[0])
        const { layers } = loaded.config
        const D = contextWidth(loaded.config)
        const scores = scoresOf(loaded.shape, model.seed)
        const shown: Float32Array[] = []
        const predict = (last: Float32Array): UnitScores => {
          shown.push(last)
          return scores
        }
        const mask = plannedIn(loaded, make(loaded, { predict }, budget), prompt)
        expect(mask).toEqual(selectMask(scores, budget))
        expect(shown).toHaveLength(1)
        for (let sourceLayer = 0; sourceLayer < layers; sourceLayer++) {
          const look = ({ context, tokens }: PromptView): ReturnType<typeof denseMask> => {
            const row = shown[0].subarray(sourceLayer * D, (sourceLayer + 1) * D)
            sameBits(`layer ${sourceLayer}`, row, context.subarray((tokens - 1) * D))
            return denseMask(loaded.shape)
          }
          plannedIn(loaded, { name: 'looking', sourceLayer, by: 'attention', choose: look }, prompt)
        }
      }),
  )

const dejavuLaw = (make = dejavuPlanner): ModelLaw =>
  forAll(
    'dejavu decides every layer but the first at every token, from the stream that entered the layer before it, and keeps its share of each',
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const tokens = tokensOf(model, data)
        const prompt = data.whole('prompt', 1, tokens.length)
        const denseLayers = data.whole('denseLayers', 0, 2)
        const budget = makeBudget(data.numbers('sparsity', 1, (stream) => stream.uniform(), 0)[0], {
          headFloor: 0,
          denseLayers,
        })
        const first = Math.max(1, denseLayers)
        const entered: Float32Array[] = []
        const decided: number[] = []
        const planner = make(
          {
            predictLayer(layer, stream) {
              sameBits(`stream before layer ${layer}`, stream, entered[layer - 1])
              decided.push(layer)
              const { heads, neurons } = model
              const scores = scoresOf({ layers: 1, heads, neurons }, model.seed + decided.length)
              return { heads: scores.heads, neurons: scores.neurons }
            },
          },
          budget,
        )
        const spy: MaskPlanner = {
          ...planner,
          by: 'layer',
          choose(layer, x, rows) {
            entered[layer] = x.slice((rows - 1) * loaded.config.width)
            return planner.choose(layer, x, rows) ?? null
          },
        }
        const sequence = loaded.begin({ planner: spy })
        try {
          sequence.feed(tokens.slice(0, prompt), 'none')
          if (prompt < tokens.length) sequence.feed(tokens.slice(prompt), 'none')
          const once = Array.from({ length: Math.max(0, model.layers - first) }, (_, l) => l + first)
          expect(decided).toEqual(Array.from({ length: tokens.length - prompt + 1 }, () => once).flat())
          for (const kind of ['heads', 'neurons'] as const)
            for (let layer = 0; layer < model.layers; layer++) {
              const units = model[kind]
              const row = sequence.mask?.[kind].subarray(layer * units, (layer + 1) * units)
              const share = layer < first ? 0 : budget.headSparsity
              expect(row?.reduce((sum, value) => sum + value, 0)).toBe(roundedShare(units, share))
            }
        } finally {
          sequence.dispose()
        }
      }),
  )

const leakyLaw = (ask = leakyMask): ModelLaw =>
  forAll(
    'a leaky mask is the one that is planned when the whole text is the prompt, and is asked for once',
    { model: anyModel, data: anyData },
    (subject, { model, data }) =>
      withModel(subject, model, (loaded) => {
        const text = tokensOf(model, data)
        let asked = 0
        const honest: MaskPlanner = {
          name: 'law',
          by: 'attention',
          choose({ context, tokens, ids }) {
            asked++
            expect(ids).toEqual(text)
            expect(context.length).toBe(tokens * contextWidth(loaded.config))
            return selectMask(scoresOf(loaded.shape, ids.length), makeBudget(0.5))
          },
        }
        const leaky = { ...honest, leaky: true, every: data.whole('every', 1, 3) }
        expect(() => loaded.begin({ planner: leaky })).toThrow('expected one that sees the prompt only')
        const mask = ask(loaded, leaky, text)
        expect(asked).toBe(1)
        expect(mask).toEqual(plannedIn(loaded, honest, text))
      }),
  )

stateLaws('planners', {
  prompt: promptLaw(),
  style: styleLaw(),
  dejavu: dejavuLaw(),
  leaky: leakyLaw(),
})

findsEach('%s: killed', promptLaw, {
  'prompt-plainact forgets the last token': (model, budget) => {
    const right = promptPlanner(model, budget)
    return {
      ...right,
      by: 'attention',
      choose: (view) =>
        right.choose({
          ...view,
          ids: view.ids.subarray(0, Math.max(2, view.ids.length - 1)),
        }) as ReturnType<typeof denseMask>,
    }
  },
  'prompt-plainact keeps the trace': (model, budget) => {
    const right = promptPlanner(model, budget)
    return {
      ...right,
      by: 'attention',
      choose(view) {
        traceForward(model, view.ids)
        return right.choose(view) as ReturnType<typeof denseMask>
      },
    }
  },
})

findsEach('%s: killed', styleLaw, {
  'dejavu-style sees the first token': (model, predictor, budget) => ({
    name: 'mutant',
    by: 'attention',
    choose: ({ ids }) => {
      const right = dejavuStylePlanner(model, predictor, budget)
      const view = { context: new Float32Array(0), tokens: 1, ids: ids.slice(0, 1) }
      return right.choose(view) as ReturnType<typeof denseMask>
    },
  }),
})

findsEach('%s: killed', dejavuLaw, {
  'dejavu does not look ahead': (predictor, budget) => {
    const right = dejavuPlanner(predictor, budget)
    return {
      ...right,
      by: 'layer',
      choose(layer, x, rows) {
        right.choose(0, x, rows)
        return right.choose(layer, x, rows) ?? null
      },
    }
  },
  'dejavu sees the first row': (predictor, budget) => {
    const right = dejavuPlanner(predictor, budget)
    return {
      ...right,
      by: 'layer',
      choose: (layer, x, rows) => right.choose(layer, x.subarray(0, x.length / rows), 1) ?? null,
    }
  },
  'dejavu decides once': (predictor, budget) => ({ ...dejavuPlanner(predictor, budget), every: undefined }),
})

findsEach('%s: killed', leakyLaw, {
  'a leaky mask sees all but the last token': (model, planner, text) =>
    leakyMask(model, planner, text.slice(0, -1)),
})

describe('by name', () =>
  overQuickBackends((backend) => {
    const sourcesOf = (
      model: LanguageModel,
    ): Required<Omit<PlannerSources, 'topK' | 'seed' | 'criterion'>> => {
      const scores = scoresOf(model.shape, 1)
      const predict = (): UnitScores => scores
      const predictLayer = (layer: number): { heads: Float32Array; neurons: Float32Array } => ({
        heads: scores.heads.slice(layer * shape.heads, (layer + 1) * shape.heads),
        neurons: scores.neurons.slice(layer * shape.neurons, (layer + 1) * shape.neurons),
      })
      return {
        model,
        mean: scores,
        oracleScores: scores,
        shadow: { predict },
        'dejavu-style': { predict },
        dejavu: { predictLayer },
      }
    }
    const withModelOf = (work: (model: LanguageModel) => void, on: Backend = backend): Promise<void> =>
      withGolden('preln', on, work)

    test('a planner decides as its record says, and is refused without each of its needs', () =>
      withModelOf((model) => {
        const sources = sourcesOf(model)
        const sourceOf = { calibration: 'mean', continuation: 'oracleScores' } as const
        for (const { name, by, needs } of planners) {
          expect(makePlanner(name, sources, makeBudget(0.5))?.by ?? null).toBe(by)
          // The loss of the prompt is computed from the model.
          const keys = needs
            .filter((need) => need !== 'prompt-loss')
            .map((need) => (need === 'predictor' ? (name as 'shadow') : sourceOf[need]))
          for (const key of keys)
            expect(
              () => makePlanner(name, { ...sources, [key]: undefined }, makeBudget(0.5)),
              `${name} without ${key}`,
            ).toThrow(expect.objectContaining({ code: 'PLANNER_SOURCE', exitCode: 4 }))
          const only = { model, ...Object.fromEntries(keys.map((key) => [key, sources[key]])) }
          expect(() => makePlanner(name, only, makeBudget(0.5)), `${name} with its needs`).not.toThrow()
        }
      }))

    test('a planner that there is none of is refused by name', () =>
      withModelOf((model) => {
        expect(() => makePlanner('none' as 'dense', sourcesOf(model), makeBudget(0.5))).toThrow(
          'planner: expected one of dense, static',
        )
      }))

    test('every planner can be created, has its name and decides; dense needs no input', () =>
      withModelOf((model) => {
        const prompt = getIds(golden, 'input_ids')
        for (const name of plannerNames) {
          const planner = makePlanner(name, sourcesOf(model), makeBudget(0.5))
          if (name === 'dense') {
            expect(planner).toBeNull()
            continue
          }
          expect(planner?.name).toBe(name)
          expect(planner?.every).toBe(defaultEvery(name) === 1 ? 1 : undefined)
          const mask = plannedIn(model, planner as MaskPlanner, prompt)
          for (const kind of ['heads', 'neurons'] as const) {
            const keepsAll = plannerOf(name).skips === 'channels' || (kind === 'heads' && keepsHeads(name))
            const layers = keepsAll ? 2 : 1.5
            // The share of cats is that of all tokens of the prompt.
            if (kind === 'heads' || name !== 'cats')
              expect(mask[kind].reduce((sum, value) => sum + value, 0)).toBe(layers * shape[kind])
          }
        }
      }))

    test('a prompt of one token has no loss', () =>
      withModelOf((model) => {
        expect(() => plannedIn(model, promptPlanner(model, makeBudget(0.5)), Int32Array.of(2))).toThrow(
          'planner prompt-plainact: expected a prompt of at least two tokens, got 1',
        )
        expect(model.backend.liveBuffers).toBeGreaterThan(0)
      }))

    test('options choose one or repeated decisions, and whether the answer is shown', () =>
      withModelOf((model) => {
        const sources = sourcesOf(model)
        const budget = makeBudget(0.5)
        expect(makePlanner('shadow', sources, budget, { every: 4 })).toMatchObject({ every: 4 })
        expect(makePlanner('dejavu', sources, budget, { every: 'once' })?.every).toBeUndefined()
        expect(makePlanner('shadow', sources, budget, { every: 'auto' })).toMatchObject({
          every: 5,
          shift: 0.1,
        })
        expect(makePlanner('shadow', sources, budget, { leaky: true })).toMatchObject({ leaky: true })
        expect(makePlanner('shadow', sources, budget)).not.toHaveProperty('leaky')
        expect(makePlanner('shadow', sources, budget, { prefill: 'dense' })).toMatchObject({
          prefill: 'dense',
        })
      }))

    test('a prompt that cannot run as it is asked is refused, and a second decision after a dense one', () =>
      withModelOf((model) => {
        const refused: [PlannerName, PlannerOptions, string][] = [
          ['griffin', { prefill: 'masked' }, 'PREFILL'],
          ['griffin', { every: 4 }, 'EVERY'],
          ['griffin-static', { prefill: 'masked' }, 'PREFILL'],
          ...plannersThat(({ by }) => by === 'gate' || by === 'channels').flatMap((name): typeof refused => [
            [name, { prefill: 'masked' }, 'PREFILL'],
            [name, { every: 4 }, 'EVERY'],
            [name, { every: 'once' }, 'EVERY'],
            [name, { every: 'auto' }, 'EVERY'],
          ]),
          ['griffin', { every: 'auto' }, 'EVERY'],
          ['dejavu', { every: 'auto' }, 'EVERY'],
          ['shadow', { prefill: 'dense', leaky: true }, 'PREFILL'],
          ['teal', { leaky: true }, 'PREFILL'],
          ['wina', { leaky: true }, 'PREFILL'],
          ['dense', { prefill: 'half' as 'dense' }, 'PREFILL'],
        ]
        for (const [name, options, code] of refused)
          expect(() => makePlanner(name, sourcesOf(model), makeBudget(0.5), options), name).toThrow(
            expect.objectContaining({ code, exitCode: 2 }),
          )
      }))

    test('the paper-compatible policy gives the golden masks and logits', () =>
      withModelOf((model) => {
        const mean = {
          shape,
          heads: getFloats(golden, 'head.scores'),
          neurons: getFloats(golden, 'ffn.scores'),
        }
        const prompt = getIds(golden, 'input_ids')
        for (const percent of [25, 50, 75]) {
          const planner = makePlanner('static', { model, mean }, makeBudget(percent / 100), {
            paperCompatible: true,
          })
          const { heads, neurons } = plannedIn(model, planner as MaskPlanner, prompt)
          expect(heads).toEqual(getFloats(golden, `head.global_mask_${percent}_layer0kept`))
          expect(neurons).toEqual(getFloats(golden, `ffn.global_mask_${percent}_layer0kept`))
        }
        const planner = makePlanner('static', { model, mean }, makeBudget(0.5), { paperCompatible: true })
        const sequence = model.begin({ planner })
        const logits = sequence.feed(prompt, 'all')
        sequence.dispose()
        expectNear(logits, get(golden, 'global50_layer0kept.logits').values, tolerance.logits, 'logits')
      }))

    test('the released dejavu-style omits its scaling in global scope', () =>
      withModelOf((model) => {
        const seen: unknown[] = []
        const dejavuStyle: NonNullable<PlannerSources['dejavu-style']> = {
          predict(_last, scaling) {
            seen.push(scaling)
            return scoresOf(shape, 1)
          },
        }
        for (const paperCompatible of [false, true])
          for (const scope of ['global', 'per-layer', 'hybrid'] as const) {
            const budget = makeBudget(0.5, { scope })
            const planner = makePlanner('dejavu-style', { model, 'dejavu-style': dejavuStyle }, budget, {
              paperCompatible,
            })
            plannedIn(model, planner as MaskPlanner, Int32Array.of(2, 3))
          }
        expect(seen).toEqual(['fixed', 'fixed', 'fixed', 'as-shipped', 'fixed', 'as-shipped'])
      }))
  }))

test('layers up to the source layer of a predictor are dense, unless it ranks them once, after a prompt that runs dense', () => {
  const units = { layers: 4, heads: 3, neurons: 5 }
  const scores = scoresOf(units, 3)
  const planned = (
    sourceLayer: number,
    budget: Budget,
    ranksFrom?: number,
    options: PlannerOptions = {},
  ): number[] => {
    const shadow = { config: { sourceLayer, ranksFrom }, predict: () => scores }
    const planner = makePlanner(
      'shadow',
      { shadow } as unknown as PlannerSources,
      budget,
      options,
    ) as RankingPlanner
    expect(planner.sourceLayer).toBe(sourceLayer)
    const view = { context: new Float32Array(6), tokens: 1, ids: Int32Array.of(1) }
    const mask = planner.choose(view)
    return Array.from({ length: 4 }, (_, layer) =>
      mask.neurons.subarray(5 * layer, 5 * layer + 5).reduce((sum, value) => sum + value, 0),
    )
  }
  expect(planned(2, makeBudget(1, { headFloor: 0 }))).toEqual([5, 5, 5, 0])
  expect(planned(0, makeBudget(1, { headFloor: 0, denseLayers: 2 }))).toEqual([5, 5, 0, 0])
  const all = makeBudget(1, { headFloor: 0 })
  expect(planned(2, all, 1, { prefill: 'dense' })).toEqual([5, 0, 0, 0])
  for (const options of [{}, { prefill: 'masked' }, { prefill: 'dense', every: 16 }] as const)
    expect(planned(2, all, 1, options)).toEqual([5, 5, 5, 0])
  expect(planned(2, all, undefined, { prefill: 'dense' })).toEqual([5, 5, 5, 0])
})

test('layers that a predictor leaves dense are counted as its planner leaves them', () => {
  const of = (kind: 'shadow' | 'dejavu', sourceLayer: number, ranksFrom?: number): PredictorConfig =>
    ({ kind, sourceLayer, ranksFrom }) as PredictorConfig
  expect(denseLayers(of('shadow', 2), false)).toBe(3)
  expect(denseLayers(of('shadow', 2, 1), false)).toBe(3)
  expect(denseLayers(of('shadow', 2, 1), true)).toBe(1)
  expect(denseLayers(of('dejavu', 2), false)).toBe(1)
})

test('a random planner draws again for each decision', () => {
  const planner = randomPlanner({ layers: 3, heads: 8, neurons: 64 }, makeBudget(0.5), 3)
  const view = { context: new Float32Array(6), tokens: 1, ids: Int32Array.of(1) }
  expect(planner.choose(view)).not.toEqual(planner.choose(view))
})
