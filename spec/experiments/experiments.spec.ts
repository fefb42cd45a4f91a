/**
 * Experiments: each runs to its end on a small model, says what was measured, and compares like with like.
 *
 * Tests src/experiments/timing_experiments.ts, src/experiments/criteria_experiments.ts, src/experiments/experiment.ts,
 * src/experiments/few_shot.ts, src/experiments/index.ts, src/experiments/predictor_experiments.ts,
 * src/experiments/published.ts and src/experiments/sparsity_curve.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { criteria } from '../../src/criteria/index.ts'
import { backwardFlops, forwardFlops, lossFlops } from '../../src/cost/calibration_cost.ts'
import type { ExperimentResult } from '../../src/results/experiment_result.ts'
import type { ExperimentContext } from '../../src/experiments/experiment.ts'
import { fewShot, windowsWithShots } from '../../src/experiments/few_shot.ts'
import { experimentNames, experiments, runByName } from '../../src/experiments/index.ts'
import { sparsityCurve } from '../../src/experiments/sparsity_curve.ts'
import { Measured, measureVariants, type Variant } from '../../src/experiments/variants.ts'
import { figure, sayDifference } from '../../src/results/cells.ts'
import type { MethodScore } from '../../src/evaluation/window_evaluator.ts'
import { denseMethod, makeMethod } from '../../src/results/method.ts'
import { ExperimentCache, type CacheOptions } from '../../src/experiments/cache/experiment_cache.ts'
import { renderHtml } from '../../src/experiments/report/html.ts'
import { formatExperiment } from '../../src/results/terminal.ts'
import { settingsBySize, type Settings } from '../../src/evaluation/settings.ts'
import { somePages, useSmallModel } from '../evaluation/small_model.ts'

const small = useSmallModel('wasm')
let cache: ExperimentCache

const settings: Settings = {
  ...settingsBySize.quick,
  prompt: 12,
  continuation: 10,
  calibration: 8,
  evaluation: 2,
  sparsities: [0.5, 0.75],
  headHidden: 4,
  neuronHidden: 4,
  training: { epochs: 2, batch: 4, rate: 1e-2, decay: 0, heldOut: 0.25, patience: 5 },
  decode: { prompt: 6, tokens: 3, rounds: 1 },
}

const openCache = (more: Partial<CacheOptions> = {}): Promise<ExperimentCache> =>
  ExperimentCache.open({
    ...small.source(),
    store: small.newStore(),
    documents: somePages(20, 'abc'),
    prompt: settings.prompt,
    continuation: settings.continuation,
    ...more,
  })

const contextOf = (own = cache, seeds: readonly number[] = [0]): ExperimentContext => ({
  settings,
  seeds,
  cache: own,
  openCache,
  measured: [],
  command: 'shadowllm reproduce --experiment it',
  // A prompt of an eighth of a window is too short for a word.
  grid: { windows: [settings], sparsities: [0.5] },
})

beforeAll(async () => void (cache = await openCache()))
afterAll(() => cache.dispose())

/** What holds of every result: rows fill the columns, points are numbers, nothing is missing that a page shows. */
function expectWhole(result: ExperimentResult): void {
  expect(result).toMatchObject({ complete: true, command: expect.stringContaining('shadowllm ') })
  expect(result.rows.length).toBeGreaterThan(1)
  expect(result.findings.length).toBeGreaterThan(0)
  for (const row of result.rows)
    for (const { key } of result.columns) expect(row, `${result.name} ${key}`).toHaveProperty(key)
  for (const { series } of result.plots)
    for (const { points } of series) for (const { y } of points) expect(Number.isFinite(y)).toBe(true)
}

/** The experiments whose numbers are times. */
const timed = ['calibration-overhead', 'latency', 'grid']

/** All that an experiment says, without the time that it took: table, findings, points and layers. */
function textOf(result: ExperimentResult): string {
  const points = result.plots.flatMap(({ title, kind, x, y, series }) => [
    `${title} (${kind}): ${x.label} / ${y.label} (${y.scale ?? 'linear'})`,
    ...series.map(({ name, points: all }) =>
      [
        `  ${name}:`,
        ...all.map(
          (one) => `(${one.x}, ${figure(one.y)}${one.error === undefined ? '' : ` ± ${figure(one.error)}`})`,
        ),
      ].join(' '),
    ),
  ])
  const layers = (result.layers ?? []).map(({ name, heads, neurons }) =>
    [`${name}:`, ...heads.map((share, l) => `${figure(share)}/${figure(neurons[l])}`)].join(' '),
  )
  return [formatExperiment({ ...result, seconds: 0 }), ...points, ...layers, ''].join('\n')
}

