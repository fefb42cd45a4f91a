/**
 * Splits examples into training and evaluation examples.
 */
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'

/**
 * Splits examples of a calibration at random into those to train on (`trainPredictor`) and those to judge by (`judgePredictor`), by a
 * seed; both parts keep their order. Windows of one document may be in both
 * parts.
 * @param heldOut the share of evaluation examples, in [0, 1)
 * @param examples of any kind
 * @param seed a whole number from 0
 * @throws UsageError EXAMPLES if fewer than two training examples would be left
 */
export function splitExamples<Example>(
  examples: readonly Example[],
  heldOut: number,
  seed: number,
): { trained: Example[]; heldOut: Example[] } {
  const count = Math.round(heldOut * examples.length)
  if (examples.length - count < 2)
    throw new UsageError(
      'EXAMPLES',
      `examples: expected at least 2 to train on, got ${examples.length - count} of ${examples.length}`,
    )
  const held = new Set(new Random(seed).permutation(examples.length).subarray(0, count))
  return {
    trained: examples.filter((_, place) => !held.has(place)),
    heldOut: examples.filter((_, place) => held.has(place)),
  }
}
