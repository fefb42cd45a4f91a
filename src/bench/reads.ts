/**
 * What a generated token must read, which decides how fast it can come: decoding waits for memory.
 *
 * Counted are the model's weights that are not skipped, with the first layer and the lm_head whole, and the predictor's,
 * shared by the tokens it is asked for. The cache of keys and values is left out, and what an engine reads besides.
 */
import type { UnitMask } from '../masks/mask.ts'
import type { Storage } from '../engine/matrix.ts'
import type { Every } from '../predictor/planners.ts'
import type { Architecture } from './cost/architectures.ts'
import { weightBytes, weightsRead, type UnitsKept } from './cost/token_cost.ts'

/** How often a predictor is asked, and what that reads. */
export interface Asked {
  readonly bytes: number
  readonly every: Every
  /** Tokens generated under the first answer, where it stays. */
  readonly tokens: number
}

/** Bytes that one token reads of a model under a mask, and of its predictor; null is dense. */
export function tokenReads(
  model: Architecture,
  storage: Storage,
  mask: UnitMask | null,
  { bytes, every, tokens }: Asked,
): number {
  const predictor = bytes / (every === 'once' ? tokens : Math.min(every, tokens))
  return weightBytes(weightsRead(model, keptBy(model, mask)), storage) + predictor
}

function keptBy({ layers, heads, neurons }: Architecture, mask: UnitMask | null): UnitsKept {
  const kept = (table: Float32Array): number => table.reduce((sum, value) => sum + (value === 0 ? 0 : 1), 0)
  return mask
    ? { heads: kept(mask.heads), neurons: kept(mask.neurons) }
    : { heads: layers * heads, neurons: layers * neurons }
}
