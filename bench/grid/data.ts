/**
 * bench/results/grid/NAME.json: what `reproduce --experiment grid --output FILE` wrote.
 */
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
  if (result && provenance) return { result, provenance }
  throw new InputError(
    'GRID_DATA',
    `${name}: expected what "reproduce --experiment grid" writes, got something else`,
  )
}

/** Rows by shape of windows, units and sparsity, in their order; dense is in none. */
export function budgetsOf({ rows }: ExperimentResult): (readonly Row[])[] {
  const cells = rows.filter(({ planner }) => planner !== 'dense')
  return [...Map.groupBy(cells, ({ window, units, sparsity }) => [window, units, sparsity].join()).values()]
}
