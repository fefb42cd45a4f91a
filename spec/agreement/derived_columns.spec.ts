/**
 * Every derived column of every report is recomputed from the other cells of the same report, or from what its rows were made
 * from: a row knows which row it is compared with.
 *
 * The columns are read from the sources: a column without an entry here fails. Tests src/experiments/reproduce_report.ts,
 * src/evaluation/text_perplexity.ts, src/evaluation/tasks/run.ts, src/experiments/grid_rows.ts, src/bench/rows.ts,
 * src/cost/experiments.ts and src/cost/cluster.ts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { architectures } from '../../src/cost/architectures.ts'
import { clusterExperiment, defaultCluster } from '../../src/cost/cluster.ts'
import { costExperiment, predictorCostExperiment } from '../../src/cost/experiments.ts'
import type { Measured } from '../../src/bench/job.ts'
import { rowsOf, type BenchRow } from '../../src/bench/rows.ts'
import { randomSubject } from '../../src/bench/subject.ts'
import { parseTest } from '../../src/bench/tests.ts'
import { randomScores } from '../../src/criteria/random.ts'
import { textOfDocuments } from '../../src/data/texts.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { runTasks } from '../../src/evaluation/tasks/run.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import { gridRows, type ComparedScore, type MeasuredCell } from '../../src/experiments/grid_rows.ts'
import { unitChoices } from '../../src/experiments/grid_cells.ts'
import { prefills } from '../../src/masks/planner.ts'
import type { Row } from '../../src/results/experiment_result.ts'
import { compareMethods, makeMethod } from '../../src/results/method.ts'
import { makeProvenance, modelSource } from '../../src/results/provenance.ts'
import {
  reproduceExperiment,
  type ReproduceReport,
  type ReproduceRow,
} from '../../src/experiments/reproduce_report.ts'
import { Random } from '../../src/tensor/random.ts'
import { question, smallConfig, somePages, useSmallModel } from '../evaluation/small_model.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'

type Value = string | number | null | undefined
/** A cell of a row by the others: null where nothing is to be compared. */
type Recompute = (row: Row, rows: readonly Row[]) => Value
/** Columns of a module: how each is recomputed from the report; `measured` columns are what rows are made from. */
type Columns = Readonly<Record<string, Recompute | 'measured'>>

const number = (value: Value): number => Number(value)

/** The ratio of two cells; null where one is missing. */
const ratio = (above: Value, below: Value): number | null =>
  above === null || below === null || above === undefined || below === undefined
    ? null
    : number(above) / number(below)

const whereIs = (rows: readonly Row[], wanted: Row): Row | undefined =>
  rows.find((row) => Object.entries(wanted).every(([key, value]) => row[key] === value))

/** The KL of a row less that of static scores within layers. Both have scored the same tokens. */
const overStatic: Recompute = (row, rows) => {
  const { window, units, sparsity, prompt } = row
  const peer = whereIs(rows, { window, units, sparsity, planner: 'static, per layer', prompt })
  return row.planner === 'dense' || !peer || peer === row ? null : number(row.kl) - number(peer.kl)
}

const measured = 'measured'

