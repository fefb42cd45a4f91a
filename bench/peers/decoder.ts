/**
 * What is compared: a decoder that is given a prompt and then token after token, however it comes to its logits; and the
 * check that two of them say the same.
 */
import { ShadowError } from '../../src/tensor/errors.ts'
import type { Format } from '../../src/io/gguf_formats.ts'

/** Logits of one position, [V]; at once or later. */
type Logits = Float32Array | Promise<Float32Array>

/** A loaded model with one sequence. */
export interface Decoder {
  /**
   * Begins the sequence anew with a prompt; the logits of its last position.
   * @param read whether they are read: where not, they are computed and need not be handed over
   */
  begin(prompt: Int32Array, read: boolean): Logits
  /** One more token; the logits that follow it. */
  next(token: number, read: boolean): Logits
  /** Milliseconds that the engine says it computed since this was asked last; absent where it says nothing. */
  clock?(): Promise<number>
  /** Bytes of weights that its last token read at most; absent where that is not known. */
  weightsRead?(): number
  dispose(): void | Promise<void>
}

/** A row of the table. */
export interface Arm<Model> {
  readonly name: string
  readonly engine: string
  /** What its weights are, in its own engine's word. */
  readonly weights: string
  /** The file whose weights it has: what it is held against has the same. */
  readonly format: Format
  /** The share of heads and neurons that it leaves out. */
  readonly sparsity: number
  /** The share of heads, where it is another. */
  readonly headSparsity?: number
  /** How many threads it computes on. */
  readonly threads: number
  /**
   * The largest error its logits may have, as a share of the largest logit. null where it computes something else on
   * purpose (units left out, another activation): then they need only be finite, and that is said.
   */
  readonly tolerance: number | null
  /** Its logits are known but for a number that is added to all of one position: they come from probabilities. */
  readonly shifted?: true
  /**
   * Loads the model.
   * @throws MissingError BACKEND_MEMORY if it cannot hold one of this size
   */
  readonly make: (model: Model) => Promise<Decoder>
}

/** What rounding f32 in another order may change, as a share of the largest logit. */
export const F32_TOLERANCE = 1e-4

/** What weights, or activations and caches, in half precision may change. */
export const F16_TOLERANCE = 0.01

/** What weights or activations of 8 bits may change. */
export const INT8_TOLERANCE = 0.2

/** What weights of 4 bits may change if they are rounded by other rules than those of the file. */
export const INT4_TOLERANCE = 0.5

/** A fixed text, `length` tokens long. */
export function promptOf(length: number, vocabulary: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => (2 + 98 * i) % vocabulary)
}

const PROMPT = 8
const STEPS = 4

/** Logits of a prompt's last position and of some cached steps, then those of another prompt, which begins anew. */
export async function samplesOf(decoder: Decoder, vocabulary: number): Promise<Float32Array[]> {
  const samples = [await decoder.begin(promptOf(PROMPT, vocabulary), true)]
  for (let i = 0; i < STEPS; i++) samples.push(await decoder.next((1000 + 37 * i) % vocabulary, true))
  samples.push(await decoder.begin(promptOf(3 * PROMPT, vocabulary), true))
  return samples
}

/** The largest difference between two lists of logits, as a share of the largest expected one; NaN where one is NaN. */
export function relativeError(expected: readonly Float32Array[], actual: readonly Float32Array[]): number {
  let largest = 0
  let error = 0
  for (const [i, logits] of expected.entries()) {
    if (actual[i]?.length !== logits.length) return NaN
    for (const [j, value] of logits.entries()) {
      largest = Math.max(largest, Math.abs(value))
      error = Math.max(error, Math.abs(value - actual[i][j]))
    }
  }
  return error / largest
}

/** Logits minus their mean. */
function centred(logits: Float32Array): Float32Array {
  const mean = logits.reduce((sum, value) => sum + value, 0) / logits.length
  return logits.map((value) => value - mean)
}

/**
 * The error of an arm; null where it is not compared.
 * @throws ShadowError PEER_DISAGREES, exit code 1, if it is not within the arm's tolerance, or if a logit is missing or not
 *   finite
 */
export function checkAgreement(
  { name, tolerance, shifted }: Pick<Arm<never>, 'name' | 'tolerance' | 'shifted'>,
  expected: readonly Float32Array[],
  actual: readonly Float32Array[],
): number | null {
  const refuse = (limit: string, got: string): ShadowError =>
    new ShadowError('PEER_DISAGREES', `${name}: expected ${limit}, got ${got}`, 1)
  if (tolerance === null) {
    const complete = expected.every(({ length }, i) => actual[i]?.length === length)
    if (complete && actual.every((logits) => logits.every(Number.isFinite))) return null
    throw refuse('a finite logit for every token', 'others')
  }
  const error = shifted
    ? relativeError(expected.map(centred), actual.map(centred))
    : relativeError(expected, actual)
  // Written so that NaN is a disagreement.
  if (error <= tolerance) return error
  const got = `logits that differ by ${error.toExponential(1)} of the largest`
  throw refuse(`at most ${tolerance.toExponential(0)}`, got)
}
