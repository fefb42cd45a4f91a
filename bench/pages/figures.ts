/**
 * What expressions of pages may use: rows of the grid, recomputed from the windows of its result files, and how numbers are
 * written.
 */
import { compareKl } from '../../src/evaluation/tally.ts'
import { sayP, type MeasuredCell } from '../../src/experiments/grid_rows.ts'
import { planners } from '../../src/planners/index.ts'
import type { Row } from '../../src/results/experiment_result.ts'
import { armsOf, type Frontier, type FrontierArm } from '../frontier/data.ts'
import { frontierTable, nats } from '../frontier/figure.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { glossary } from '../../src/web/view/glossary.ts'
import {
  compensatedTable,
  contextTable,
  weighingTable,
  type Context,
  type Weighing,
} from './compensated_table.ts'
import { errorCodes, exitCodeList } from './errors.ts'
import { commandFlags } from './flags.ts'
import { Grid, type GridRun, type Where } from './grid.ts'
import { commandsOf, tablesOf } from './grid_table.ts'
import { markdownTable, pair } from './table.ts'
import { packagesTable } from './packages.ts'
import { peersTable, timesAsFast, type PeersResult } from './peers_table.ts'
import { modelsInWords, modelsTable, type Agreements } from './models_table.ts'
import { smallerTable, type Smaller } from './smaller_table.ts'
import { weightsTable } from './weights_table.ts'
import { overDense, tasksTable, type TaskRun } from './tasks_table.ts'

/** When planners decide, by their way, and what they need, for a reader. */
const whens = {
  attention: 'while the prompt runs',
  prompt: 'when the prompt has run',
  layer: 'before each layer',
  gate: 'at every token',
  channels: 'at every token',
} as const
const needs = {
  calibration: 'a calibration',
  predictor: 'a predictor',
  // Computed from the prompt itself.
  'prompt-loss': null,
  continuation: 'the text that follows',
} as const

/** Every planner: its words of help without flags, when it decides and what it needs. */
function plannersTable(): string {
  const rows = planners.flatMap(({ name, help, by, needs: needed }) => {
    if (by === null) return []
    const needWords = needed.map((need) => needs[need]).filter((words) => words !== null)
    return [[`\`${name}\``, help.replace(/: --.*$/, ''), whens[by], needWords.join(' and ') || 'nothing']]
  })
  return markdownTable(['planner', 'what it does', 'decides', 'needs'], rows)
}

/** @throws InputError ROW */
function armOf(frontier: Frontier, name: string): FrontierArm {
  const found = armsOf(frontier).find(({ arm }) => arm === name)
  if (found) return found
  throw new InputError('ROW', `frontier.json: expected an arm ${name}, got none`)
}

/** Where results are read from. */
interface Results {
  runsOf(name: string): readonly GridRun[]
  resultOf(name: string): unknown
}

