/**
 * The main comparison as an experiment: what the HTML report shows of a run of `reproduce`.
 */
import type { ExperimentResult, Plot } from '../results/experiment_result.ts'
import {
  describeReport,
  reportColumns,
  reportRows,
  type ReproduceReport,
  type ReproduceRow,
} from '../results/report.ts'

/** A run in the form all experiments have. @param command what makes it again */
export function reproduceExperiment(report: ReproduceReport, command: string): ExperimentResult {
  const { rows, provenance, layers, complete, seconds } = report
  return {
    name: 'reproduce',
    title: 'ShadowLLM beside its baselines',
    asks: 'What does skipping units cost in perplexity, and what does it gain in speed, when the prompt alone decides which?',
    command,
    columns: reportColumns,
    rows: reportRows(report),
    plots: plotsOf(rows),
    paper: null,
    findings: describeReport(report),
    layers: layers.filter(({ name }) => !name.startsWith('dense')),
    provenance,
    complete,
    seconds,
  }
}

function plotsOf(rows: readonly ReproduceRow[]): Plot[] {
  const dense = rows.find(({ planner }) => planner === 'dense')?.decodeTokensPerSecond ?? null
  const planners = [...new Set(rows.map(({ planner }) => planner))].filter((planner) => planner !== 'dense')
  const lines = (value: (row: ReproduceRow) => number | null): Plot['series'] =>
    planners.map((planner) => ({
      name: planner,
      points: rows.flatMap((row) => {
        const y = row.planner === planner ? value(row) : null
        return y === null ? [] : [{ x: 100 * row.sparsity, y }]
      }),
    }))
  const perplexity: Plot = {
    title: 'Perplexity of continuations under masks decided by the prompt',
    kind: 'line',
    x: { label: 'sparsity of the ranked units (%)' },
    y: { label: 'perplexity per token', scale: 'log' },
    series: lines((row) => row.tokenPerplexity),
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
