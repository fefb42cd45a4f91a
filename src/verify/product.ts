/**
 * Matrix products against float64.
 *
 * Whatever the order, a float32 sum of n products is within n + 1 half units of the sum of their sizes (Higham,
 * Accuracy and Stability of Numerical Algorithms, section 3.1).
 */
import { epsilon32, near } from './compare.ts'
import { dot64, dotSize64 } from './float64.ts'

/** Column o of a matrix [., width]. */
export function column(matrix: Float32Array, width: number, o: number): number[] {
  return Array.from({ length: matrix.length / width }, (_, i) => matrix[i * width + o])
}

/** Row t of a matrix [., width]. */
export function row(matrix: Float32Array, width: number, t: number): Float32Array {
  return matrix.subarray(t * width, (t + 1) * width)
}

/**
 * Checks y[t, o] against the float64 product of x[t] with `vector(o)`, plus bias.
 * @throws Error naming the first number that is too far off
 */
export function nearProduct(
  y: Float32Array,
  x: Float32Array,
  bias: Float32Array | null,
  { T, O, I }: { T: number; O: number; I: number },
  vector: (o: number) => ArrayLike<number>,
): void {
  for (let t = 0; t < T; t++)
    for (let o = 0; o < O; o++) {
      const expected = dot64(row(x, I, t), vector(o)) + (bias?.[o] ?? 0)
      const sizes = dotSize64(row(x, I, t), vector(o)) + Math.abs(bias?.[o] ?? 0)
      near(`y[${t}, ${o}]`, [y[t * O + o]], [expected], ((I + 2) / 2) * epsilon32 * sizes)
    }
}
