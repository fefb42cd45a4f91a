/**
 * What a run of `reproduce` found: rows for machines, a table and plain sentences for people, and the experiment that the
 * HTML report shows.
 */
import type { Sparsity } from '../masks/achieved.ts'
import type { PlannerName } from '../planners/index.ts'
import type { UnitKind } from '../masks/mask.ts'
import { figure, percent, sayDifference } from '../results/cells.ts'
import { AS_RELEASED, type MethodRow } from '../results/method.ts'
import type { Column, ExperimentResult, Plot, Row } from '../results/experiment_result.ts'
import { wrapLines } from '../results/fold.ts'
import { judgeRatio } from '../results/interleaved_rounds.ts'
import { formatTable } from '../results/terminal.ts'

/** One method. */
export interface ReproduceRow extends MethodRow {
  readonly seed: number
  /** What was skipped of the whole model, the dense first layer counted, averaged over windows. */
  readonly achieved: Sparsity
  readonly tokenPerplexity: number
  /** Standard error over documents; null for fewer than two. All rows score the same windows, so that differences have less. */
  readonly tokenPerplexityError: number | null
  readonly wordPerplexity: number
  /** Null if the run was stopped before it was measured. */
  readonly decodeTokensPerSecond: number | null
  /**
   * An interval of its ratio to the dense speed, which misses the true one once in 100 times (interleaved_rounds.ts). Null for the
   * dense model, for fewer than 8 rounds, and where speed was not measured.
   */
  readonly decodeRatioRange: readonly [low: number, high: number] | null
}

/** The predictor against static pruning at one sparsity. */
export interface Comparison {
  readonly sparsity: number
  /** Whether static pruning went by the scores that the predictor learnt, measured in a pruned model. */
  readonly sameScores?: boolean
  /** Nats per token by which shadow costs more than static on the same windows: below 0 it is better. */
  readonly nats: number
  /** Standard error of that over documents; null for fewer than two. */
  readonly error: number | null
}

/** What a run found, finished or not. */
export interface ReproduceReport
  extends
    Pick<ExperimentResult, 'provenance' | 'seconds'>,
    Required<Pick<ExperimentResult, 'layers' | 'measured'>> {
  readonly rows: readonly ReproduceRow[]
  /** False if the run was stopped; the rows then cover the windows that every method has scored. */
  readonly complete: boolean
  readonly calibrationWindows: number
  readonly evaluationWindows: number
  /**
   * Held-out loss of the predictor relative to the best constant's: below 1 it has learnt something. Null where too few windows
   * were held out.
   */
  readonly predictorLoss: Readonly<Record<UnitKind, number | null>> | null
  readonly shadowAgainstStatic: readonly Comparison[]
}

function find(report: ReproduceReport, planner: PlannerName, sparsity: number): number | null {
  const row = report.rows.find((one) => one.planner === planner && one.sparsity === sparsity)
  return row?.tokenPerplexity ?? null
}

/** Whether shadow ≤ static ≤ random holds at half of the units, as it does of a working method; null if one is missing. */
function describeOrder(report: ReproduceReport): string | null {
  const [shadow, fixed, random] = (['shadow', 'static', 'random'] as const).map((one) =>
    find(report, one, 0.5),
  )
  if (shadow === null || fixed === null || random === null) return null
  const order = `shadow ${figure(shadow)} ≤ static ${figure(fixed)} ≤ random ${figure(random)}`
  const holds = shadow <= fixed && fixed <= random
  return `At 50 %: ${order} ${holds ? 'holds' : 'DOES NOT HOLD'} (perplexity per token).`
}

/** The share of the perplexity between static pruning and the oracle that the predictor takes away; null if unknown. */
export function gapClosed(report: ReproduceReport, sparsity: number): number | null {
  const oracle = find(report, 'oracle', sparsity)
  const shadow = find(report, 'shadow', sparsity)
  const fixed = find(report, 'static', sparsity)
  if (oracle === null || shadow === null || fixed === null || fixed <= oracle) return null
  return (fixed - shadow) / (fixed - oracle)
}

/** The columns of a report; rows of one sparsity make a group. The range of speeds is there if it was measured. */
const reportColumns = ({ rows }: Pick<ReproduceReport, 'rows'>): readonly Column[] => [
  ...columns,
  ...(rows.some(({ decodeRatioRange }) => decodeRatioRange !== null)
    ? [{ key: 'range', label: '99 % range' }]
    : []),
]