/** By module of src, and by the key of a column. */
const modules: Readonly<Record<string, Columns>> = {
  'experiments/reproduce_report.ts': {
    sparsity: measured,
    planner: measured,
    criterion: measured,
    heads: measured,
    neurons: measured,
    weights: measured,
    token: measured,
    tokenError: measured,
    word: measured,
    speed: measured,
    ratio: ({ speed }, rows) => ratio(speed, whereIs(rows, { planner: 'dense' })?.speed),
    range: measured,
  },
  'experiments/grid_rows.ts': {
    window: measured,
    units: measured,
    sparsity: measured,
    headSparsity: measured,
    planner: measured,
    every: measured,
    prompt: measured,
    heads: measured,
    neurons: measured,
    perplexity: measured,
    perplexityError: measured,
    kl: measured,
    klError: measured,
    agreement: measured,
    agreementError: measured,
    overStatic: overStatic,
    overStaticError: (row) => (row.overStatic === null ? null : undefined),
    overStaticP: (row) => (row.overStatic === null ? null : undefined),
    speed: measured,
  },
  'experiments/variants.ts': {
    variant: measured,
    sparsity: measured,
    heads: measured,
    neurons: measured,
    perplexity: measured,
    error: measured,
    word: measured,
  },
  'experiments/timing_experiments.ts': {
    criterion: measured,
    flops: measured,
    seconds: measured,
    milliseconds: measured,
    own: measured,
    planner: measured,
    sparsity: measured,
    speed: measured,
    ratio: ({ speed }, rows) => ratio(speed, whereIs(rows, { planner: 'dense' })?.speed),
  },
  'cost/experiments.ts': {
    model: measured,
    dejavu: measured,
    shadow: measured,
    saved: (row, rows) => {
      if ('dejavu' in row) return 100 * (1 - number(row.shadow) / number(row.dejavu))
      const dejavu = whereIs(rows, { model: row.model, planner: 'DejaVu, per token' })
      return String(row.planner).startsWith('ShadowLLM')
        ? 100 * (1 - bytesOf(row) / bytesOf(dejavu as Row))
        : null
    },
    once: ({ shadow }) => number(shadow) / 128,
    planner: measured,
    rate: (row) => BANDWIDTH / (1e9 * bytesOf(row)),
    speed: (row, rows) =>
      bytesOf(whereIs(rows, { model: row.model, planner: 'dense' }) as Row) / bytesOf(row),
    memory: measured,
    weights: measured,
    cache: measured,
    predictor: measured,
    share: (row) => (100 * number(row.predictor)) / bytesOf(row),
    flops: measured,
  },
  'cost/cluster.ts': {
    model: measured,
    work: measured,
    memory: measured,
    results: measured,
    hours: measured,
    machine: ({ hours }) => number(hours) * defaultCluster.machines,
    deaths: measured,
    efficiency: measured,
  },
  'bench/table.ts': Object.fromEntries(
    [
      'model parameters storage backend threads cache test planner asked heads neurons weights ways rate deviation',
      'device timesDense timesFirst ideal shareOfIdeal predictor packing bandwidth what calls milliseconds share',
      'gigabytes length prompt decode',
    ].flatMap((line) => line.split(' ').map((key) => [key, measured])),
  ),
}

const BANDWIDTH = 2e10
const bytesOf = ({ weights, cache, predictor }: Row): number =>
  number(weights) + number(cache) + number(predictor)

/** @throws Error for a cell that is not what the others make it */
function expectDerived(columns: Columns, rows: readonly Row[], keys = Object.keys(columns)): void {
  for (const row of rows)
    for (const key of keys) {
      const recompute = columns[key]
      if (recompute === measured || !(key in row)) continue
      const expected = recompute(row, rows)
      if (expected === undefined) continue
      const actual = row[key]
      const isNear =
        typeof expected === 'number' && typeof actual === 'number'
          ? Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected))
          : actual === expected
      if (!isNear) throw new Error(`${key}: expected ${String(expected)}, got ${String(actual)}`)
    }
}

test('every column of a report has an entry', () => {
  const src = new URL('../../src/', import.meta.url).pathname
  const found = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('published.ts'))
    .flatMap((path) => {
      const keys = [...readFileSync(join(src, path), 'utf8').matchAll(/\{\s+key: '(\w+)',\s+label/g)].map(
        ([, key]) => key,
      )
      return keys.length === 0 || path.endsWith('html_tables.ts')
        ? []
        : [[path, [...new Set(keys)].toSorted()]]
    })
  expect(Object.fromEntries(found)).toEqual(
    Object.fromEntries(
      Object.entries(modules).map(([path, columns]) => [path, Object.keys(columns).toSorted()]),
    ),
  )
})

// ---- Reports ---------------------------------------------------------------------------------------------------------

type MakeRows = (rows: readonly Row[]) => readonly Row[]
const asTheyAre: MakeRows = (rows) => rows

const small = useSmallModel('reference')
let model: LanguageModel
beforeAll(() => void ({ model } = small.source()))

const provenance = (): ReturnType<typeof makeProvenance> =>
  makeProvenance({
    backend: model.backend,
    model: modelSource('small', '0'.repeat(64), null),
    data: { name: 'pages', hash: '0'.repeat(64) },
    seed: 1,
    argv: [],
  })

