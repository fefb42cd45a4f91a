/**
 * Gradient clipping by the norm of all gradients together (Pascanu, Mikolov and Bengio 2013): if it exceeds the
 * limit, every gradient is multiplied by limit / norm, which keeps the direction. Squares are summed in the backend;
 * only the norm is read.
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'

/**
 * Clips gradients in place.
 * @returns their norm before clipping; if it is infinite or NaN, nothing is changed
 */
export function clipGradients(backend: Backend, gradients: readonly Buffer[], limit: number): number {
  const scope = new BufferScope(backend)
  try {
    const total = scope.allocate('f32', [1])
    for (const gradient of gradients) backend.ops.sum_squares(total, gradient)
    const norm = Math.sqrt(backend.readF32(total)[0])
    if (Number.isFinite(norm) && norm > limit) {
      const factor = scope.upload(Float32Array.of(limit / norm))
      // One unit of all the numbers there are.
      for (const gradient of gradients) {
        const all = backend.view(gradient, [1, gradient.length])
        backend.ops.mask_units(all, all, factor)
      }
    }
    return norm
  } finally {
    scope.dispose()
  }
}
