/**
 * top_k by a threshold: the result of its definition, fast enough to run for every token while a slider moves. It sorts a
 * typed array of numbers and takes the values above the R-th one, and of those equal to it the first ones.
 */
import type { TopK } from '../../masks/selection.ts'

/** The indices of the `count` highest scores, ascending; ties go to the lower index, NaN below everything. */
export const quickTopK: TopK = (scores, count) => {
  const chosen = new Int32Array(count)
  if (count === 0) return chosen
  const numbers = scores.filter((score) => score === score).sort()
  // With fewer numbers than `count`, all numbers are taken, and then the first NaN values.
  const threshold = numbers.length < count ? -Infinity : numbers[numbers.length - count]
  let places = count - Math.min(count, numbers.length - firstAbove(numbers, threshold))
  let nones = Math.max(0, count - numbers.length)
  let filled = 0
  for (let index = 0; filled < count && index < scores.length; index++) {
    const score = scores[index]
    const isIn =
      score > threshold || (score === threshold && places-- > 0) || (score !== score && nones-- > 0)
    if (isIn) chosen[filled++] = index
  }
  return chosen
}

/** The index of the first number above a value, in ascending numbers. */
function firstAbove(numbers: Float32Array, threshold: number): number {
  let [low, high] = [0, numbers.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (numbers[middle] > threshold) high = middle
    else low = middle + 1
  }
  return low
}
