/**
 * The grid as pages show it: bench/results/grid/NAME.json, or NAME.0.json, NAME.1.json and so on with a seed each, which
 * `reproduce --experiment grid --output FILE` wrote. Rows are computed anew from the windows in these files.
 */
import { gridFindings, gridRows, poolRuns, type MeasuredCell } from '../../src/experiments/grid_rows.ts'
import type { ExperimentResult, Row } from '../../src/results/experiment_result.ts'
import type { Provenance } from '../../src/results/provenance.ts'
import { InputError } from '../../src/tensor/errors.ts'

/** A run of the grid. */
export interface GridRun {
  readonly result: ExperimentResult
  readonly provenance: Provenance
}

/** The run of a file. @throws InputError GRID_DATA for another file */
export function gridRunOf(name: string, text: string): GridRun {
  const { experiments = [], provenance } = JSON.parse(text) as {
    experiments?: readonly ExperimentResult[]
    provenance?: Provenance
  }
  const result = experiments.find((experiment) => experiment.name === 'grid')
  if (result?.measured && provenance) return { result, provenance }
  throw new InputError(
    'GRID_DATA',
    `${name}: expected what "reproduce --experiment grid" writes, got something else`,
  )
}

/** Which row of a run is meant, where its planner and the share asked for do not tell. */
export type Where = Partial<Readonly<Record<'units' | 'window' | 'every' | 'prompt', string>>>

/** The rows of runs with the same cells: one file for each seed, or a single one. */
export class Grid {
  readonly name: string
  readonly runs: readonly GridRun[]
  readonly rows: readonly Row[]
  readonly cells: readonly MeasuredCell[]
  /** How many seeds drew windows. */
  readonly seeds: number

  /** @throws InputError GRID_DATA for files with other methods */
  constructor(name: string, runs: readonly GridRun[]) {
    this.name = name
    this.runs = runs
    const measured = runs.flatMap(({ result }) => result.measured ?? [])
    this.seeds = new Set(measured.map(({ seed }) => seed)).size
    const shapes = Map.groupBy(measured, ({ prompt, continuation }) => `${prompt} ${continuation}`)
    const found = [...shapes.values()].map((own) => {
      const cells = poolRuns(own)
      const [{ scores }] = cells
      // Windows are paired by their place: a method that a run lacks would move them.
      if (cells.some((one) => one.scores.length !== scores.length))
        throw new InputError(
          'GRID_DATA',
          `${name}: expected the same methods in all of its files, got others`,
        )
      return { cells, rows: gridRows(own[0], cells, null) }
    })
    this.cells = found.flatMap(({ cells }) => cells)
    this.rows = withSpeeds(
      found.flatMap(({ rows }) => rows),
      runs,
    )
  }

  /** The index of a row. @throws InputError ROW if not one row is meant */
  find(planner: string, asked: number, where: Where = {}): number {
    const wanted = Object.entries({ planner, ...where })
    const matching = this.rows.flatMap((row, i) =>
      Math.round(Number(row.sparsity)) === Math.round(asked) &&
      wanted.every(([key, value]) => row[key] === value)
        ? [i]
        : [],
    )
    if (matching.length === 1) return matching[0]
    throw new InputError(
      'ROW',
      `${this.name}: expected one row of ${planner} at ${asked} %, got ${matching.length}`,
    )
  }

  row(planner: string, asked: number, where?: Where): Row {
    return this.rows[this.find(planner, asked, where)]
  }

  get findings(): string[] {
    return gridFindings(this.rows, this.cells)
  }

  /** Rows by shape of windows, units and sparsity, in their order; dense is in none. */
  get budgets(): (readonly Row[])[] {
    const cells = this.rows.filter(({ planner }) => planner !== 'dense')
    return [...Map.groupBy(cells, ({ window, units, sparsity }) => [window, units, sparsity].join()).values()]
  }
}

/** Decode speeds are measured once, in the rows of the run: no window has any. */
function withSpeeds(rows: readonly Row[], runs: readonly GridRun[]): Row[] {
  const keyOf = ({ window, units, sparsity, planner, every, prompt }: Row): string =>
    JSON.stringify([window, units, sparsity, planner, every, prompt])
  const speeds = new Map(runs.flatMap(({ result }) => result.rows.map((row) => [keyOf(row), row.speed])))
  return rows.map((row) => ({ ...row, speed: runs.length === 1 ? (speeds.get(keyOf(row)) ?? null) : null }))
}
