/**
 * What a call of an op costs before and after its arithmetic: the checks of src/backends/checked_ops.ts and the step into
 * WebAssembly, on kernels of the smallest size.
 */
import { write } from '../src/platform/platform.ts'
import type { Buffer } from '../src/backends/backend.ts'
import { WasmBackend } from '../src/backends/wasm/wasm_backend.ts'
import { figure, table, interleave, type Job } from './timing.ts'

const CALLS = 10_000

export async function run(): Promise<void> {
  const backend = await WasmBackend.create()
  const make = (...shape: number[]): Buffer => backend.allocate('f32', shape)
  const [y4, x4, w4, b4] = [make(1, 4), make(1, 4), make(4), make(4)]
  const [y2, b2, weight, square] = [make(1, 2), make(2), make(2, 4), make(4, 4)]
  const [keys, values] = [make(2, 2, 2), make(2, 2, 2)]
  const rows = backend.upload(Int32Array.of(0, 1))
  const { add, layer_norm, linear, attention, cache_append } = backend.ops
  const job = (name: string, call: () => void): Job => ({
    name,
    work: CALLS,
    run: () => {
      for (let i = 0; i < CALLS; i++) call()
    },
  })
  const jobs = [
    job('add', () => add(y4, x4, b4)),
    job('layer_norm', () => layer_norm(y4, x4, w4, b4, 1e-5)),
    job('cache_append', () => cache_append(keys, x4, null, 0)),
    job('linear', () => linear(y2, x4, weight, b2, null)),
    job('linear, chosen rows', () => linear(y4, x4, square, b4, rows)),
    job('attention', () => attention(y4, x4, keys, values, null, null, 0.5, 0, 1, 1)),
  ]
  const cells = interleave(jobs, 50).map((rates) => {
    const nanoseconds = (1e6 / Math.max(...rates.samples)).toFixed(0)
    return [rates.name, figure(rates, 1), nanoseconds]
  })
  backend.dispose()
  await write('stdout', table([['op', 'calls/ms: median (best)', 'ns per call at best'], ...cells]))
}
