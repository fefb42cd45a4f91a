/**
 * How fast this machine reads weights: one token through a matrix far larger than any cache, by the wasm backend's own
 * kernel on one thread. That is the speed decoding goes at here, whatever the memory could do otherwise.
 */
import { createBackend } from '../../backends/select.ts'
import { now } from '../../platform/platform.ts'
import { median } from '../../results/interleaved_rounds.ts'

const ROWS = 16384
const LENGTH = 2048 // 128 MiB of weights
const ROUNDS = 9

/**
 * Bytes per second, the median of a few readings; about a quarter of a second.
 * @throws MissingError BACKEND_MISSING, BACKEND_MEMORY
 */
export async function measureBandwidth(): Promise<number> {
  const backend = await createBackend('wasm')
  try {
    const output = backend.allocate('f32', [1, ROWS])
    const input = backend.allocate('f32', [1, LENGTH])
    const weight = backend.allocate('f32', [ROWS, LENGTH])
    const read = (): number => {
      const start = now()
      backend.ops.linear(output, input, weight, null, null)
      return (4000 * ROWS * LENGTH) / (now() - start)
    }
    read()
    return median(Array.from({ length: ROUNDS }, read))
  } finally {
    backend.dispose()
  }
}
