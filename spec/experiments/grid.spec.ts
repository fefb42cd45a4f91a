/**
 * The grid: which cells there are, that their numbers are those of other computations, and what is drawn and written of them.
 *
 * Tests src/experiments/grid_cells.ts and src/results/measured_run.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compensatedTable, contextTable, weighingTable } from '../../bench/pages/compensated_table.ts'
import { Grid, gridRunOf } from '../../bench/pages/grid.ts'
import { tablesOf } from '../../bench/pages/grid_table.ts'
import { Pages } from '../../bench/pages/pages.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import type { Document } from '../../src/data/corpus.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { ExperimentCache, type CacheOptions } from '../../src/experiments/cache/experiment_cache.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import { settingsBySize, type Settings } from '../../src/evaluation/settings.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import type { ExperimentContext } from '../../src/experiments/experiment.ts'
import { cellWords, gridCells, type Cell, type GridChoice } from '../../src/experiments/grid_cells.ts'
import { grid } from '../../src/experiments/grid.ts'
import {
  gridFindings,
  gridPlots,
  gridRows,
  poolRuns,
  type ComparedScore,
  type MeasuredCell,
} from '../../src/experiments/grid_rows.ts'
import { renderJson } from '../../src/experiments/report/json.ts'
import { runByName } from '../../src/experiments/index.ts'
import type { Predictor } from '../../src/predictor/predictor_file.ts'
import type { ExperimentResult, Row } from '../../src/results/experiment_result.ts'
import type { MeasuredRun } from '../../src/results/measured_run.ts'
import { denseMethod, makeMethod, planMethod, type Method } from '../../src/results/method.ts'
import { unitsKept } from '../../src/masks/budget.ts'
import { plannerNames } from '../../src/planners/index.ts'
import { Random } from '../../src/tensor/random.ts'
import { mean, near, ratioByHand } from '../evaluation/by_hand.ts'
import { somePages, useSmallModel } from '../evaluation/small_model.ts'
import { compensations } from '../../src/masks/compensation.ts'
import { randomMoments } from '../compensation/random_moments.ts'
import { inlineRunner } from '../jobs/inline_runner.ts'

const small = useSmallModel('wasm')
let predictor: Predictor
beforeAll(() => {
  const { model } = small.source()
  predictor = randomPredictor('shadow', model.config, model.backend, 'f32', 1)
})
afterAll(() => predictor.dispose())

/** A prompt of the token before a text and ten more, and ten after it: five words of a space and a letter each. */
const settings: Settings = {
  ...settingsBySize.quick,
  prompt: 11,
  continuation: 10,
  calibration: 4,
  evaluation: 4,
  sparsities: [0.5, 0.9],
  // Each planner then learns in one way.
  pruned: [],
  decode: { prompt: 6, tokens: 3, rounds: 1 },
}

/** A text whose windows of twenty tokens lie one behind the other; the last word is in none. */
const random = new Random(8)
const words = Array.from({ length: 40 }, () => ` ${'abcdefgh'[random.below(8)]}`)
const scored: Document = { name: 'scored', genre: 'verse', text: [...words, ' x'].join('') }

const measuredRuns: MeasuredRun[] = []
const openCache = (more: Partial<CacheOptions> = {}): Promise<ExperimentCache> =>
  ExperimentCache.open({
    ...small.source(),
    store: small.newStore(),
    onMeasured: (run) => measuredRuns.push(run),
    documents: somePages(20, 'abc'),
    evaluated: [scored],
    predictors: [predictor],
    prompt: settings.prompt,
    continuation: settings.continuation,
    ...more,
  })

const few: GridChoice = {
  planners: ['static', 'oracle', 'griffin', 'shadow', 'cats'],
  sparsities: [0.5],
  every: ['once', 1],
  windows: [settings],
  speed: false,
}

/** Everything that may take the place of skipped units. */
const compensating: GridChoice = {
  planners: ['static', 'glass'],
  units: ['neurons'],
  sparsities: [0.5],
  prefills: ['dense'],
  compensate: compensations,
  promptShares: [0, 0.2],
  scores: ['plainact', 'obs'],
}

/** Runs the grid with a cache of its own. */
async function run(options: Partial<CacheOptions> = {}, choice = few): Promise<ExperimentResult> {
  const cache = await openCache(options)
  const context: ExperimentContext = {
    settings,
    seeds: [0],
    cache,
    openCache: (more) => openCache({ ...options, ...more }),
    measured: measuredRuns,
    command: 'shadowllm reproduce --experiment grid',
    grid: choice,
  }
  try {
    return await runByName('grid', context)
  } finally {
    await cache.dispose()
  }
}

const cellsOf = (choice: GridChoice): Cell[] =>
  gridCells({ model: small.source().model, settings, given: { predictors: [predictor] }, choice })

