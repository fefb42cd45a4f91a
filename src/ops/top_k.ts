/**
 * top_k: which R of N units have the highest scores, as an ascending list.
 *
 * Ties go to the lower index, on every backend. NaN ranks below everything. A larger R keeps a superset: the order is
 * total (score descending, then index ascending), and the list is its prefix put in index order.
 */
/** The R highest of N scores, ascending by index. */
export function top_k(
  indices: Int32Array, // [R], ascending, below N
  scores: Float32Array, // [N]
  N: number,
  R: number,
): void {
  const rank = (n: number): number => (scores[n] === scores[n] ? scores[n] : -Infinity)
  const isNumber = (n: number): number => Number(scores[n] === scores[n])
  const order = Array.from({ length: N }, (_, n) => n)
  order.sort((a, b) => (rank(a) === rank(b) ? isNumber(b) - isNumber(a) || a - b : rank(b) - rank(a)))
  indices.set(order.slice(0, R).sort((a, b) => a - b))
}
