/**
 * Whether attention has shifted so far from where a mask was decided that it is to be decided again (`--every auto`).
 *
 * The rule is that of Dart (arXiv 2601.22632), as its released code computes it (seeder-research/DART, neuronDefuser.py):
 * with m the mean of one layer's attention outputs over the tokens that the mask was decided from, w the mean over five
 * successive tokens, and mu the mean of cos(w, m) over the windows of the former, a window of tokens under the mask shows a
 * shift if
 *
 *   cos(w, m) < mu - max(0.1 sigma, 0.1)
 *
 * Sigma is the deviation of those cosines, at most 1, so that the bound is mu - 0.1, and so it is written here.
 *
 * What is ours: Dart takes the last layer, whose outputs depend on the mask, after out_proj; here it is the source layer of
 * the planner, before out_proj, which runs dense in any case. Nothing is computed for it, and it is the same in every mode.
 * Dart then runs dense for a while and decides from those tokens alone; here the planner is asked at the next token, about the
 * whole text. m and mu are of all tokens that it was shown. Dart counts shifted windows up to one, here there is no count.
 *
 * Sums are float64, in the order of tokens: equal attention outputs give equal decisions.
 */

/** Tokens of a window. */
export const SHIFT_WINDOW = 5
/** How far below the usual cosine a window is to be. */
export const SHIFT_DISTANCE = 0.1

/** What is remembered of the tokens that a mask was decided from. */
export interface ShiftState {
  /** m */
  readonly mean: Float64Array // [D], empty before the first decision
  /** mu */
  readonly usual: number
}

/** Watches the attention outputs of one layer. */
export class AttentionShift {
  readonly #width: number
  readonly #window: number
  readonly #distance: number
  #mean: Float64Array = new Float64Array(0)
  /** mu */
  #usual = 0

  /**
   * @param width numbers of a token
   * @param window tokens of a window
   * @param distance below the usual cosine; -Infinity for always, Infinity for never
   */
  constructor(width: number, window: number, distance: number) {
    this.#width = width
    this.#window = window
    this.#distance = distance
  }

  /** What it remembers. */
  get state(): ShiftState {
    return { mean: this.#mean.slice(), usual: this.#usual }
  }

  set state({ mean, usual }: ShiftState) {
    this.#mean = mean.slice()
    this.#usual = usual
  }

  /** A mask was decided from these tokens. Less than a window are one; the last ones may fill none. @param rows [T, D] */
  decide(rows: Float32Array): void {
    const size = Math.min(this.#window, rows.length / this.#width) * this.#width
    this.#mean = meanRow(rows, this.#width)
    let sum = 0
    let windows = 0
    for (let at = 0; at + size <= rows.length; at += size, windows++)
      sum += cosine(meanRow(rows.subarray(at, at + size), this.#width), this.#mean)
    this.#usual = sum / windows
  }

  /** Whether a window of tokens has shifted. @param rows [window, D] */
  hasShifted(rows: Float32Array): boolean {
    return cosine(meanRow(rows, this.#width), this.#mean) < this.#usual - this.#distance
  }
}

/** The mean of rows: [D]. */
function meanRow(rows: Float32Array, width: number): Float64Array {
  const mean = new Float64Array(width)
  for (let i = 0; i < rows.length; i++) mean[i % width] += rows[i]
  return mean.map((sum) => (sum * width) / rows.length)
}

/** The cosine of two vectors; of a zero vector 0, of two of them 1. */
function cosine(a: Float64Array, b: Float64Array): number {
  let [product, ofA, ofB] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    product += a[i] * b[i]
    ofA += a[i] * a[i]
    ofB += b[i] * b[i]
  }
  if (ofA === 0 || ofB === 0) return ofA === ofB ? 1 : 0
  return product / (Math.sqrt(ofA) * Math.sqrt(ofB))
}
