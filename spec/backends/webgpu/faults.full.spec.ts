/**
 * What goes wrong on a device is one typed error, which every later call repeats; nothing hangs, everything can be given back, and a
 * text goes on in another backend.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { exactKernels } from '../../../src/backends/webgpu/exact_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { WebGpuBackend } from '../../../src/backends/webgpu/webgpu_backend.ts'
import type { ThreadCode } from '../../../src/platform/platform.ts'
import { whyNoAdapter, withWebGpu } from './device.ts'
import { twoModels } from './two_models.ts'

const texts = { kernels: exactKernels, library: float32Wgsl }

/** Threads whose devices break. */
const lost: ThreadCode = (Worker) =>
  new Worker(new URL('./lost_thread.ts', import.meta.url), { type: 'module' })
const hung: ThreadCode = (Worker) =>
  new Worker(new URL('./hung_thread.ts', import.meta.url), { type: 'module' })
const silent: ThreadCode = (Worker) =>
  new Worker(new URL('./silent_thread.ts', import.meta.url), { type: 'module' })
const full: ThreadCode = (Worker) =>
  new Worker(new URL('./memory_thread.ts', import.meta.url), { type: 'module' })

const faults = [
  ['a lost device', lost, 'GPU_LOST'],
  ['a device that never answers', hung, 'GPU_HUNG'],
] as const

test.skipIf(whyNoAdapter !== null).each(faults)(
  '%s: the same error from every call, and what was made can be given back',
  async (_, thread, code) => {
    const backend = await WebGpuBackend.create('webgpu', { thread, patience: 5000 }, texts)
    const a = backend.upload(Float32Array.of(1, 2))
    const y = backend.allocate('f32', [2])
    const steps = (): void => {
      for (let i = 0; i < 9; i++) {
        backend.ops.relu(y, a)
        backend.readF32(y)
      }
    }
    const error = { code, exitCode: 4, message: expect.stringMatching(/^backend webgpu: expected [^\n]+$/) }
    expect(steps).toThrow(expect.objectContaining(error))
    expect(() => backend.ops.relu(y, a)).toThrow(expect.objectContaining(error))
    expect(() => backend.upload(Float32Array.of(1))).toThrow(expect.objectContaining(error))
    expect(() => backend.readF32(y)).toThrow(expect.objectContaining(error))
    backend.free(a)
    expect(backend.liveBuffers).toBe(1)
    backend.dispose()
  },
)

test.skipIf(whyNoAdapter !== null)('a text goes on in another backend where a device was lost', async () => {
  const { gpu, wasm } = await twoModels(await WebGpuBackend.create('webgpu', { thread: lost }, texts))
  const whole = wasm.begin()
  let [sequence, model] = [gpu.begin(), gpu]
  const text: number[] = []
  let moves = 0
  for (let token = 1; token < 20; token++) {
    text.push(token)
    const expected = whole.feed(Int32Array.of(token))
    let actual: Float32Array
    try {
      actual = sequence.feed(Int32Array.of(token))
    } catch (error) {
      expect(error).toMatchObject({ code: 'GPU_LOST' })
      moves++
      sequence.dispose()
      model = wasm
      sequence = model.begin()
      actual = sequence.feed(Int32Array.from(text))
    }
    expect(actual).toEqual(expected)
  }
  expect(moves).toBe(1)
  for (const one of [sequence, whole]) one.dispose()
  for (const one of [gpu, wasm]) {
    one.dispose()
    one.backend.dispose()
  }
})

test.skipIf(whyNoAdapter !== null)(
  'where a shader never ends, its text goes on in another backend, and the program ends by itself with its own code',
  () => {
    const program = fileURLToPath(new URL('./hung_program.ts', import.meta.url))
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program], {
      encoding: 'utf8',
      timeout: 120_000,
      killSignal: 'SIGKILL',
    })
    expect({ status, signal, stdout }, stderr).toEqual({
      status: 4,
      signal: null,
      stdout: 'GPU_HUNG at token 7\n9 tokens\n',
    })
    // Dawn has no word about promises that it broke.
    expect(stderr.split('\n').filter((line) => line !== '' && !line.startsWith('Warning: max'))).toEqual([])
  },
)

test.skipIf(whyNoAdapter !== null)('a device that is never found is an error too', async () => {
  await expect(
    WebGpuBackend.create('webgpu', { thread: silent, patience: 300 }, texts),
  ).rejects.toMatchObject({
    code: 'GPU_HUNG',
    message: 'backend webgpu: expected a device within 300 ms, got none',
  })
})

test.skipIf(whyNoAdapter !== null)('memory that is not there is an error of one call', async () => {
  const backend = await WebGpuBackend.create('webgpu', { thread: full }, texts)
  expect(() => backend.allocate('f32', [2 ** 22])).toThrow(
    expect.objectContaining({
      code: 'BACKEND_MEMORY',
      message: expect.stringContaining(`${2 ** 24} more bytes`),
    }),
  )
  const small = backend.upload(Float32Array.of(5))
  expect(backend.readF32(small)).toEqual(Float32Array.of(5))
  backend.free(small)
  expect(backend.liveBuffers).toBe(0)
  backend.dispose()
})

withWebGpu(
  'a shader that is refused is named',
  (backend) => {
    const [a, b] = [1, 2].map((value) => backend.upload(Float32Array.of(value)))
    backend.ops.add(a, a, b)
    expect(() => backend.readF32(a)).toThrow(
      expect.objectContaining({ code: 'GPU_FAILED', message: expect.stringContaining('nowhere') }),
    )
    for (const buffer of [a, b]) backend.free(buffer)
  },
  {},
  () => ({
    ...texts,
    kernels: { ...exactKernels, add: { ...exactKernels.add, passes: { main: 'nowhere();' } } },
  }),
)