describe('every experiment', () => {
  // vitest -u writes these files. They change if the numbers do: then the change says why.
  for (const name of experimentNames.filter((one) => one !== 'cost'))
    test(`${name} runs to its end, and says of the small model what it said before`, async () => {
      const result = await runByName(name, contextOf())
      expect(result.name).toBe(name)
      expectWhole(result)
      const text = textOf(result)
      expect(text).toContain(result.title)
      expect(text).not.toContain('undefined')
      if (!timed.includes(name)) await expect(text).toMatchFileSnapshot(`results/${name}.txt`)
    })

  test('one page shows several experiments', async () => {
    const results = [
      await runByName('two-by-two', contextOf()),
      await runByName('predictor-cost', contextOf()),
    ]
    const page = await renderHtml(results, await cache.provenance(0))
    for (const { title } of results) expect(page).toContain(title)
  })

  test('has a name, a title and a question of its own', () => {
    for (const key of ['name', 'title', 'asks'] as const)
      expect(new Set(experiments.map((experiment) => experiment[key])).size).toBe(experiments.length)
    expect(() => runByName('magic', contextOf())).toThrow('experiment: expected one of')
  })
})

test.each([
  [[0.3], 0.3],
  [[0.5, 0.9], 0.5],
  [[0.3, 0.5, 0.8], 0.8],
  [[0.5, 0.7, 0.8], 0.7],
])('of the sparsities %j the layers are shown at %d', async (sparsities, shown) => {
  const small = { ...settings, sparsities, evaluation: 1, training: { ...settings.training, epochs: 1 } }
  const { layers, findings } = await sparsityCurve.run({ ...contextOf(), settings: small })
  for (const { name } of layers ?? []) expect(name).toMatch(new RegExp(`, ${100 * shown} %$`))
  expect(layers?.length).toBeGreaterThan(1)
  // In words at those that the paper is judged by.
  const judged = sparsities.filter((share) => [0.5, 0.7, 0.8].includes(share))
  expect(findings.map((text) => text.split(':')[0])).toEqual(judged.map((share) => `At ${100 * share} %`))
})

test('the number of examples is tried at a sixteenth to the whole of the calibration, at eight at least', async () => {
  const own = { ...settings, calibration: 42, evaluation: 1, training: { ...settings.training, epochs: 1 } }
  const { plots } = await runByName('calibration-size', { ...contextOf(), settings: own })
  // 42/16, 42/8, 10.5, 21 and 42.
  for (const { points } of plots[0].series) expect(points.map(({ x }) => x)).toEqual([8, 11, 21, 42])
})

test.each([32, 33, 100, 256, 4096])(
  'windows of the few-shot experiment are so long that two more fit before each of %d positions',
  async (positions) => {
    const asked: Partial<CacheOptions>[] = []
    const own = {
      ...contextOf(),
      cache: { model: { config: { positions } } } as ExperimentCache,
      openCache: (options: Partial<CacheOptions>) => {
        asked.push(options)
        return Promise.reject(new Error('asked'))
      },
    }
    await expect(fewShot.run(own)).rejects.toThrow('asked')
    const [{ prompt = 0, continuation = 0 }] = asked
    const length = prompt + continuation
    const room = Math.min(256, positions)
    // A fifth of a window is left for what a text begins with.
    expect(3.2 * length).toBeLessThanOrEqual(room)
    expect(3.2 * (length + 1)).toBeGreaterThan(room)
    expect(continuation).toBeLessThanOrEqual(0.4 * length)
    expect(continuation + 1).toBeGreaterThan(0.4 * length)
  },
)

describe('the rows of timed experiments', () => {
  test('scoring: operations are those of the passes, times those of the parts', async () => {
    const { rows, plots, findings } = await runByName('calibration-overhead', contextOf())
    const lengths = cache.windows('calibrate', settings.calibration, 0).map(({ tokens }) => tokens.length)
    const sum = (of: (T: number) => number): number => lengths.reduce((total, T) => total + of(T), 0)
    const { config } = cache.model
    const [forward, back, loss] = [forwardFlops, backwardFlops, lossFlops].map((of) =>
      sum((T) => of(config, T)),
    )
    expect(rows.map(({ criterion }) => criterion)).toEqual(criteria.map(({ name }) => name))
    for (const [i, { cost }] of criteria.entries()) {
      const own = cost.forward * forward + cost.backward * back + sum((T) => 2 * T * 3 * (16 + 24))
      const { flops, seconds, milliseconds, own: after } = rows[i]
      expect(flops).toBeCloseTo((forward + back + own) / (forward + loss), 9)
      // A plain pass takes equally long in every row, and so do the two passes that all share.
      expect(Number(milliseconds) / Number(seconds)).toBeCloseTo(
        Number(rows[0].milliseconds) / Number(rows[0].seconds),
        9,
      )
      expect(Number(milliseconds) - Number(after)).toBeCloseTo(
        Number(rows[0].milliseconds) - Number(rows[0].own),
        9,
      )
      expect(plots[0].series[0].points[i]).toEqual({ x: criteria[i].name, y: seconds })
    }
    const { flops, seconds } = rows.find(({ criterion }) => criterion === 'plainact') ?? {}
    const said = `plainact costs ${Number(flops).toFixed(2)} times the operations of a plain forward pass and ${Number(seconds).toFixed(2)} times its time, medians over 8 windows`
    expect(findings[0]).toContain(said)
  })

  test('decoding: ratios and plots are speeds over the dense speed', async () => {
    const { rows, plots, findings } = await runByName('latency', contextOf())
    const dense = Number(rows[0].speed)
    expect(rows.map(({ planner, sparsity }) => [planner, sparsity])).toEqual([
      ['dense', 0],
      ...[50, 80, 90].flatMap((share) =>
        ['ShadowLLM', 'DejaVu (l2norm)', 'static'].map((name) => [name, share]),
      ),
    ])
    for (const { speed, ratio } of rows) expect(ratio).toBe(Number(speed) / dense)
    const [ours, theirs, fixed] = [1, 2, 3].map((row) => Number(rows[row].ratio))
    expect(plots[0].series.map(({ name, points }) => [name, points[0]])).toEqual([
      ['ShadowLLM', { x: '50 %', y: ours }],
      ['DejaVu (l2norm)', { x: '50 %', y: theirs }],
      ['static', { x: '50 %', y: fixed }],
    ])
    expect(findings[0]).toContain(`ShadowLLM decodes at ${ours.toFixed(2)} times the dense speed`)
    expect(findings[0]).toContain(
      `${(Number(rows[1].speed) / Number(rows[2].speed)).toFixed(2)} times that of DejaVu`,
    )
    expect(findings[0]).toContain(`which predicts nothing, at ${fixed.toFixed(2)}.`)
  })
})