describe('the cells of the grid', () => {
  const sayCell = ({ units, method: { planner, every, prefill, scope } }: Cell): string =>
    [units, planner, scope, every, prefill].join(' ')

  test('are what planners accept: heads are ranked by some, a masked prompt by some', () => {
    const both = (...words: string[]): string[] =>
      ['dense', 'masked'].map((prefill) => [...words, prefill].join(' '))
    const ranking = (units: string): string[] =>
      ['global', 'per-layer'].flatMap((scope) => both(units, 'static', scope, 'once'))
    const shadow = (units: string): string[] =>
      ['global', 'per-layer'].flatMap((scope) =>
        ['once', '16', '1'].flatMap((every) => both(units, 'shadow', scope, every)),
      )
    expect(
      cellsOf({ planners: ['static', 'griffin', 'cats', 'shadow'], sparsities: [0.5] }).map(sayCell),
    ).toEqual([
      ...ranking('heads'),
      ...shadow('heads'),
      ...ranking('neurons'),
      'neurons griffin per-layer once dense',
      'neurons cats per-layer 1 dense',
      ...shadow('neurons'),
      ...ranking('both'),
      ...shadow('both'),
    ])
  })

  test('of one scope are those of it alone', () => {
    const scopes = (scope?: GridChoice['scope']): unknown =>
      cellsOf({
        planners: ['static', 'griffin'],
        sparsities: [0.5],
        units: ['neurons'],
        prefills: ['dense'],
        scope,
      }).map(({ method }) => `${method.planner} ${method.scope}`)
    expect(scopes()).toEqual(['static global', 'static per-layer', 'griffin per-layer'])
    expect(scopes('per-layer')).toEqual(['static per-layer', 'griffin per-layer'])
    expect(scopes('global')).toEqual(['static global'])
  })

  test('are also those of what takes the place of skipped units, and of scores that moments have', () => {
    const { model } = small.source()
    const cells = gridCells({
      model,
      settings,
      given: { moments: randomMoments(model, 1) },
      choice: { ...compensating, planners: ['static', 'griffin', 'cats'], prefills: ['dense', 'masked'] },
    })
    const instead = (...names: string[]): string[] =>
      names.flatMap((name) => ['', ', mean', ', least squares'].map((words) => name + words))
    const shown = (name: string): string => `${name}, least squares with the prompt`
    const wordsOf = (prompt: string): string[] => {
      const all = cells.map(({ method }) => cellWords(method))
      return all.flatMap((words) => (words.prompt === prompt ? [words.planner] : [])).toSorted()
    }
    const ranked = ['static', 'static, obs', 'static, per layer', 'static, per layer, obs']
    expect(wordsOf('masked')).toEqual(instead(...ranked).toSorted())
    expect(wordsOf('dense')).toEqual(
      [...instead(...ranked, 'griffin'), ...[...ranked, 'griffin'].map(shown), 'cats'].toSorted(),
    )
  })

  test('are also those of planners that learn in another way', () => {
    const { model } = small.source()
    const names = (pruned: readonly number[]): string[] => {
      const choice: GridChoice = {
        planners: ['oracle', 'static', 'shadow', 'dejavu-style', 'dejavu'],
        units: ['both'],
        prefills: ['dense'],
        every: ['once'],
        sparsities: [0.5],
      }
      const cells = gridCells({ model, settings: { ...settings, pruned }, choice })
      return cells
        .map(({ method }) => cellWords(method).planner)
        .filter((name) => !name.endsWith(', per layer'))
    }
    const learnt = ['shadow', 'shadow, as released', 'dejavu-style', 'dejavu-style, as released', 'dejavu']
    expect(names([]).toSorted()).toEqual(['oracle', 'static', ...learnt].toSorted())
    expect(names([0.5]).toSorted()).toEqual(
      ['oracle', 'static', 'static, scores of a pruned model', ...learnt].toSorted(),
    )
  })

  test('can all be planned, and those of every planner are there', () => {
    const { model } = small.source()
    const { shape } = model
    const scores = {
      shape,
      heads: new Float32Array(shape.layers * shape.heads),
      neurons: new Float32Array(shape.layers * shape.neurons),
    }
    const cells = cellsOf({})
    const lacking: Partial<Record<string, string>> = {
      'dejavu-style': 'a DejaVu-style predictor',
      dejavu: 'a DejaVu predictor',
    }
    for (const { method } of cells) {
      const plan = (): unknown =>
        planMethod(model, method, { mean: scores, predictor }, { oracleScores: scores })
      const needed = lacking[method.planner]
      if (needed === undefined) expect(plan()).not.toBe(null)
      else expect(plan).toThrow(`expected ${needed}`)
    }
    expect(new Set(cells.map(({ method }) => method.sparsity))).toEqual(new Set([0.5]))
    expect(new Set(cells.map(({ method }) => method.planner)).size).toBe(plannerNames.length - 1)
    const words = cells.map(({ units, method }) => JSON.stringify([units, cellWords(method)]))
    expect(new Set(words).size).toBe(cells.length)
  })

  test('skip as many units whether these compete within layers or over all of them', () => {
    const { model } = small.source()
    const { layers, heads, neurons } = model.shape
    for (const sparsity of [0.3, 1 / 3, 0.5, 0.61])
      for (const { method } of cellsOf({ sparsities: [sparsity] })) {
        const { headSparsity = 0, neuronSparsity = 0 } = method
        for (const [units, share] of [
          [heads, headSparsity],
          [neurons, neuronSparsity],
        ])
          expect(unitsKept((layers - 1) * units, share)).toBe((layers - 1) * unitsKept(units, share))
      }
  })

  test.each([0.2, 0.5, 0.6, 0.8])('skip the nearest whole number of units of a layer to %d', (share) => {
    const { heads, neurons } = small.source().model.shape
    const cells = cellsOf({ planners: ['static'], sparsities: [share] })
    expect(cells.length).toBeGreaterThan(3)
    for (const { units, method } of cells) {
      const nearest = (count: number): number => Math.floor(share * count + 0.5)
      const kinds = { heads: method.headSparsity, neurons: method.neuronSparsity }
      expect({ units, ...kinds }).toEqual({
        units,
        heads: units === 'neurons' ? 0 : nearest(heads) / heads,
        neurons: units === 'heads' ? 0 : nearest(neurons) / neurons,
      })
    }
  })

  test('are those that were asked for; none at all is refused', async () => {
    const cells = cellsOf({ units: ['both'], prefills: ['masked'], every: [16], sparsities: [0.25] })
    expect(cells.map(sayCell)).toEqual([
      'both shadow global 16 masked',
      'both shadow per-layer 16 masked',
      'both dejavu global 16 masked',
      'both dejavu per-layer 16 masked',
    ])
    await expect(run({}, { planners: ['griffin'], units: ['heads'], speed: false })).rejects.toThrow(
      'grid: expected at least one cell',
    )
  })

  test('skip heads by shares of their own where those are asked for, both kinds by every pair', () => {
    const choice = {
      prefills: ['dense'],
      planners: ['static'],
      every: ['once'],
      sparsities: [0.25, 0.5],
    } as const
    const sharesIn = (cells: readonly Cell[]): unknown[] =>
      cells
        .filter(({ method }) => method.scope === 'global')
        .map(({ units, method }) => [units, method.headSparsity, method.neuronSparsity])
    expect(small.source().model.shape).toMatchObject({ heads: 4, neurons: 24 })
    expect(sharesIn(cellsOf({ ...choice, headSparsities: [0.5, 0.75] }))).toEqual([
      ['heads', 0.5, 0],
      ['heads', 0.75, 0],
      ['neurons', 0, 0.25],
      ['neurons', 0, 0.5],
      ...[0.25, 0.5].flatMap((share) => [0.5, 0.75].map((heads) => ['both', heads, share])),
    ])
    expect(sharesIn(cellsOf(choice)).slice(-2)).toEqual([0.25, 0.5].map((share) => ['both', share, share]))
  })

  test('ask a given predictor in place of a trained one', () => {
    const [given] = cellsOf({ planners: ['shadow'] })
    expect(given.method).toMatchObject({ criterion: 'none' })
    expect(given.method).not.toHaveProperty('predictor')
    const { model } = small.source()
    const [trained] = gridCells({ model, settings, choice: { planners: ['shadow'] } })
    expect(trained.method).toMatchObject({ criterion: 'plainact', predictor: { headHidden: 32 } })
    const [calibrated] = gridCells({
      model,
      settings,
      given: { calibrated: true },
      choice: { planners: ['static'] },
    })
    expect(calibrated.method).toMatchObject({ criterion: 'plainact' })
    expect(calibrated.method).not.toHaveProperty('examples')
  })
})

