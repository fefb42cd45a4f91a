/**
 * Ranks of scores, and the number at a rank.
 */

/** Ranks from 0 for the lowest; equal values share their mean rank. NaN ranks below every number. */
export function ranks(values: Float32Array): Float32Array {
  const keys = values.map((value) => (Number.isNaN(value) ? -Infinity : value))
  const order = Uint32Array.from(values.keys()).sort((a, b) => keys[a] - keys[b] || 0)
  const result = new Float32Array(values.length)
  for (let start = 0; start < order.length;) {
    let end = start + 1
    while (end < order.length && keys[order[end]] === keys[order[start]]) end++
    for (let i = start; i < end; i++) result[order[i]] = (start + end - 1) / 2
    start = end
  }
  return result
}

/** The n-th largest number, n from 1; reorders them (Hoare's selection). */
export function nthLargest(values: Float32Array, n: number): number {
  let left = 0
  let right = values.length - 1
  while (left < right) {
    const pivot = values[(left + right) >>> 1]
    let [i, j] = [left, right]
    while (i <= j) {
      while (values[i] > pivot) i++
      while (values[j] < pivot) j--
      if (i > j) break
      const value = values[i]
      values[i++] = values[j]
      values[j--] = value
    }
    // From left to j all are at least the pivot, from i to right at most; those between are equal to it.
    if (n - 1 <= j) right = j
    else if (n - 1 >= i) left = i
    else break
  }
  return values[n - 1]
}