const somePlanner = fc.constantFrom(
  'static' as const,
  'griffin' as const,
  'random' as const,
  'shadow' as const,
)

const grids = lawForAll(
  'a cell of the grid is compared with static scores within layers of the same units, sparsity and prompt',
  {
    cells: fc.uniqueArray(
      fc.record({
        planner: somePlanner,
        units: fc.constantFrom(...unitChoices),
        sparsity: fc.constantFrom(0.25, 0.5),
        scope: fc.constantFrom('global' as const, 'per-layer' as const),
        prefill: fc.constantFrom(...prefills),
      }),
      {
        minLength: 1,
        maxLength: 14,
        size: 'max',
        selector: ({ units, ...method }) => JSON.stringify([units, makeMethod(method)]),
      },
    ),
    tokens: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 4, size: 'max' }),
    seed: fc.nat(),
  },
  (make: MakeRows, { cells, tokens, seed }) => {
    const random = new Random(seed)
    const scores = (): ComparedScore[] =>
      tokens.map((count) => ({
        tokens: count,
        nll: random.uniform(),
        kl: random.uniform(),
        agreed: random.below(count + 1),
        words: 1,
        firstDifference: null,
        achieved: { heads: 0, neurons: 0.5, weights: 0, layers: [] },
      }))
    const all: MeasuredCell[] = [
      { cell: null, scores: scores() },
      ...cells.map(({ units, ...method }) => ({
        cell: { units, method: makeMethod(method) },
        scores: scores(),
      })),
    ]
    const rows = gridRows({ prompt: 8, continuation: 4 }, all, null)
    expectDerived(modules['experiments/grid_rows.ts'], make(rows))
  },
)
stateLaw(grids, asTheyAre)

const reports = lawForAll(
  'the speed of a row of reproduce is told as a multiple of that of the dense row',
  {
    speeds: fc.array(fc.option(fc.integer({ min: 1, max: 99 })), { minLength: 1, maxLength: 5, size: 'max' }),
  },
  async (make: MakeRows, { speeds }) => {
    const rows = speeds.map((speed, i): ReproduceRow => ({
      planner: i === 1 ? 'dense' : 'random',
      criterion: 'none',
      scope: 'global',
      sparsity: i / 10,
      seed: 1,
      achieved: { heads: 0, neurons: 0, weights: 0 },
      tokenPerplexity: 2,
      tokenPerplexityError: null,
      wordPerplexity: 3,
      decodeTokensPerSecond: speed,
      decodeRatioRange: null,
    }))
    const report: ReproduceReport = {
      rows,
      provenance: await provenance(),
      complete: true,
      calibrationWindows: 1,
      evaluationWindows: 1,
      predictorLoss: null,
      shadowAgainstStatic: [],
      layers: [],
      measured: [],
      seconds: 1,
    }
    expectDerived(modules['experiments/reproduce_report.ts'], make(reproduceExperiment(report, '').rows))
  },
  { runs: 20 },
)
stateLaw(reports, asTheyAre)

const costs = lawForAll(
  'the derived columns of costs follow from their bytes',
  {
    sparsity: fc.constantFrom(0, 0.5, 0.9),
    storage: fc.constantFrom('f32' as const, 'int8' as const, 'int4' as const),
  },
  async (make: MakeRows, { sparsity, storage }) => {
    const models = architectures.slice(0, 3)
    const { rows } = await costExperiment({ models, sparsity, storage, bandwidth: BANDWIDTH })
    expectDerived(modules['cost/experiments.ts'], make(rows))
    expectDerived(modules['cost/experiments.ts'], (await predictorCostExperiment()).rows)
    const cluster = await clusterExperiment({ ...defaultCluster, windows: 64, models, flops: 1e12 })
    expectDerived(modules['cost/cluster.ts'], cluster.rows)
  },
  { runs: casesAtTier(3, 20) },
)
stateLaw(costs, asTheyAre)

test('rows that are compared with another sparsity, another prompt, or with the row before: found', async () => {
  const shifted =
    (key: string): MakeRows =>
    (rows) =>
      rows.map((row, i) => ({ ...row, [key]: rows[(i + 1) % rows.length][key] }))
  await kills(grids, shifted('overStatic'))
  await kills(reports, shifted('ratio'))
  for (const key of ['speed', 'saved', 'rate', 'share']) await kills(costs, shifted(key))
})

