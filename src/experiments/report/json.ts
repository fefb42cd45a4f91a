/**
 * Experiments as JSON: one object, with the provenance of the run that made it.
 *
 * What is not a finite number becomes null, as JSON has no other word for it.
 */
import type { ExperimentResult } from '../../results/experiment_result.ts'
import { jsonText } from '../../results/json_text.ts'
import type { Provenance } from '../../results/provenance.ts'

/** `{ experiments, provenance }`. */
export function renderJson(results: readonly ExperimentResult[], provenance: Provenance): string {
  return jsonText({ experiments: results, provenance })
}
