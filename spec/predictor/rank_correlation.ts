/**
 * Spearman's rank correlation by its definition: Pearson's correlation of ranks, where ties share their mean rank. 0 if either
 * side is constant.
 */
export function rankCorrelation(a: Float32Array, b: Float32Array): number {
  const rank = (values: Float32Array, i: number): number =>
    values.reduce((sum, value) => sum + (value < values[i] ? 1 : value === values[i] ? 0.5 : 0), 0.5)
  const centred = (values: Float32Array): number[] => {
    const ranks = Array.from(values, (_, i) => rank(values, i))
    const mean = ranks.reduce((sum, r) => sum + r, 0) / ranks.length
    return ranks.map((r) => r - mean)
  }
  const [x, y] = [centred(a), centred(b)]
  const dot = (u: number[], v: number[]): number => u.reduce((sum, value, i) => sum + value * v[i], 0)
  const size = Math.sqrt(dot(x, x) * dot(y, y))
  return size > 0 ? dot(x, y) / size : 0
}