// ---- Rows that name the row they are compared with -------------------------------------------------------------------

describe('a text under several planners and sparsities', () => {
  type Report = Awaited<ReturnType<typeof textPerplexity>>
  let report: Report
  beforeAll(async () => {
    const sources = { mean: randomScores(model.shape, new Random(8)) }
    const planners = ['static', 'random', 'griffin'] as const
    const methods = compareMethods(model, {
      planners,
      sparsities: [0.75, 0.25, 0.5],
      scope: 'global',
      criterion: 'plainact',
      sources,
    })
    const text = textOfDocuments('pages', somePages(4))
    report = await textPerplexity({ ...small.source(), text, methods, sources, prompt: 6, windows: 3 })
  })

  /** @throws for a row whose difference is not that of its KL and the KL of static at its sparsity */
  const expectOverStatic = ({ rows }: Report): void => {
    expect(rows.length).toBe(10)
    for (const row of rows) {
      const peer = rows.find(({ planner, sparsity }) => planner === 'static' && sparsity === row.sparsity)
      if (!peer || peer === row) expect(row.klOverStatic).toBe(null)
      else expect(row.klOverStatic?.value).toBeCloseTo(row.klPerToken - peer.klPerToken, 9)
      const kl = row.units.reduce((sum, unit) => sum + unit.kl, 0)
      expect(row.klPerToken).toBeCloseTo(kl / row.units.reduce((sum, unit) => sum + unit.tokens, 0), 9)
      if (row.bitsPerByte !== null) expect(row.bytePerplexity).toBeCloseTo(2 ** row.bitsPerByte, 9)
    }
  }

  test('each row is compared with static of its own sparsity', () => expectOverStatic(report))

  test('differences from static of another sparsity are found', () => {
    const [first] = report.rows.filter(({ planner }) => planner === 'static')
    const wrong = report.rows.map((row) =>
      row.klOverStatic
        ? { ...row, klOverStatic: { value: row.klPerToken - first.klPerToken, error: null } }
        : row,
    )
    expect(() => expectOverStatic({ ...report, rows: wrong })).toThrow()
  })
})

test('accuracies of tasks are compared with dense of the same task, and their means over tasks', async () => {
  const tasks = [12, 9].map((count, i) => ({
    name: `task ${i}`,
    version: 1,
    metrics: ['acc', 'acc_norm'] as const,
    shots: 0,
    original: count,
    asked: Array.from({ length: count }, (_, n) => question(10 * i + n)),
    leftOut: [],
    config: {},
  }))
  const methods = compareMethods(model, {
    planners: ['random', 'prompt-plainact'],
    sparsities: [0.5, 0.9],
    scope: 'global',
    criterion: 'plainact',
  })
  const report = await runTasks({
    model,
    tasks,
    methods,
    seed: 1,
    config: {},
    provenance: await provenance(),
    logsSamples: true,
  } as Parameters<typeof runTasks>[0])
  const samples = report.samples ?? []
  // Planners differ, so that a comparison with another one shows.
  expect(new Set(report.rows.map(({ scores }) => scores['acc_norm,none'])).size).toBeGreaterThan(3)
  for (const [index, row] of report.rows.entries()) {
    const dense = report.rows.find(({ task, planner }) => task === row.task && planner === 'dense')
    const own = samples.slice(
      report.rows.slice(0, index).reduce((sum, { questions }) => sum + questions, 0),
      report.rows.slice(0, index + 1).reduce((sum, { questions }) => sum + questions, 0),
    )
    expect(own.length).toBe(row.questions)
    for (const metric of ['acc', 'acc_norm'] as const) {
      const accuracy = (one: typeof row): number => number(one.scores[`${metric},none`])
      expect(row.overDense[metric]?.value).toBeCloseTo(accuracy(row) - accuracy(dense as typeof row), 9)
      const right = own.reduce((sum, { scores }) => sum + number(scores[metric]), 0)
      expect(accuracy(row)).toBeCloseTo(right / row.questions, 9)
    }
  }
  for (const [i, { acc }] of report.means.entries()) {
    const own = report.rows.filter((_, at) => at % methods.length === i)
    expect(acc).toBeCloseTo(
      own.reduce((sum, { scores }) => sum + number(scores['acc,none']), 0) / own.length,
      9,
    )
  }
})

