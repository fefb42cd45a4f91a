/**
 * The grid: which cells there are, that their numbers are those of other computations, and what is drawn and written of them.
 *
 * Tests src/experiments/grid_cells.ts.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawGrid } from '../../bench/grid/figure.ts'
import { gridRunOf, type GridRun } from '../../bench/grid/data.ts'
import { pageWith, runsIn } from '../../bench/grid/page.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import type { Document } from '../../src/data/corpus.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import { ExperimentCache, type CacheOptions } from '../../src/experiments/cache/experiment_cache.ts'
import { makeDoJob } from '../../src/evaluation/jobs/do_job.ts'
import { settingsBySize, type Settings } from '../../src/evaluation/settings.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import type { ExperimentContext } from '../../src/experiments/experiment.ts'
import { cellWords, gridCells, type Cell, type GridChoice } from '../../src/experiments/grid_cells.ts'
import {
  grid,
  gridFindings,
  gridRows,
  type ComparedScore,
  type MeasuredCell,
} from '../../src/experiments/grid.ts'
import { renderJson } from '../../src/experiments/report/json.ts'
import { runByName } from '../../src/experiments/index.ts'
import type { Predictor } from '../../src/predictor/predictor_file.ts'
import type { ExperimentResult, Row } from '../../src/results/experiment_result.ts'
import { denseMethod, makeMethod, planMethod, type Method } from '../../src/results/method.ts'
import { openPartStore } from '../../src/results/part_store.ts'
import { plannerNames } from '../../src/planners/index.ts'
import { Random } from '../../src/tensor/random.ts'
import { mean, near, ratioByHand } from '../evaluation/by_hand.ts'
import { somePages, useSmallModel } from '../evaluation/small_model.ts'
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
  decode: { prompt: 6, tokens: 3, rounds: 1 },
}

/** A text whose windows of twenty tokens lie one behind the other; the last word is in none. */
const random = new Random(8)
const words = Array.from({ length: 40 }, () => ` ${'abcdefgh'[random.below(8)]}`)
const scored: Document = { name: 'scored', genre: 'verse', text: [...words, ' x'].join('') }

const openCache = (more: Partial<CacheOptions> = {}): Promise<ExperimentCache> =>
  ExperimentCache.open({
    ...small.source(),
    documents: somePages(20, 'abc'),
    evaluated: [scored],
    predictors: [predictor],
    prompt: settings.prompt,
    continuation: settings.continuation,
    ...more,
  })

const few: GridChoice = {
  planners: ['static', 'oracle', 'prompt-plainact', 'griffin', 'shadow', 'cats'],
  sparsities: [0.5],
  windows: [settings],
  speed: false,
}

/** Runs the grid with a cache of its own. */
async function run(options: Partial<CacheOptions> = {}, choice = few): Promise<ExperimentResult> {
  const cache = await openCache(options)
  const context: ExperimentContext = {
    settings,
    seeds: [0],
    cache,
    openCache: (more) => openCache({ ...options, ...more }),
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
  gridCells({ model: small.source().model, settings, predictors: [predictor], choice })

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
    expect(new Set(cells.map(sayCell)).size).toBe(cells.length)
    const words = cells.map(({ units, method }) => JSON.stringify([units, cellWords(method)]))
    expect(new Set(words).size).toBe(cells.length)
  })

  test('are those that were asked for; none at all is refused', async () => {
    const cells = cellsOf({ units: ['both'], prefills: ['masked'], every: [16], sparsities: [0.25] })
    expect(cells.map(sayCell)).toEqual([
      'both shadow global 16 masked',
      'both shadow per-layer 16 masked',
      'both dejavu global 16 masked',
    ])
    await expect(run({}, { planners: ['griffin'], units: ['heads'], speed: false })).rejects.toThrow(
      'grid: expected at least one cell',
    )
  })

  test('ask a given predictor in place of a trained one', () => {
    const [given] = cellsOf({ planners: ['shadow'] })
    expect(given.method).toMatchObject({ criterion: 'none' })
    expect(given.method).not.toHaveProperty('predictor')
    const [trained] = gridCells({ model: small.source().model, settings, choice: { planners: ['shadow'] } })
    expect(trained.method).toMatchObject({ criterion: 'plainact', predictor: { headHidden: 32 } })
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
      perplexityError: near(Number(row.tokenPerplexityError)),
      kl: near(row.klPerToken),
      klError: near(Number(row.klPerTokenError)),
      agreement: near(100 * row.agreement),
    })
  expect(new Set(rows.map(({ kl }) => kl)).size).toBeGreaterThan(10)
})