// ---- Numbers ---------------------------------------------------------------------------------------------------------

test('every number of a cell is that of perplexity for the same method, windows and scores', async () => {
  const { rows } = await run()
  const cells = cellsOf(few)
  const cache = await openCache()
  expect(cache.windows('evaluate', 9, 0).map(({ tokens }) => tokens.length)).toEqual([21, 21, 21, 21])
  const fixed = cells.find(({ method }) => method.planner === 'static') as Cell
  const report = await textPerplexity({
    ...small.source(),
    text: textOfDocuments('scored', [{ ...scored, text: words.join('') }]),
    methods: [denseMethod, ...cells.map(({ method }) => method)],
    sources: { mean: await cache.mean(fixed.method, 0), predictors: [predictor] },
    protocols: ['stream'],
    context: 21,
    prefix: 'window',
    prompt: 11,
  })
  await cache.dispose()
  expect(report.protocol.windows).toEqual({ stream: 4 })
  expect(rows).toHaveLength(report.rows.length)
  expect(rows.length).toBeGreaterThan(20)
  for (const [i, row] of report.rows.entries())
    expect(rows[i], `${row.planner} ${i}`).toMatchObject({
      heads: near(100 * row.achieved.heads),
      neurons: near(100 * row.achieved.neurons),
      perplexity: near(Number(row.tokenPerplexity)),
      kl: near(row.klPerToken),
      agreement: near(100 * row.agreement),
    })
  expect(new Set(rows.map(({ kl }) => kl)).size).toBeGreaterThan(10)
})