// ---- The rows of a bench ---------------------------------------------------------------------------------------------

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

type MakeBench = (rows: readonly BenchRow[]) => readonly BenchRow[]

const benches = lawForAll(
  'the derived figures of a bench follow from the samples of its own rows, each against dense of the same test',
  {
    all: fc.uniqueArray(
      fc.record({
        planner: fc.constantFrom('dense' as const, 'shadow' as const, 'random' as const),
        storage: fc.constantFrom('f32' as const, 'int8' as const),
        backend: fc.constantFrom('wasm' as const, 'webgpu' as const),
        threads: fc.constantFrom(1, 2),
        test: fc.constantFrom('tg8', 'tg4', 'pp16'),
      }),
      { minLength: 1, maxLength: 16, size: 'max', selector: (one) => JSON.stringify(one) },
    ),
    rates: fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 3, maxLength: 7, size: 'max' }),
  },
  (make: MakeBench, { all, rates }) => {
    const subject = randomSubject('tiny', smallConfig, 0)
    const tests = Object.fromEntries(['tg8', 'tg4', 'pp16'].map((name) => [name, parseTest(name)]))
    const turn = (rate: number, tokens: number): Measured['turns'][number] => ({
      tokens,
      milliseconds: (1000 * tokens) / rate,
      planning: 1,
      preparing: 2,
      device: null,
      mask: null,
      ways: { dense: 6, gather: 0, packed: 0 },
      decisions: 1,
      checked: null,
    })
    const reads = [3e9, 1e9, 2e9]
    const rows = rowsOf(
      all.map(({ planner, storage, backend, threads, test }, i): Measured => ({
        subject,
        storage,
        backend,
        threads,
        threadsUsed: threads,
        method: { planner, sparsity: planner === 'dense' ? 0 : 0.5 },
        test: tests[test],
        predictorBytes: 100 * i,
        every: 'once',
        turns: [0, 1, 2].map((round) => turn(rates[(3 * i + round) % rates.length], tests[test].tokens)),
      })),
      reads,
      {},
    )
    for (const row of make(rows)) {
      const denseOf = (of: BenchRow): BenchRow | undefined =>
        rows.find(
          (other) =>
            other.planner === 'dense' &&
            other.test === row.test &&
            other.storage === of.storage &&
            other.backend === of.backend &&
            other.threadsAsked === of.threadsAsked,
        )
      const times = (other: BenchRow | undefined): number | null =>
        other ? median(row.samples.map((sample, i) => sample / other.samples[i])) : null
      const expected: Partial<BenchRow> = {
        tokensPerSecond: median(row.samples),
        timesDense: times(denseOf(row)),
        timesFirst: times(denseOf(rows[0])),
        ideal: ratio(denseOf(row)?.bytesPerToken ?? null, row.bytesPerToken),
        shareOfIdeal: ratio(row.timesDense, row.ideal),
        bandwidthFraction:
          row.bytesPerToken === null
            ? null
            : median(row.samples.map((sample, i) => (sample * (row.bytesPerToken as number)) / reads[i])),
      }
      for (const [key, value] of Object.entries(expected) as [keyof BenchRow, number | null][]) {
        const actual = row[key] as number | null
        const isNear =
          value === null || actual === null
            ? value === actual
            : Math.abs(actual - value) <= 1e-9 * Math.abs(value)
        if (!isNear) throw new Error(`${key}: expected ${value}, got ${actual}`)
      }
    }
  },
)
stateLaw(benches, (rows) => rows)

test('figures of a bench against dense of another storage, backend, thread count or test: killed', async () => {
  for (const key of [
    'timesDense',
    'timesFirst',
    'ideal',
    'shareOfIdeal',
    'bandwidthFraction',
    'tokensPerSecond',
  ] as const)
    await kills(benches, (rows) =>
      rows.map((row, i) => ({ ...row, [key]: rows[(i + 1) % rows.length][key] })),
    )
})
