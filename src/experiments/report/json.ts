/**
 * Experiments as JSON: one object, with the provenance of the run that made it.
 *
 * What is not a finite number becomes null, as JSON has no other word for it.
 */
import type { ExperimentResult } from '../../results/experiment_result.ts'
import type { Provenance } from '../../results/provenance.ts'

/** `{ experiments, provenance }`, ending with a line break. A list of numbers is one line. */
export function renderJson(results: readonly ExperimentResult[], provenance: Provenance): string {
  const text = JSON.stringify({ experiments: results, provenance }, null, 2)
  // A line break stands between values only: in a text it is written as two signs.
  return `${text.replace(/\[\n[\s\d.,eE+-]*\]/g, (list) => list.replace(/\s+/g, ' '))}\n`
}
