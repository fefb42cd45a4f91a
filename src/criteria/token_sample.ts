/**
 * A uniform sample of the tokens of a data set, with the gradients of each unit, for criteria that compare gradients of different
 * tokens.
 *
 * For every sampled token it keeps g = dL/da of every head, before out_proj; the input x of fc1; and which neurons have a
 * gradient before ReLU. The gradient of the loss with respect to neuron j's incoming weights at token t is gz[t, j] x[t], a
 * multiple of the input of fc1; so two tokens' gradients of a neuron correlate as their x do, up to sign, and x is kept once
 * for all neurons. Every token of the data set is kept with the same probability (reservoir sampling, Vitter 1985), so
 * memory does not grow with the data.
 */
import { shiftLabels } from '../engine/loss.ts'
import { Random } from '../tensor/random.ts'
import { UsageError } from '../tensor/errors.ts'
import type { CriterionInput } from './criterion.ts'
import { contextWidth } from '../engine/config.ts'

/** The data of a sampled token in one layer. */
interface TokenGradients {
  readonly heads: Float32Array // [H K], gradient of the heads' outputs, heads side by side
  readonly input: Float32Array // [D], what fc1 read
  readonly reached: Uint8Array // [F], 1 where the gradient before ReLU is not 0
}

/** A sampled token. */
export interface SampledToken {
  /** The token it is to predict, -100 if that is not scored or there is none. */
  readonly target: number
  readonly layers: readonly TokenGradients[] // [L]
}

/** A running sample. */
export class TokenSample {
  readonly #capacity: number
  readonly #random: Random
  readonly #tokens: SampledToken[] = []
  #seen = 0
  #headSize = 0

  /** @param capacity the maximal number of tokens */
  constructor(capacity: number, seed: number) {
    this.#capacity = capacity
    this.#random = new Random(seed)
  }

  /** The sampled tokens. @throws UsageError EXAMPLES if there are no examples */
  get tokens(): readonly SampledToken[] {
    if (this.#headSize === 0) throw new UsageError('EXAMPLES', 'examples: expected at least one, got none')
    return this.#tokens
  }

  /** K, the head size. */
  get headSize(): number {
    return this.#headSize
  }

  /** The standardised gradients of a head, a row for each token. */
  headRows(layer: number, head: number): (Float64Array | null)[] {
    const K = this.#headSize
    return this.tokens.map(({ layers }) =>
      standardise(layers[layer].heads.subarray(head * K, (head + 1) * K)),
    )
  }

  /** The standardised inputs of fc1, a row for each token. */
  inputRows(layer: number): (Float64Array | null)[] {
    return this.tokens.map(({ layers }) => standardise(layers[layer].input))
  }

  /** Adds the tokens of an example whose next token is `eligible`. */
  add(input: CriterionInput, eligible: (target: number) => boolean): void {
    this.#headSize = input.model.config.headSize
    const targets = shiftLabels(input.labels)
    const chosen = new Map<number, number>() // place -> token
    targets.forEach((target, t) => {
      if (!eligible(target)) return
      this.#seen++
      const place = this.#seen <= this.#capacity ? this.#seen - 1 : this.#random.below(this.#seen)
      if (place < this.#capacity) chosen.set(place, t)
    })
    if (chosen.size === 0) return
    const layers = new Map([...chosen.values()].map((t) => [t, [] as TokenGradients[]]))
    for (let layer = 0; layer < input.model.shape.layers; layer++) readLayer(input, layer, layers)
    for (const [place, t] of chosen) this.#tokens[place] = { target: targets[t], layers: layers.get(t) ?? [] }
  }
}

/** Copies the data of the chosen tokens in one layer. */
function readLayer(
  { model, trace, gradients }: CriterionInput,
  layer: number,
  tokens: ReadonlyMap<number, TokenGradients[]>,
): void {
  const { config } = model
  const { width: D, neurons: F } = config
  const C = contextWidth(config)
  const heads = gradients.headOut(layer) // [T, C]
  const inputs = trace.fc1Input(layer) // [T, D]
  const pre = gradients.fc1Pre(layer) // [T, F]
  for (const [t, layers] of tokens)
    layers.push({
      heads: heads.slice(t * C, (t + 1) * C),
      input: inputs.slice(t * D, (t + 1) * D),
      reached: Uint8Array.from(pre.subarray(t * F, (t + 1) * F), (value) => (value === 0 ? 0 : 1)),
    })
}

/**
 * A row less its mean and of norm 1, so that inner products are correlations; null for a constant row, which has no
 * correlations.
 */
function standardise(row: Float32Array): Float64Array | null {
  let mean = 0
  for (const value of row) mean += value / row.length
  const centred = Float64Array.from(row, (value) => value - mean)
  const size = Math.sqrt(centred.reduce((total, value) => total + value * value, 0))
  // A constant row has no direction; what rounding leaves is ignored.
  const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  return size > 1e-7 * largest * Math.sqrt(row.length) ? centred.map((value) => value / size) : null
}

/** The correlation of two standardised rows. */
export function correlation(a: Float64Array, b: Float64Array): number {
  let total = 0
  for (let i = 0; i < a.length; i++) total += a[i] * b[i]
  return total
}