test('numbers of compensated cells are those of perplexity, and of jobs', async () => {
  const { model } = small.source()
  const moments = randomMoments(model, 1)
  const choice = { ...compensating, windows: [settings], speed: false }
  const { rows } = await run({ moments }, choice)
  const { jobModel } = await openCache()
  const runner = inlineRunner(makeDoJob(jobModel))
  expect((await run({ moments, runner }, choice)).rows).toEqual(rows)
  const cells = gridCells({ model, settings, given: { predictors: [predictor], moments }, choice })
  const cache = await openCache({ moments })
  const fixed = cells.find(({ method }) => method.criterion === 'plainact') as Cell
  const report = await textPerplexity({
    ...small.source(),
    text: textOfDocuments('scored', [{ ...scored, text: words.join('') }]),
    methods: [denseMethod, ...cells.map(({ method }) => method)],
    sources: { mean: await cache.mean(fixed.method, 0), moments },
    protocols: ['stream'],
    context: 21,
    prefix: 'window',
    prompt: 11,
  })
  await cache.dispose()
  expect(report.rows.map(({ klPerToken }) => near(klPerToken))).toEqual(rows.map(({ kl }) => kl))
  expect(new Set(rows.map(({ kl }) => kl)).size).toBe(rows.length)
})

test('jobs, a store, an interruption and a second run change no number', async () => {
  const plain = await run()
  const { jobModel } = await openCache()
  const runner = inlineRunner(makeDoJob(jobModel))
  expect((await run({ runner })).rows).toEqual(plain.rows)

  const store = small.newStore()
  const interrupt = new AbortController()
  const started: number[] = []
  const stopAt = (limit: number): Partial<CacheOptions> => ({
    store,
    signal: interrupt.signal,
    onProgress: ({ stage, done }) => {
      if (stage !== 'evaluate') return
      started.push(done)
      if (done >= limit) interrupt.abort()
    },
  })
  await expect(run(stopAt(30))).rejects.toThrow()
  const computed = (options: Partial<CacheOptions>): Promise<ExperimentResult> => {
    started.length = 0
    return run({
      ...options,
      onProgress: ({ stage, done }) => void (stage === 'evaluate' && started.push(done)),
    })
  }
  const resumed = await computed({ store })
  expect(resumed.rows).toEqual(plain.rows)
  // Methods that were finished before the interruption are not scored again.
  expect(started[0]).toBeGreaterThan(20)
  expect((await computed({ store })).rows).toEqual(plain.rows)
  expect(new Set(started).size).toBe(1)
})

test('decode speeds are measured on request, of everything but the oracle', async () => {
  const { rows, findings, plots } = await run({}, { ...few, units: ['neurons'], speed: true })
  for (const { planner, speed } of rows)
    if (String(planner).startsWith('oracle')) expect(speed).toBe(null)
    else expect(speed).toBeGreaterThan(0)
  expect(findings.at(-1)).toMatch(
    /^Decode speed: 3 tokens after a prompt of 6, .* load of the machine [\d.]+ to [\d.]+\.$/,
  )
  expect(plots.map(({ title }) => title)).toEqual([
    'Quality over sparsity: neurons, windows of 11 + 10',
    'Quality against speed: neurons, windows of 11 + 10',
  ])
})

// ---- Rows by hand ----------------------------------------------------------------------------------------------------

/** Windows of four documents: the first two are of one. */
const documents = ['a', 'a', 'b', 'c', 'd']
const tokens = [10, 2, 6, 4, 8]
const windowsOf = (kl: number[], agreed: number[]): ComparedScore[] =>
  tokens.map((count, i) => ({
    document: documents[i],
    tokens: count,
    nll: count + kl[i],
    kl: kl[i],
    agreed: agreed[i],
    words: 1,
    firstDifference: null,
    achieved: { heads: 0, neurons: 0.25, weights: 0, layers: [] },
  }))

const cellOf = (method: Parameters<typeof makeMethod>[0]): Cell => ({
  units: 'neurons',
  method: makeMethod({ prefill: 'dense', ...method }),
})
const kls = {
  local: [4, 1, 3, 2, 6],
  global: [5, 2, 1, 4, 8],
  griffin: [2, 0.5, 2.5, 1, 4.5],
  shadow: [3, 0.25, 2, 1.5, 6.25],
  masked: [5, 2, 1, 3, 9],
}
const agreed = [6, 1, 2, 3, 7]
const cellsByName: Readonly<Record<string, MeasuredCell>> = {
  dense: { cell: null, scores: windowsOf([0, 0, 0, 0, 0], tokens) },
  masked: {
    cell: cellOf({ planner: 'static', sparsity: 0.5, scope: 'per-layer', prefill: 'masked' }),
    scores: windowsOf(kls.masked, agreed),
  },
  global: { cell: cellOf({ planner: 'static', sparsity: 0.5 }), scores: windowsOf(kls.global, agreed) },
  local: {
    cell: cellOf({ planner: 'static', sparsity: 0.5, scope: 'per-layer' }),
    scores: windowsOf(kls.local, agreed),
  },
  griffin: { cell: cellOf({ planner: 'griffin', sparsity: 0.5 }), scores: windowsOf(kls.griffin, agreed) },
  shadow: { cell: cellOf({ planner: 'shadow', sparsity: 0.5 }), scores: windowsOf(kls.shadow, agreed) },
  other: { cell: cellOf({ planner: 'shadow', sparsity: 0.7 }), scores: windowsOf(kls.masked, agreed) },
}
const measured = Object.values(cellsByName)
const window = { prompt: 8, continuation: 6 }