const columns: readonly Column[] = [
  { key: 'sparsity', label: 'asked', unit: '%', digits: 1 },
  { key: 'planner', label: 'planner' },
  { key: 'criterion', label: 'criterion' },
  { key: 'heads', label: 'heads', unit: '%', digits: 1 },
  { key: 'neurons', label: 'neurons', unit: '%', digits: 1 },
  { key: 'weights', label: 'weights', unit: '%', digits: 1 },
  { key: 'token', label: 'ppl/token' },
  { key: 'tokenError', label: '±' },
  { key: 'word', label: 'ppl/word' },
  { key: 'speed', label: 'tokens/s', digits: 0 },
  { key: 'ratio', label: '× dense', digits: 2 },
]

/** Its rows under these columns. */
function reportRows({ rows }: ReproduceReport): Row[] {
  const dense = rows.find(({ planner }) => planner === 'dense')?.decodeTokensPerSecond ?? null
  return rows.map(({ planner, criterion, achieved, sparsity, decodeTokensPerSecond: speed, ...row }) => ({
    planner,
    criterion,
    sparsity: 100 * sparsity,
    heads: 100 * achieved.heads,
    neurons: 100 * achieved.neurons,
    weights: 100 * achieved.weights,
    token: row.tokenPerplexity,
    tokenError: row.tokenPerplexityError,
    word: row.wordPerplexity,
    speed,
    ratio: speed === null || dense === null ? null : speed / dense,
    ...(row.decodeRatioRange && { range: rangeWords(row.decodeRatioRange) }),
  }))
}

const rangeWords = (range: readonly [number, number]): string =>
  range.map((end) => end.toFixed(2)).join(' to ')

/**
 * What a run found in one sentence, at the sparsity nearest to a half: what the predictor costs and gains, beside static pruning. Null
 * without a dense row or a predictor.
 */
function describeVerdict({ rows }: ReproduceReport): string | null {
  const dense = rows.find(({ planner }) => planner === 'dense')
  const own = rows.filter(
    ({ planner, criterion }) => planner === 'shadow' && !criterion.endsWith(AS_RELEASED),
  )
  const [shadow] = own.toSorted((a, b) => Math.abs(a.sparsity - 0.5) - Math.abs(b.sparsity - 0.5))
  if (!dense || !shadow) return null
  const { decodeTokensPerSecond: speed, decodeRatioRange: range, sparsity } = shadow
  const fixed = rows.find((row) => row.planner === 'static' && row.sparsity === sparsity)
  const cost = `perplexity goes from ${figure(dense.tokenPerplexity)} to ${figure(shadow.tokenPerplexity)}`
  const beside = fixed ? `, under static pruning to ${figure(fixed.tokenPerplexity)}` : ''
  const verdict = range && judgeRatio({ low: range[0], high: range[1] })
  const gain =
    speed === null || dense.decodeTokensPerSecond === null
      ? 'speed was not measured'
      : verdict === 'alike'
        ? `no difference of speed can be told (${rangeWords(range as [number, number])} times the dense speed)`
        : `it decodes at ${(speed / dense.decodeTokensPerSecond).toFixed(2)} times the dense speed (${range ? rangeWords(range) : 'too few rounds for a range'})`
  return `With ${percent(sparsity)} of the ranked units skipped by the predictor, ${cost}${beside}; ${gain}.`
}

/** The table of a report and what it says, in lines of plain text. @param width characters of a line */
export function formatReport(report: ReproduceReport, width = Infinity): string {
  // A row is named by its sparsity, its planner and its criterion. A run that was stopped early has none.
  const rows = reportRows(report)
  const table =
    rows.length === 0 ? [] : [formatTable(reportColumns(report), rows, { columns: width, keys: 3 }), '']
  return [...table, ...describeReport(report).map((sentence) => wrapLines(sentence, width))].join('\n')
}

/** The findings of a report, a sentence each. */
export function describeReport(report: ReproduceReport): string[] {
  const order = describeOrder(report)
  const sentences = order === null ? [] : [order]
  for (const comparison of report.shadowAgainstStatic) sentences.push(describeComparison(report, comparison))
  if (report.predictorLoss) {
    const { heads, neurons } = report.predictorLoss
    sentences.push(
      heads !== null && neurons !== null
        ? `Held-out loss of the predictor, 1 being the mean of its targets: heads ${heads.toFixed(3)}, neurons ${neurons.toFixed(3)}.`
        : 'Held-out loss of the predictor: not known, too few windows to hold any out.',
    )
  }
  const { calibrationWindows, evaluationWindows, seconds } = report
  sentences.push(
    `Windows: ${calibrationWindows} calibrated on, ${evaluationWindows} scored; ${seconds.toFixed(0)} s.`,
  )
  if (!report.complete)
    sentences.push(
      `The run was stopped: ${report.rows.length === 0 ? 'no row was' : 'the rows cover what was'} finished.`,
    )
  return sentences
}

