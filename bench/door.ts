/**
 * What a call of an op costs before and after its arithmetic: the checks of src/backends/checked_ops.ts and the step into
 * WebAssembly, on kernels of the smallest size.
 */
import { write } from '../src/platform/platform.ts'
import { WasmBackend } from '../src/backends/wasm/wasm_backend.ts'
import { figure, table, takeTurns, type Job } from './timing.ts'

const CALLS = 10_000

export async function run(): Promise<void> {
  const backend = await WasmBackend.create()
  const [y, x, w, b] = Array.from({ length: 4 }, () => backend.allocate('f32', 64))
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
    job('add', () => add(y, x, b, 4)),
    job('layer_norm', () => layer_norm(y, x, w, b, 1e-5, 1, 4)),
    job('cache_append', () => cache_append(y, x, null, 0, 1, 2, 2, 2, 0)),
    job('linear', () => linear(y, x, w, b, null, 1, 2, 4, 0)),
    job('linear, chosen rows', () => linear(y, x, w, b, rows, 1, 4, 4, 2)),
    job('attention', () => attention(y, x, w, b, null, 0.5, 1, 1, 2, 2, 2, 0)),
  ]
  const cells = takeTurns(jobs, 50).map((rates) => {
    const nanoseconds = (1e6 / Math.max(...rates.samples)).toFixed(0)
    return [rates.name, figure(rates, 1), nanoseconds]
  })
  backend.dispose()
  await write('stdout', table([['op', 'calls/ms: median (best)', 'ns per call at best'], ...cells]))
}
