/**
 * Ranks of scores.
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