function describeComparison(report: ReproduceReport, comparison: Comparison): string {
  const { sparsity, nats, error, sameScores = false } = comparison
  const other = sameScores ? 'static pruning by the scores it learnt' : 'static'
  const found = sayDifference('the predictor', other, { nats, error })
  const isTold = error !== null && Math.abs(nats) >= 2 * error
  const closed = sameScores || !isTold ? null : gapClosed(report, sparsity)
  const gap =
    // An oracle that knows the other half of a text is no bound.
    closed === null || closed < 0 || closed > 1
      ? ''
      : `: it closes ${Math.round(100 * closed)} % of the gap to the oracle in perplexity`
  return `At ${percent(sparsity)} ${found}${gap}.`
}

const ABOUT_ERRORS =
  '± and error bars are over documents, which all methods share: a difference between two of them has a smaller error.'

/** A run in the form all experiments have. @param command what makes it again */
export function reproduceExperiment(report: ReproduceReport, command: string): ExperimentResult {
  const { rows, provenance, layers, complete, seconds } = report
  const hasErrors = rows.some((row) => row.tokenPerplexityError !== null)
  return {
    name: 'reproduce',
    title: 'ShadowLLM beside its baselines',
    asks: 'What does skipping units cost in perplexity, and what does it gain in speed, when the prompt alone decides which?',
    command,
    columns: reportColumns(report),
    rows: reportRows(report),
    plots: plotsOf(rows),
    paper: null,
    findings: [describeVerdict(report) ?? [], describeReport(report), hasErrors ? ABOUT_ERRORS : []].flat(),
    layers: layers.filter(({ name }) => !name.startsWith('dense')),
    provenance,
    complete,
    seconds,
  }
}

/**
 * The names of methods: the planner, and whose scores it ranks by, or how it learnt them, where it is there twice. Methods that differ in sparsity alone
 * have one name.
 */
export function methodNames(
  rows: readonly Pick<ReproduceRow, 'planner' | 'criterion' | 'sparsity'>[],
): string[] {
  const keyOf = (row: (typeof rows)[0]): string => `${row.planner} ${row.sparsity}`
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(keyOf(row), 1 + (counts.get(keyOf(row)) ?? 0))
  const twice = new Set(
    rows.filter((row) => Number(counts.get(keyOf(row))) > 1).map(({ planner }) => planner),
  )
  return rows.map(({ planner, criterion }) => {
    if (!twice.has(planner)) return planner
    if (criterion.endsWith(AS_RELEASED)) return `${planner}${AS_RELEASED}`
    // Scores that were measured in a pruned model are those that the predictor learns.
    return planner === 'static' && criterion.includes('@') ? `${planner}, ShadowLLM\u2019s scores` : planner
  })
}

function plotsOf(rows: readonly ReproduceRow[]): Plot[] {
  const dense = rows.find(({ planner }) => planner === 'dense')?.decodeTokensPerSecond ?? null
  const names = methodNames(rows)
  const lines = (
    value: (row: ReproduceRow) => number | null,
    errorOf: (row: ReproduceRow) => number | null = () => null,
  ): Plot['series'] =>
    [...new Set(names)]
      .filter((name) => name !== 'dense')
      .map((name) => ({
        name,
        points: rows.flatMap((row, i) => {
          const y = names[i] === name ? value(row) : null
          const error = errorOf(row)
          return y === null ? [] : [{ x: 100 * row.sparsity, y, ...(error !== null && { error }) }]
        }),
      }))
  const perplexity: Plot = {
    title: 'Perplexity of continuations under masks decided by the prompt',
    kind: 'line',
    x: { label: 'sparsity of the ranked units (%)' },
    y: { label: 'perplexity per token', scale: 'log' },
    series: lines(
      (row) => row.tokenPerplexity,
      (row) => row.tokenPerplexityError,
    ),
  }
  const measured = dense !== null && rows.some(({ planner }) => planner !== 'dense')
  if (!measured) return [perplexity]
  const speed: Plot = {
    title: 'Decode speed, units really skipped, the planner included',
    kind: 'line',
    x: { label: 'sparsity of the ranked units (%)' },
    y: { label: 'decode speed (dense = 1)' },
    series: lines(({ decodeTokensPerSecond }) =>
      decodeTokensPerSecond === null ? null : decodeTokensPerSecond / dense,
    ),
  }
  return [perplexity, speed]
}