/** Sums over the windows of each document. */
const byDocument = (values: readonly number[]): number[] => [values[0] + values[1], ...values.slice(2)]
const ratio = (values: readonly number[]): ReturnType<typeof ratioByHand> =>
  ratioByHand(byDocument(values), byDocument(tokens))
const less = (first: readonly number[], second: readonly number[]): number[] =>
  first.map((kl, i) => kl - second[i])

/** The p of differences of four documents: all sixteen signs. */
function pByHand(differences: readonly number[]): number {
  const sums = [1, -1].flatMap((a) =>
    [1, -1].flatMap((b) => [1, -1].flatMap((c) => [1, -1].map((d) => [a, b, c, d]))),
  )
  const sumOf = (signs: readonly number[]): number =>
    Math.abs(signs.reduce((sum, sign, i) => sum + sign * differences[i], 0))
  return sums.filter((signs) => sumOf(signs) >= sumOf([1, 1, 1, 1]) - 1e-12).length / 16
}

type RowsOf = typeof gridRows
function isByHand(rowsOf: RowsOf): void {
  const names = Object.keys(cellsByName)
  const rows = Object.fromEntries(rowsOf(window, measured, null).map((row, i) => [names[i], row]))
  expect(rows.dense).toMatchObject({ planner: 'dense', kl: 0, agreement: 100, overStatic: null })
  const kl = ratio(kls.shadow)
  const agreement = ratio(agreed)
  const nats = ratio(tokens.map((count, i) => count + kls.shadow[i]))
  const differences = (['global', 'griffin', 'shadow'] as const).map((name) => less(kls[name], kls.local))
  const ps = differences.map((values) => pByHand(byDocument(values)))
  // Three comparisons of one budget.
  expect(new Set(ps).size).toBe(3)
  const order = [0, 1, 2].toSorted((a, b) => ps[a] - ps[b])
  const corrected: number[] = []
  let least = 0
  order.forEach((i, rank) => (corrected[i] = least = Math.min(1, Math.max(least, (3 - rank) * ps[i]))))
  const [, , over] = differences.map(ratio)
  expect(rows.shadow).toEqual({
    window: '8 + 6',
    units: 'neurons',
    sparsity: 50,
    planner: 'shadow',
    every: 'once',
    prompt: 'dense',
    heads: 0,
    neurons: 25,
    perplexity: near(Math.exp(nats.value)),
    perplexityError: near(Math.exp(nats.value) * nats.error),
    kl: near(kl.value),
    klError: near(kl.error),
    agreement: near(100 * agreement.value),
    agreementError: near(100 * agreement.error),
    overStatic: near(over.value),
    overStaticError: near(over.error),
    overStaticP: near(corrected[2]),
    speed: null,
  })
  expect(rows.griffin).toMatchObject({
    overStatic: near(ratio(differences[1]).value),
    overStaticP: near(corrected[1]),
  })
  expect(rows.global).toMatchObject({
    overStatic: near(ratio(differences[0]).value),
    overStaticP: near(corrected[0]),
  })
  // The reference is compared with nothing, nor is what has another prompt or budget than it.
  for (const name of ['local', 'masked', 'other'])
    expect(rows[name]).toMatchObject({ overStatic: null, overStaticError: null, overStaticP: null })
}