/** What expressions see. */
export function figuresOf(results: Results): object {
  const known = new Map<string, Grid>()
  const grid = (name: string): Grid => {
    const one = known.get(name) ?? new Grid(name, results.runsOf(name))
    known.set(name, one)
    return one
  }
  const cell = (name: string, planner: string, asked: number, where?: Where): Row =>
    grid(name).row(planner, asked, where)
  return {
    grid,
    cell,
    pair,
    planners: plannersTable,
    /** What a word of the live page means. */
    term: (name: keyof typeof glossary) => glossary[name],
    commandFlags,
    errorCodes,
    exitCodeList,
    packages: packagesTable,
    modelsInWords,
    modelsTable: () => modelsTable(results.resultOf('agreement') as Agreements),
    /** KL from dense, nats per token. */
    kl: (name: string, planner: string, asked: number, where?: Where) => {
      const { kl, klError } = cell(name, planner, asked, where)
      return pair(kl, klError, 3)
    },
    /** By how much it costs less than static scores within layers. */
    less: (name: string, planner: string, asked: number, where?: Where) => {
      const { overStatic, overStaticError } = cell(name, planner, asked, where)
      return pair(-Number(overStatic), overStaticError, 3)
    },
    /** By how much the first costs less than the second, and how sure that is. */
    ahead: (name: string, first: string, second: string, asked: number, where?: Where) => {
      const { cells } = grid(name)
      const of = (planner: string): MeasuredCell => cells[grid(name).find(planner, asked, where)]
      const { value, error, p } = compareKl(of(first).scores, of(second).scores)
      return `${pair(-value, error, 3)} (${sayP(p)})`
    },
    /** A column of a row. */
    number: (name: string, planner: string, asked: number, column: string, digits: number, where?: Where) =>
      Number(cell(name, planner, asked, where)[column]).toFixed(digits),
    perplexity: (name: string, planner: string, asked: number, where?: Where) => {
      const { perplexity, perplexityError } = cell(name, planner, asked, where)
      return pair(perplexity, perplexityError, 1)
    },
    /** From how many windows the planner of a row learnt. */
    examples: (name: string, planner: string, asked: number) => {
      const { cell: measured } = grid(name).cells[grid(name).find(planner, asked)]
      return measured?.method.examples?.count
    },
    windows: (name: string) => grid(name).cells[0].scores.length,
    documents: (name: string) => new Set(grid(name).cells[0].scores.map(({ document }) => document)).size,
    seeds: (name: string) => grid(name).seeds,
    tables: (name: string) => tablesOf(grid(name)),
    /** What measured the first seed of grids. */
    commands: (...names: string[]) => commandsOf(names.map((name) => grid(name).runs[0])),
    /** What takes the place of skipped units, and what the prompt adds to it (compensated_table.ts). */
    compensated: (name: string, asked: number) => compensatedTable(grid(name), asked),
    context: (lines: readonly (Omit<Context, 'grid'> & { name: string })[]) =>
      contextTable(lines.map(({ name, ...line }) => ({ ...line, grid: grid(name) }))),
    /** What was measured before tokens were divided by their root mean square (unweighed-NAME), and after, of the same seeds. */
    weighing: (lines: readonly (Omit<Weighing, 'before' | 'after'> & { name: string })[]) =>
      weighingTable(
        lines.map(({ name, ...line }) => {
          const before = grid(`unweighed-${name}`)
          const after = new Grid(name, results.runsOf(name).slice(0, before.runs.length))
          return { ...line, before, after }
        }),
      ),
    /** A table of one column of rows: a line for each share asked for in per cent, a column for each planner. */
    matrix: (
      name: string,
      column: string,
      digits: number,
      planners: string[],
      asked: number[],
      where?: Where,
    ) =>
      markdownTable(
        ['skipped', ...planners],
        asked.map((share) => [
          `${share} %`,
          ...planners.map((planner) => {
            const row = cell(name, planner, share, where)
            return pair(row[column], row[`${column}Error`], digits)
          }),
        ]),
      ),
    /** A storage or an engine of bench/results/frontier.json. */
    arm: (name: string) => armOf(results.resultOf('frontier') as Frontier, name),
    /** Windows that the costs of arms are measured on. */
    frontierWindows: () => (results.resultOf('frontier') as Frontier).quality.windows,
    frontier: () => frontierTable(results.resultOf('frontier') as Frontier),
    /** Of `bench:peers`; another name is that of another model. */
    peers: (name = 'peers') => peersTable(results.resultOf(name) as PeersResult),
    weights: weightsTable,
    /** Smaller models in llama.cpp. */
    smaller: () => smallerTable(results.resultOf('smaller') as Smaller),
    /** How many times as fast an arm of this project is as a peer, on one thread. */
    timesAsFast: (ours: string, peer: string, test: string, name = 'peers') =>
      timesAsFast(results.resultOf(name) as PeersResult, ours, peer, test),
    nats,
    tasks: () => tasksTable(results.resultOf('tasks') as TaskRun),
    /** Points of accuracy by which a planner is below dense. */
    points: (planner: string) => {
      const { value, error } = overDense(results.resultOf('tasks') as TaskRun, planner)
      return pair(-100 * value, 100 * error, 1)
    },
  }
}
