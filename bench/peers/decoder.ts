/**
 * What is compared: a decoder that is given a prompt and then token after token, however it comes to its logits; and the
 * check that two of them say the same.
 */
import { ShadowError } from '../../src/tensor/errors.ts'

/** Logits of one position, [V]; at once or later. */
export type Logits = Float32Array | Promise<Float32Array>

/** A loaded model with one sequence. */
export interface Decoder {
  /** Begins the sequence anew with a prompt; the logits of its last position. */
  begin(prompt: Int32Array): Logits
  /** One more token; the logits that follow it. */
  next(token: number): Logits
  dispose(): void | Promise<void>
}

/** A row of the table. */
export interface Arm<Model> {
  readonly name: string
  /** How many threads it computes on. */
  readonly threads: number
  /**
   * The largest error its logits may have, as a share of the largest logit. null where it computes something else on
   * purpose (units left out): then nothing is compared, and that is said.
   */
  readonly tolerance: number | null
  /**
   * Loads the model.
   * @throws MissingError BACKEND_MEMORY if it cannot hold one of this size
   */
  readonly make: (model: Model) => Promise<Decoder>
}

/** What rounding f32 in another order may change, as a share of the largest logit. */
export const F32_TOLERANCE = 1e-4

/** What weights of 8 bits may change. */
export const INT8_TOLERANCE = 0.1

/** A fixed text, `length` tokens long. */
export function promptOf(length: number, vocabulary: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => (2 + 98 * i) % vocabulary)
}

const PROMPT = 8
const STEPS = 4

/** Logits of a prompt's last position and of some cached steps, then those of another prompt, which begins anew. */
export async function samplesOf(decoder: Decoder, vocabulary: number): Promise<Float32Array[]> {
  const samples = [await decoder.begin(promptOf(PROMPT, vocabulary))]
  for (let i = 0; i < STEPS; i++) samples.push(await decoder.next((1000 + 37 * i) % vocabulary))
  samples.push(await decoder.begin(promptOf(3 * PROMPT, vocabulary)))
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

/**
 * The error of an arm; null where it is not compared.
 * @throws ShadowError PEER_DISAGREES, exit code 1, if it is not within the arm's tolerance
 */
export function checkAgreement(
  { name, tolerance }: Pick<Arm<never>, 'name' | 'tolerance'>,
  expected: readonly Float32Array[],
  actual: readonly Float32Array[],
): number | null {
  if (tolerance === null) return null
  const error = relativeError(expected, actual)
  // Written so that NaN is a disagreement.
  if (error <= tolerance) return error
  const got = `logits that differ by ${error.toExponential(1)} of the largest`
  throw new ShadowError(
    'PEER_DISAGREES',
    `${name}: expected at most ${tolerance.toExponential(0)}, got ${got}`,
    1,
  )
}