describe('the rows of the grid', () => {
  test('of heads and neurons by shares of their own are of different budgets, which the findings say', () => {
    const both = (planner: 'static' | 'griffin', headSparsity: number): MeasuredCell => ({
      cell: {
        units: 'both',
        method: makeMethod({ planner, sparsity: 0.5, headSparsity, scope: 'per-layer', prefill: 'dense' }),
      },
      scores: windowsOf(planner === 'static' ? kls.local : kls.griffin, agreed),
    })
    const cells = [both('static', 0.25), both('griffin', 0.25), both('griffin', 0.75)]
    const rows = gridRows(window, cells, null, true)
    expect(
      rows.map(({ sparsity, headSparsity, overStatic }) => [sparsity, headSparsity, overStatic]),
    ).toEqual([
      [50, 25, null],
      [50, 25, near(ratio(less(kls.griffin, kls.local)).value)],
      [50, 75, null],
    ])
    expect(gridRows(window, cells, null)[0]).not.toHaveProperty('headSparsity')
    const [finding, ...others] = gridFindings(rows, cells)
    expect(finding).toMatch(/^8 \+ 6, 50 % of neurons and 25 % of heads \(/)
    expect(others).toEqual([])
    expect(gridPlots(rows).map(({ title }) => title)).toEqual([
      'Quality over sparsity: both with 25 % of heads, windows of 8 + 6',
      'Quality over sparsity: both with 75 % of heads, windows of 8 + 6',
    ])
  })

  test('equal sums over sums by hand, and paired differences, with errors and p over documents', () =>
    isByHand(gridRows))

  const change =
    (how: (row: Row, i: number) => Row): RowsOf =>
    (...given) =>
      gridRows(...given).map(how)
  const changeCells =
    (how: (one: MeasuredCell) => MeasuredCell): RowsOf =>
    (shape, cells, speeds) =>
      gridRows(shape, cells.map(how), speeds)
  const naive = (values: readonly number[]): number => mean(values.map((value, i) => value / tokens[i]))

  test.each(
    Object.entries<RowsOf>({
      'a mean of the means of windows': change((row) => ({ ...row, kl: naive(kls.shadow) })),
      'errors over windows': changeCells(({ cell, scores }) => ({
        cell,
        scores: scores.map((score) => ({ ...score, document: undefined })),
      })),
      'the error of a difference that is not paired': change((row) => ({
        ...row,
        overStaticError: Math.hypot(ratio(kls.shadow).error, ratio(kls.local).error),
      })),
      'a difference the wrong way round': change((row) => ({ ...row, overStatic: -Number(row.overStatic) })),
      'p that is not corrected': change((row) => ({
        ...row,
        overStaticP:
          row.planner === 'shadow' ? pByHand(byDocument(less(kls.shadow, kls.local))) : row.overStaticP,
      })),
      'static of another prompt': changeCells(({ cell, scores }) => ({
        cell: cell && { ...cell, method: { ...cell.method, prefill: 'dense' } as Method },
        scores,
      })),
      'static over the whole model': changeCells(({ cell, scores }) => ({
        cell: cell && {
          ...cell,
          method: {
            ...cell.method,
            scope: cell.method.scope === 'global' ? 'per-layer' : 'global',
          } as Method,
        },
        scores,
      })),
    }),
  )('mutant: %s: killed', (_, mutant) => expect(() => isByHand(mutant)).toThrow())

  test('of a single document have no errors, and chance explains every difference', () => {
    const [, , , , griffin] = gridRows(
      window,
      measured.map(({ cell, scores }) => ({ cell, scores: scores.slice(0, 2) })),
      null,
    )
    expect(griffin).toMatchObject({
      klError: null,
      perplexityError: null,
      agreementError: null,
      overStaticError: null,
      overStaticP: 1,
    })
  })

  test('are computed again, to the bit, from the windows that an experiment hands over', async () => {
    const { rows, measured: runs = [] } = await run()
    expect(runs).toHaveLength(1)
    expect(runs[0]).toMatchObject({ seed: 0, prompt: 11, continuation: 10 })
    expect(runs[0].windows).toHaveLength(4)
    const read = JSON.parse(JSON.stringify(runs)) as MeasuredRun[]
    expect(gridRows(settings, poolRuns(read), null)).toEqual(rows)
    // Another seed's windows stand beside them.
    const twice = gridRows(settings, poolRuns([...read, ...read]), null)
    expect(twice.map(({ kl }) => kl)).toEqual(rows.map(({ kl }) => near(Number(kl))))
  })

  const rows = gridRows(window, measured, null)
  const asked = '8 + 6, 50 % of neurons (skipped of all: 25.0 %): '
  type FindingsOf = (found: readonly Row[]) => string[]
  const findingsOf: FindingsOf = (found) => gridFindings(found, measured)

  function findsTheLeast(say: FindingsOf): void {
    const words = (values: readonly number[]): string => {
      const { value, error } = ratio(values)
      return `${value.toFixed(3)} ± ${error.toFixed(3)}`
    }
    const p = (values: readonly number[]): string => `p = ${pByHand(byDocument(values)).toFixed(3)}`
    const [overShadow, overLocal] = [less(kls.shadow, kls.griffin), less(kls.local, kls.griffin)]
    const corrected = Number(rows[4].overStaticP).toFixed(3)
    // A cell alone in its budget is compared with nothing.
    expect(say(rows)).toEqual([
      `${asked}griffin (once, dense prompt) has the least KL of 5 cells, ${words(kls.griffin)} nats per token; ${words(overShadow)} less than shadow (once, dense prompt) (${p(overShadow)}); ${words(overLocal)} less than static within layers (p = ${corrected}).`,
    ])
    // Whoever skips another share is in another group.
    expect(say(rows.map((row, i) => (i === 4 ? { ...row, neurons: 30 } : row)))).toEqual([
      expect.stringContaining(`${asked}shadow (once, dense prompt) has the least KL of 4 cells`),
    ])
    // What sees the answer, or nothing, is no planner.
    for (const planner of ['oracle', 'oracle, per layer', 'random, per layer'])
      expect(say(rows.map((row, i) => (i === 4 ? { ...row, planner } : row)))).toEqual([
        expect.stringContaining(`${asked}shadow (once, dense prompt) has the least KL of 4 cells`),
      ])
  }

  test('name the cell of the least KL among cells that skip equal shares, and its lead over the second', () =>
    findsTheLeast(findingsOf))

  test.each(
    Object.entries<FindingsOf>({
      'shares are left out of sight': (all) => findingsOf(all.map((row) => ({ ...row, neurons: 25 }))),
      'a bound is a planner': (all) =>
        findingsOf(
          all.map((row) => (String(row.planner).startsWith('oracle') ? { ...row, planner: 'glass' } : row)),
        ),
      'more is less': (all) =>
        findingsOf(all.map((row) => ({ ...row, overStatic: -Number(row.overStatic) }))),
      'the most for the least': (all) => findingsOf(all.map((row) => ({ ...row, kl: -Number(row.kl) }))),
    }),
  )('mutant: %s: killed', (_, mutant) => expect(() => findsTheLeast(mutant)).toThrow())
})

// ---- The tables and the figures of pages -----------------------------------------------------------------

test('figures of the grid write places to a tenth, and values and errors as they are', () => {
  const row = { planner: 'static', every: 'once', prompt: 'dense', units: 'both', window: '8 + 8' }
  const rows: Row[] = [
    { planner: 'dense', sparsity: 0, speed: 50, kl: 0 },
    { ...row, headSparsity: 33.6, sparsity: 33.39, speed: 12.37, kl: 0.12345, klError: 0.0123 },
    { ...row, headSparsity: 33.6, sparsity: 66.61, speed: null, kl: 0.5, klError: null },
  ]
  const [quality, speed, ...others] = gridPlots(rows)
  expect(others).toEqual([])
  expect([quality, speed].map(({ title }) => title)).toEqual([
    'Quality over sparsity: both with 34 % of heads, windows of 8 + 8',
    'Quality against speed: both with 34 % of heads, windows of 8 + 8',
  ])
  const first = { y: 0.12345, error: 0.0123 }
  expect(quality.series).toEqual([
    {
      name: 'static, once, dense prompt',
      points: [
        { x: 33.4, ...first },
        { x: 66.6, y: 0.5 },
      ],
    },
  ])
  expect(speed.series[0].points).toEqual([{ x: 12.4, ...first }])
})

describe('what is written of a run', () => {
  let text: string
  beforeAll(async () => {
    const result = await run({}, { ...few, sparsities: [0.25, 0.5], units: ['neurons'] })
    // Speeds as a clock might tell them: the same in every run.
    const rows = result.rows.map((row, i) => ({
      ...row,
      speed: String(row.planner).startsWith('oracle') ? null : 20 + i,
    }))
    const cache = await openCache()
    text = renderJson([{ ...result, rows }], await cache.provenance(0))
    await cache.dispose()
  })
  const gridOf = (json = text): Grid => new Grid('few', [gridRunOf('a file', json)])
  type Numbers = { [Key in 'kl' | 'nll' | 'agreed' | 'neurons']?: number[] }
  /** The file with other numbers of a planner. */
  const changed = (planner: string, how: (numbers: Numbers) => void, scope = 'per-layer'): string => {
    const file = JSON.parse(text) as {
      experiments: { measured: { methods: (Numbers & { method: Method })[] }[] }[]
    }
    for (const one of file.experiments[0].measured[0].methods)
      if (one.method.planner === planner && one.method.scope === scope) how(one)
    return JSON.stringify(file)
  }
  const twice = (numbers: Numbers): void => void (numbers.kl = numbers.kl?.map((kl) => 2 * kl))

  test('other files are refused', () => {
    for (const other of ['{}', '{"experiments":[{"name":"grid"}],"provenance":{}}'])
      expect(() => gridRunOf('x.json', other)).toThrow(
        'x.json: expected what "reproduce --experiment grid" writes',
      )
  })

  const page = `Before.\n\n<!--= tables('few') -->old<!--/-->\n\nAfter <!--= kl('few', 'griffin', 50) -->9<!--/-->.\n`
  const written = (json = text, other = page): string => {
    const pages = new Pages(
      [{ path: 'a.md', text: other }],
      [{ path: 'bench/results/grid/few.json', text: json }],
    )
    return pages.derived()[0].text
  }

  test('a page has the tables and the figures of its runs, and nothing else of it changes', () => {
    const found = written()
    expect(found).toMatch(/^Before\.\n\n<!--= tables\('few'\) -->\n\nDense perplexity/)
    expect(found).not.toContain('old')
    expect(written(text, found)).toBe(found)
    expect(found).toContain('**25 % of neurons**, prompt + continuation 11 + 10:')
    expect(found).toMatch(/\n\| planner +\| decides +\| prompt +\| neurons, % \| KL/)
    const { kl } = gridOf().row('griffin', 50)
    expect(found).toContain(`\n\nAfter <!--= kl('few', 'griffin', 50) -->${Number(kl).toFixed(3)}<!--/-->.\n`)
    const oracle = gridOf().row('oracle, per layer', 50, { prompt: 'dense' })
    expect(found).toContain(`| ${Number(oracle.kl).toFixed(3)} `)
  })

  test.each([
    ['kl', twice],
    ['nll', (numbers) => void (numbers.nll = numbers.nll?.map((nll) => 1.01 * nll))],
    ['agreed', (numbers) => void (numbers.agreed = numbers.agreed?.map((count) => count / 2))],
    ['neurons', (numbers) => void (numbers.neurons = numbers.neurons?.map((share) => 0.9 * share))],
  ] satisfies [string, (numbers: Numbers) => void][])(
    'a changed %s of a result file changes the page',
    (_, how) => expect(written(changed('griffin', how))).not.toBe(written()),
  )

  test('a table of one column has a line for each share and a column for each planner', () => {
    const found = written(text, `<!--= matrix('few', 'kl', 2, ['griffin', 'cats'], [25, 50]) -->x<!--/-->`)
    const lines = found.split('\n').filter((line) => line.startsWith('|'))
    const say = (planner: string, asked: number): string => Number(gridOf().row(planner, asked).kl).toFixed(2)
    expect(
      lines.map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((one) => one.trim()),
      ),
    ).toEqual([
      ['skipped', 'griffin', 'cats'],
      ['-------', '-------', '----'],
      ...[25, 50].map((asked) => [`${asked} %`, say('griffin', asked), say('cats', asked)]),
    ])
  })

  test('tables of what takes the place of skipped units have a column for each, and what the prompt adds', () => {
    const file = JSON.parse(text) as {
      experiments: {
        measured: { windows: { document: string }[]; methods: (Numbers & { method: Method })[] }[]
      }[]
    }
    const [measured] = file.experiments[0].measured
    // Errors are over documents.
    measured.windows.forEach((window, i) => (window.document = `document ${i}`))
    const methodOf = (planner: string): Numbers & { method: Method } => {
      const found = measured.methods.find(
        ({ method }) => method.planner === planner && method.scope === 'per-layer' && method.sparsity === 0.5,
      )
      if (found) return found
      throw new Error(`no ${planner}`)
    }
    const [dense] = measured.methods
    const { kl = [] } = methodOf('griffin')
    // Of the same windows, each so many times what griffin costs.
    const cellsOf = (planner: string, times: readonly number[]): (Numbers & { method: Method })[] => {
      const one = methodOf(planner)
      const instead: Partial<Method>[] = [
        {},
        { compensate: 'mean' },
        { compensate: 'least-squares' },
        { compensate: 'least-squares', promptShare: 0.2 },
      ]
      return times.map((by, i) => ({
        ...one,
        method: { ...one.method, ...instead[i] },
        kl: kl.map((value) => by * value),
      }))
    }
    const fixed = [0.8, 0.7, 0.5, 0.25]
    const contextual = [1, 0.9, 0.25, 0.125]
    measured.methods = [dense, ...cellsOf('static', fixed), ...cellsOf('griffin', contextual)]
    const compensated = gridOf(JSON.stringify(file))
    const griffin = compensated.row('griffin', 50)
    const [value, error] = [Number(griffin.kl), Number(griffin.klError)]
    const say = (by: number): string => `${(by * value).toFixed(3)} ± ${Math.abs(by * error).toFixed(3)}`
    const cellsIn = (table: string): string[][] =>
      table
        .trim()
        .split('\n')
        .filter((_, i) => i !== 1)
        .map((line) => line.split('|').slice(1, -1))
        .map((line) => line.map((cell) => cell.trim()))
    const table = cellsIn(compensatedTable(compensated, 50))
    expect(table).toEqual([
      ['planner', 'zero', 'mean', 'least squares', 'with the prompt'],
      ['griffin', ...contextual.map(say)],
      ['static, per layer', ...fixed.map(say)],
    ])
    const what = { what: 'these', grid: compensated, asked: 50 }
    expect(cellsIn(contextTable([{ ...what, contextual: 'griffin', fixed: 'static, per layer' }]))).toEqual([
      ['', 'neither', 'in the mask', 'in the moments', 'in both'],
      ['these', (0.5 * value).toFixed(3), ...[0.25, 0.25, 0.375].map(say)],
    ])
    measured.methods = [dense, ...cellsOf('griffin', [1, 0.9, 0.5])]
    const weighing = { ...what, before: gridOf(JSON.stringify(file)), after: compensated }
    expect(cellsIn(weighingTable([{ ...weighing, planner: 'griffin, least squares' }]))).toEqual([
      ['', 'as they are', 'divided', 'difference'],
      ['these', ...[0.5, 0.25, -0.25].map(say)],
    ])
    expect(compensatedTable(compensated, 25)).not.toContain('static')
    // What all rows of a table share stands in its title alone.
    const tables = tablesOf(compensated)
    expect(tables).toMatch(
      /\*\*50 % of neurons\*\*, .*; decided once; dense prompt; \d+\.\d % of all neurons:\n\n\| planner .*\| KL/,
    )
    expect(tables).not.toMatch(/\| (?:decides|prompt|neurons, %) /)
  })

  test('files of one name with other methods are refused', () => {
    const file = JSON.parse(text) as { experiments: { measured: { methods: unknown[] }[] }[] }
    file.experiments[0].measured[0].methods.pop()
    const runs = [text, JSON.stringify(file)].map((json) => gridRunOf('a file', json))
    expect(() => new Grid('few', runs)).toThrow('few: expected the same methods in all of its files')
  })

  test.each([
    ["kl('few', 'griffin', 51)", 'few: expected one row of griffin at 51 %, got 0'],
    ["kl('few', 'static', 50)", 'few: expected one row of static at 50 %, got 2'],
    ["kl('none', 'static', 50)", 'bench/results/grid/none.json: expected a result file, got none'],
    ['1 +', 'a.md: 1 +: Unexpected'],
    ['undefined', 'a.md: undefined: expected a text or a number, got undefined'],
    ['0 / 0', 'a.md: 0 / 0: expected a text or a number, got NaN'],
  ])('an expression without a value is refused: %s', (expression, says) =>
    expect(() => written(text, `<!--= ${expression} -->1<!--/-->`)).toThrow(says),
  )
})

test('the grid is one of the experiments', () => expect(grid.name).toBe('grid'))