test('jobs, a store, an interruption and a second run change no number', async () => {
  const plain = await run()
  const { jobModel } = await openCache()
  const runner = inlineRunner(makeDoJob(jobModel))
  expect((await run({ runner })).rows).toEqual(plain.rows)

  const store = await openPartStore(join(small.folder, 'grid'))
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
    if (planner === 'oracle') expect(speed).toBe(null)
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

/** A window of these costs. */
const score = (tokens: number, nll: number, kl: number, agreed: number): ComparedScore => ({
  tokens,
  nll,
  kl,
  agreed,
  words: 1,
  firstDifference: null,
  achieved: { heads: 0, neurons: 0.25, weights: 0, layers: [] },
})
const tokens = [10, 2, 6]
const windowsOf = (kl: number[], agreed: number[]): ComparedScore[] =>
  tokens.map((count, i) => score(count, count + kl[i], kl[i], agreed[i]))

const cellOf = (method: Parameters<typeof makeMethod>[0]): Cell => ({
  units: 'neurons',
  method: makeMethod({ prefill: 'dense', ...method }),
})
const kls = { static: [4, 1, 3], griffin: [2, 0.5, 2.5], shadow: [3, 0.25, 2], masked: [5, 2, 1] }
const agreements = { static: [6, 1, 2], griffin: [7, 2, 3], shadow: [5, 2, 6], masked: [1, 0, 1] }
const measured: MeasuredCell[] = [
  { cell: null, scores: windowsOf([0, 0, 0], tokens) },
  {
    cell: cellOf({ planner: 'static', sparsity: 0.5, prefill: 'masked' }),
    scores: windowsOf(kls.masked, agreements.masked),
  },
  { cell: cellOf({ planner: 'static', sparsity: 0.5 }), scores: windowsOf(kls.static, agreements.static) },
  { cell: cellOf({ planner: 'griffin', sparsity: 0.5 }), scores: windowsOf(kls.griffin, agreements.griffin) },
  { cell: cellOf({ planner: 'shadow', sparsity: 0.5 }), scores: windowsOf(kls.shadow, agreements.shadow) },
  { cell: cellOf({ planner: 'shadow', sparsity: 0.7 }), scores: windowsOf(kls.masked, agreements.masked) },
]
const window = { prompt: 8, continuation: 6 }
const overByHand = (first: number[], second: number[]): ReturnType<typeof ratioByHand> =>
  ratioByHand(
    first.map((kl, i) => kl - second[i]),
    tokens,
  )

function isByHand(rowsOf: typeof gridRows): void {
  const rows = rowsOf(window, measured, null)
  const [dense, masked, fixed, griffin, shadow, other] = rows
  expect(dense).toMatchObject({
    planner: 'dense',
    kl: 0,
    agreement: 100,
    overStatic: null,
    overGriffin: null,
  })
  const kl = ratioByHand(kls.shadow, tokens)
  const agreement = ratioByHand(agreements.shadow, tokens)
  const [overStatic, overGriffin] = [kls.static, kls.griffin].map((one) => overByHand(kls.shadow, one))
  const nats = ratioByHand(
    tokens.map((count, i) => count + kls.shadow[i]),
    tokens,
  )
  expect(shadow).toEqual({
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
    overStatic: near(overStatic.value),
    overStaticError: near(overStatic.error),
    overGriffin: near(overGriffin.value),
    overGriffinError: near(overGriffin.error),
    speed: null,
  })
  // Of the same prompt; a row is not compared with itself, nor with one of another budget.
  expect(masked).toMatchObject({
    overStatic: null,
    overGriffin: near(overByHand(kls.masked, kls.griffin).value),
  })
  expect(fixed).toMatchObject({
    overStatic: null,
    overGriffin: near(overByHand(kls.static, kls.griffin).value),
  })
  expect(griffin).toMatchObject({
    overStatic: near(overByHand(kls.griffin, kls.static).value),
    overGriffin: null,
  })
  expect(other).toMatchObject({ overStatic: null, overGriffin: null })
}

describe('the rows of the grid', () => {
  test('equal sums over sums and their errors by hand, and paired differences', () => isByHand(gridRows))

  const change =
    (how: (row: Row, i: number) => Row): typeof gridRows =>
    (...given) =>
      gridRows(...given).map(how)
  const naive = (values: number[]): number => mean(values.map((value, i) => value / tokens[i]))

  test.each(
    Object.entries<typeof gridRows>({
      'a mean of the means of windows': change((row) => ({ ...row, kl: naive(kls.shadow) })),
      'agreement as such a mean': change((row) => ({ ...row, agreement: 100 * naive(agreements.shadow) })),
      'the error of a difference that is not paired': change((row) => ({
        ...row,
        overStaticError: Math.hypot(
          ratioByHand(kls.shadow, tokens).error,
          ratioByHand(kls.static, tokens).error,
        ),
      })),
      'a difference the wrong way round': change((row) => ({
        ...row,
        overGriffin: -Number(row.overGriffin),
      })),
      'static of another prompt': (shape, cells, speeds) =>
        gridRows(
          shape,
          cells.map(({ cell, scores }) => ({
            cell: cell && { ...cell, method: { ...cell.method, prefill: 'dense' } as Method },
            scores,
          })),
          speeds,
        ),
    }),
  )('mutant: %s: killed', (_, mutant) => expect(() => isByHand(mutant)).toThrow())

  test('of a single window have no errors', () => {
    const [, , one] = gridRows(
      window,
      measured.map(({ cell, scores }) => ({ cell, scores: scores.slice(0, 1) })),
      null,
    )
    expect(one).toMatchObject({
      klError: null,
      perplexityError: null,
      agreementError: null,
      overGriffinError: null,
    })
  })

  const rows = gridRows(window, measured, null)
  const asked = '8 + 6, 50 % of neurons (skipped of all: 25.0 %): '

  function findsTheLeast(findingsOf: typeof gridFindings): void {
    const { value, error } = overByHand(kls.griffin, kls.static)
    const kl = ratioByHand(kls.griffin, tokens)
    const words = (one: ReturnType<typeof ratioByHand>): string =>
      `${Math.abs(one.value).toFixed(3)} ± ${one.error.toFixed(3)}`
    // A cell alone in its budget is compared with nothing.
    expect(findingsOf(rows)).toEqual([
      `${asked}griffin (once, dense prompt) has the least KL of 4 cells, ${words(kl)} nats per token; ${words({ value, error })} less than static.`,
    ])
    const bounds = ['oracle', 'random'].map((planner): Row => ({ ...rows[2], planner, kl: 0 }))
    expect(findingsOf([...rows, ...bounds])).toEqual(findingsOf(rows))
    // Static scores that skip more are in another group, and nothing is compared with them.
    const unequal = findingsOf(rows.map((row) => (row.planner === 'static' ? { ...row, neurons: 30 } : row)))
    expect(unequal).toEqual([
      expect.stringContaining('(skipped of all: 30.0 %): static (once, masked prompt) has the least KL of 2'),
      `${asked}griffin (once, dense prompt) has the least KL of 2 cells, ${words(kl)} nats per token.`,
    ])
  }

  test('name the cell of the least KL among cells that skip equal shares', () => findsTheLeast(gridFindings))

  test.each(
    Object.entries<typeof gridFindings>({
      'shares are left out of sight': (all) => gridFindings(all.map((row) => ({ ...row, neurons: 25 }))),
      'a bound is a planner': (all) =>
        gridFindings(all.map((row) => (row.planner === 'oracle' ? { ...row, planner: 'glass' } : row))),
      'more is less': (all) =>
        gridFindings(all.map((row) => ({ ...row, overStatic: -Number(row.overStatic) }))),
      'the most for the least': (all) => gridFindings(all.map((row) => ({ ...row, kl: -Number(row.kl) }))),
    }),
  )('mutant: %s: killed', (_, mutant) => expect(() => findsTheLeast(mutant)).toThrow())
})

// ---- The figure and the page -----------------------------------------------------------------------------------------

describe('what is drawn and written of a run', () => {
  let text: string
  let drawn: GridRun
  beforeAll(async () => {
    const result = await run({}, { ...few, sparsities: [0.25, 0.5], units: ['neurons'] })
    // Speeds as a clock might tell them: the same in every run.
    const rows = result.rows.map((row, i) => ({ ...row, speed: row.planner === 'oracle' ? null : 20 + i }))
    const cache = await openCache()
    text = renderJson([{ ...result, rows }], await cache.provenance(0))
    await cache.dispose()
    drawn = gridRunOf('a file', text)
  })
  const changed = (how: (row: Row) => Row): GridRun => ({
    ...drawn,
    result: { ...drawn.result, rows: drawn.result.rows.map(how) },
  })

  test('a figure is a function of the run alone, and shows each planner by name', async () => {
    const figure = await drawGrid(drawn)
    expect(await drawGrid(gridRunOf('again', text))).toBe(figure)
    for (const name of ['static', 'griffin', 'shadow, once', 'shadow, every 16', 'cats', 'dense', '25 %'])
      expect(figure).toContain(`>${name}<`)
    for (const name of ['oracle', 'per layer', 'NaN', 'undefined']) expect(figure).not.toContain(name)
    const slower = changed((row) => (row.planner === 'cats' ? { ...row, speed: 10 } : row))
    expect(await drawGrid(slower)).not.toBe(figure)
    const better = changed((row) => (row.planner === 'cats' ? { ...row, kl: Number(row.kl) / 2 } : row))
    expect(await drawGrid(better)).not.toBe(figure)
    // Static scores over the whole model have rows, and no marks.
    const worse = changed((row) => (row.planner === 'static' ? { ...row, kl: Number(row.kl) * 2 } : row))
    expect(await drawGrid(worse)).toBe(figure)
  })

  test('a run without speeds and other files are refused', async () => {
    const unTimed = changed((row) => ({ ...row, speed: null }))
    await expect(drawGrid(unTimed)).rejects.toThrow('grid: expected rows with decode speeds, got none')
    expect(() => gridRunOf('x.json', '{}')).toThrow(
      'x.json: expected what "reproduce --experiment grid" writes',
    )
  })

  test('a page has the tables of its runs between their comments, and nothing else of it changes', () => {
    const page =
      'Before `<!-- npm run bench:grid: NAME -->`.\n<!-- npm run bench:grid: few -->\nold\n<!-- the end of it -->\nAfter.\n'
    expect(runsIn(page)).toEqual(['few'])
    const written = pageWith(page, 'few', drawn)
    expect(written).toMatch(
      /^Before `<!-- npm run bench:grid: NAME -->`\.\n<!-- npm run bench:grid: few -->\n/,
    )
    expect(written).toMatch(/\n<!-- the end of it -->\nAfter\.\n$/)
    expect(written).not.toContain('old')
    expect(pageWith(written, 'few', drawn)).toBe(written)
    expect(written).toContain('**25 % of neurons**, prompt + continuation 11 + 10:')
    const oracle = drawn.result.rows.find(({ planner }) => planner === 'oracle') as Row
    expect(written).toMatch(/\n\| planner +\| decides +\| prompt +\| neurons, % \| KL/)
    const heads = changed((row) => ({ ...row, heads: 43.04 }))
    expect(pageWith(page, 'few', heads)).toMatch(/\| heads, % \| neurons, % \| KL.*\n.*\n.*\| 43\.0 /)
    expect(written).toContain(`${Number(oracle.kl).toFixed(3)} ± ${Number(oracle.klError).toFixed(3)}`)
    const better = changed((row) => (row.planner === 'cats' ? { ...row, kl: 0.125 } : row))
    expect(pageWith(page, 'few', better)).toContain('0.125 ±')
    const old = { ...drawn, result: { ...drawn.result, findings: ['A winner.', 'Decode speed: a load.'] } }
    expect(pageWith(page, 'few', old)).toContain('- Decode speed: a load.')
    expect(pageWith(page, 'few', old)).not.toContain('A winner.')
    expect(() => pageWith('no table', 'few', drawn)).toThrow('docs/grid.md: expected')
  })
})

test('the grid is one of the experiments', () => expect(grid.name).toBe('grid'))