describe('variants', () => {
  const fixed: Variant = {
    label: 'static',
    method: (sparsity) =>
      makeMethod({
        planner: 'static',
        criterion: 'plainact',
        sparsity,
        examples: { count: 4, shots: null },
      }),
  }

  test('are pooled over seeds: perplexity is of all windows together', async () => {
    const [one, two] = [await measure([1]), await measure([2])]
    const both = await measure([1, 2])
    expect(both.scores('static', 0.5)).toEqual([...one.scores('static', 0.5), ...two.scores('static', 0.5)])
    expect(both.dense).toHaveLength(4)

    function measure(seeds: number[]): Promise<Measured> {
      return measureVariants(contextOf(cache, seeds), [fixed], [0.5])
    }
  })

  test('at sparsity 0 are dense', async () => {
    const measured = await measureVariants(contextOf(), [fixed], [0])
    expect(measured.perplexity('static', 0)).toBe(measured.perplexity('dense', 0))
    expect(denseMethod.sparsity).toBe(0)
  })

  const scored = (nll: number): MethodScore => ({
    nll,
    tokens: 10,
    words: 5,
    achieved: { heads: 0, neurons: 0, weights: 0, layers: [] },
  })

  test('state the share of the gap that they close', () => {
    const named = (label: string): Variant => ({ ...fixed, label })
    const measured = new Measured(
      [named('oracle'), named('shadow'), named('static')],
      [0.5],
      new Map(
        [
          ['oracle', 40],
          ['shadow', 45],
          ['static', 50],
        ].map(([label, nll]) => [`${label} 0.5`, [scored(Number(nll)), scored(Number(nll))]]),
      ),
    )
    const [oracle, shadow, statics] = [4, 4.5, 5].map(Math.exp)
    expect(measured.gapClosed('shadow', 'static', 'oracle', 0.5)).toBeCloseTo(
      (statics - shadow) / (statics - oracle),
      10,
    )
    expect(measured.gapClosed('static', 'static', 'oracle', 0.5)).toBe(0)
    expect(measured.gapClosed('shadow', 'oracle', 'static', 0.5)).toBe(null)
    expect(measured.ranking(0.5)).toEqual(['oracle', 'shadow', 'static'])
    expect(measured.difference('shadow', 'static', 0.5).nats).toBeCloseTo(-0.5, 12)
  })

  test('are described as different, or as possibly different by chance', () => {
    expect(sayDifference('a', 'b', { nats: -0.05, error: 0.01 })).toBe(
      'a is 0.050 ± 0.010 nats per token better than b',
    )
    expect(sayDifference('a', 'b', { nats: 0.015, error: 0.01 })).toBe(
      'a is 0.015 ± 0.010 nats per token worse than b, which chance could do',
    )
    expect(sayDifference('a', 'b', { nats: 0.015, error: null })).toContain('which chance could do')
  })
})

test.each([[2], []])(
  'shots are whole windows of the genre put before the prompt; the continuation is the same',
  async (...prefixIds) => {
    const first = prefixIds.length
    const small = await openCache({ prompt: 6, continuation: 4, prefixIds })
    const plain = windowsWithShots(small, 6, 1, 0)
    expect(plain).toEqual(small.windows('calibrate', 6, 1))
    const shown = windowsWithShots(small, 6, 1, 1)
    shown.forEach((window, i) => {
      const before = plain[i]
      const added = window.tokens.length - before.tokens.length
      expect(window.promptLength).toBe(before.promptLength + added)
      expect([...window.tokens.subarray(0, first)]).toEqual(prefixIds)
      expect(window.tokens.slice(window.promptLength)).toEqual(before.tokens.slice(before.promptLength))
      const solved = window.tokens.slice(first, first + added).join()
      const peers = plain.filter((other) => other !== before && other.genre === before.genre)
      expect(peers.map(({ tokens }) => tokens.slice(first).join())).toContain(solved)
    })
    await small.dispose()
  },
)
