/**
 * How fast this machine reads weights and multiplies them: the wasm backend's own linear layer on one thread. With one
 * token and a matrix far larger than any cache that is the speed decoding goes at here, whatever the memory could do
 * otherwise; with many tokens and a matrix that stays in the cache, what calibration is made of.
 */
import { createBackend } from '../backends/select.ts'
import { now } from '../platform/platform.ts'
import { median } from '../results/interleaved_rounds.ts'

const ROUNDS = 9

/**
 * Bytes of weights per second, about a quarter of a second long.
 * @throws MissingError BACKEND_MISSING, BACKEND_MEMORY
 */
export async function measureBandwidth(): Promise<number> {
  const [inputs, outputs] = [2048, 16384] // 128 MiB of weights
  return (4000 * outputs * inputs) / (await timeLinear(1, inputs, outputs))
}

/**
 * Floating-point operations per second of a large matrix product.
 * @throws MissingError BACKEND_MISSING, BACKEND_MEMORY
 */
export async function measureFlops(): Promise<number> {
  const [tokens, size] = [128, 1024]
  return (2000 * tokens * size * size) / (await timeLinear(tokens, size, size))
}

/** Milliseconds of a linear layer, the median of a few calls. */
async function timeLinear(tokens: number, inputs: number, outputs: number): Promise<number> {
  const backend = await createBackend('wasm')
  try {
    const output = backend.allocate('f32', [tokens, outputs])
    const input = backend.allocate('f32', [tokens, inputs])
    const weight = backend.allocate('f32', [outputs, inputs])
    const run = (): number => {
      const start = now()
      backend.ops.linear(output, input, weight, null, null)
      return now() - start
    }
    run()
    return median(Array.from({ length: ROUNDS }, run))
  } finally {
    backend.dispose()
  }
}
