/**
 * The buffers of the emulated CUDA backends, and their errors: an emulator of other kernels, a device that is too old, a call that
 * fails.
 *
 * Tests src/backends/cuda/driver.ts and src/platform/foreign.ts.
 */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { emulatorPath, whyNoEmulator } from '../../../scripts/cuda/emulator.ts'
import type { CudaBackend } from '../../../src/backends/cuda/cuda_backend.ts'
import { Driver } from '../../../src/backends/cuda/driver.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { checkOn } from '../../harness/seed.ts'
import { temporaryFolder } from '../../harness/temporary_folder.ts'
import { agreementLaws } from '../../../src/verify/ops/agreement.ts'
import { pastABlock } from './block_laws.ts'
import { withEmulator } from './emulator.ts'

const folder = temporaryFolder()

const noCompiler = await whyNoEmulator()
const why = noCompiler === null ? '' : `, which needs g++: ${noCompiler}`

describe.skipIf(noCompiler !== null)(`emulated${why}`, () => {
  const start = (): Promise<CudaBackend> => createBackend('cuda-emulated') as Promise<CudaBackend>

  test('two backends share a device and nothing else, and the device outlives the first of them', async () => {
    const first = await start()
    const second = first.sibling()
    // The name shows that the device is emulated.
    expect([first.device, second.device]).toEqual(
      Array(2).fill('emulated on this processor, compute capability 8.0, driver for CUDA 12.0'),
    )
    const [here, there] = [first, second].map((one) => one.upload(Float32Array.of(-1, 2)))
    first.ops.relu(here, here)
    expect(second.readF32(there)).toEqual(Float32Array.of(-1, 2))
    expect(() => second.readF32(here)).toThrow(expect.objectContaining({ code: 'BUFFER_FOREIGN' }))
    first.dispose()
    second.ops.relu(there, there)
    expect(second.readF32(there)).toEqual(Float32Array.of(0, 2))
    second.dispose()
  })

  test('views read and write their buffer, and are freed with it', async () => {
    const backend = await start()
    const whole = backend.upload(Float32Array.of(1, 2, 3, 4, 5))
    const view = backend.view(backend.view(whole, [4], 1), [2], 1)
    backend.write(view, Float32Array.of(8), 1)
    expect(backend.readF32(whole)).toEqual(Float32Array.of(1, 2, 3, 8, 5))
    backend.zero(view)
    expect(backend.readF32(whole)).toEqual(Float32Array.of(1, 2, 0, 0, 5))
    expect(() => backend.free(view)).toThrow(expect.objectContaining({ code: 'BUFFER_VIEW' }))
    backend.free(whole)
    expect(() => backend.readF32(view)).toThrow(expect.objectContaining({ code: 'BUFFER_FREED' }))
    expect(() => backend.free(whole)).toThrow(expect.objectContaining({ code: 'BUFFER_FREED' }))
    backend.dispose()
  })

  test('new buffers hold zeros, and empty buffers are valid', async () => {
    const backend = await start()
    expect(backend.readF32(backend.allocate('f32', [3]))).toEqual(new Float32Array(3))
    expect(backend.readF32(backend.allocate('f32', [1], 'anything'))).toEqual(Float32Array.of(NaN))
    expect(backend.read(backend.upload(new Int8Array(0)))).toEqual(new Int8Array(0))
    expect(backend.read(backend.allocate('f16', [0]))).toEqual(new Uint16Array(0))
    expect(backend.liveBuffers).toBe(4)
    backend.dispose()
    expect(backend.liveBuffers).toBe(0)
  })

  test('a disposed backend refuses every call, and a second disposal does nothing', async () => {
    const backend = await start()
    const buffer = backend.upload(Float32Array.of(1))
    backend.dispose()
    backend.dispose()
    const disposed = expect.objectContaining({ code: 'BACKEND_DISPOSED' })
    expect(() => backend.allocate('f32', [1])).toThrow(disposed)
    expect(() => backend.readF32(buffer)).toThrow(disposed)
    expect(() => backend.ops.relu(buffer, buffer)).toThrow(disposed)
    expect(() => backend.sibling()).toThrow(disposed)
  })

  test('an allocation without memory throws BACKEND_MEMORY, and other buffers keep their values', async () => {
    const file = 'emulator/driver.cpp'
    const from = 'std::malloc(bytes + 2 * GUARD)'
    const plant = { file, from, to: 'bytes > 100 ? nullptr : std::malloc(bytes + 2 * GUARD)' }
    await withEmulator({ plant, part: { file: 'activations.cu', ops: ['relu'] } }, (backend) => {
      const kept = backend.upload(Float32Array.of(-3))
      expect(() => backend.allocate('f32', [26])).toThrow(
        expect.objectContaining({ code: 'BACKEND_MEMORY', exitCode: 4 }),
      )
      backend.ops.relu(kept, kept)
      expect(backend.readF32(kept)).toEqual(Float32Array.of(0))
    })
  })

  test('a device that is too old throws CUDA_DEVICE with its name', async () => {
    const plant = { file: 'emulator/driver.cpp', from: 'CAPABILITY_MAJOR = 8', to: 'CAPABILITY_MAJOR = 7' }
    const opened = withEmulator({ plant, part: { file: 'activations.cu', ops: ['relu'] } }, () => {})
    await expect(opened).rejects.toMatchObject({
      code: 'CUDA_DEVICE',
      exitCode: 4,
      message: expect.stringContaining('expected compute capability 8.0 or newer, got 7.0 (emulated'),
    })
  })

  test.each([
    { how: 'counts none', from: '*count = 1;', to: '*count = 0;' },
    { how: 'does not start', from: 'initialized = true;', to: 'return 100; // CUDA_ERROR_NO_DEVICE' },
  ])('no device, where the driver $how: CUDA_DEVICE', async ({ from, to }) => {
    const plant = { file: 'emulator/driver.cpp', from, to }
    const opened = withEmulator({ plant, part: { file: 'activations.cu', ops: ['relu'] } }, () => {})
    await expect(opened).rejects.toMatchObject({ code: 'CUDA_DEVICE', exitCode: 4 })
  })

  test('a driver that fails to start is an error that names the call', async () => {
    const plant = { file: 'emulator/driver.cpp', from: 'initialized = true;', to: 'return INVALID_IMAGE;' }
    const opened = withEmulator({ plant, part: { file: 'activations.cu', ops: ['relu'] } }, () => {})
    await expect(opened).rejects.toMatchObject({
      code: 'CUDA_CALL',
      message: expect.stringMatching(/^cuInit: expected CUDA_SUCCESS, got CUDA_ERROR_INVALID_IMAGE/),
    })
  })

  test('an emulator built from other kernels is refused', async () => {
    const plant = { file: 'emulator/kernels.cpp', from: '= SOURCES;', to: '= "0";' }
    const opened = withEmulator({ plant, part: { file: 'activations.cu', ops: ['relu'] } }, () => {})
    await expect(opened).rejects.toMatchObject({
      code: 'CUDA_CALL',
      message: expect.stringMatching(
        /^cuModuleLoadData: expected CUDA_SUCCESS, got CUDA_ERROR_NO_BINARY_FOR_GPU/,
      ),
    })
  })

  test('the next wait names a failed kernel; nothing runs after it, and freeing still works', async () => {
    const plant = { file: 'activations.cu', from: 'y[n] = x[n] > 0', to: '__syncthreads(), y[n] = x[n] > 0' }
    await withEmulator({ plant, part: { file: 'activations.cu', ops: ['relu'] } }, (backend) => {
      const x = backend.upload(Float32Array.of(1, 2, 3))
      const failed = expect.objectContaining({
        code: 'CUDA_CALL',
        exitCode: 4,
        message: expect.stringMatching(
          /^cuStreamSynchronize: expected CUDA_SUCCESS, got CUDA_ERROR_LAUNCH_FAILED \(relu_exact: block 0: expected all/,
        ),
      })
      backend.ops.relu(x, x)
      expect(() => backend.readF32(x)).toThrow(failed)
      for (const attempt of [
        () => backend.ops.relu(x, x),
        () => backend.readF32(x),
        () => backend.upload(Float32Array.of(1)),
        () => backend.zero(x),
      ])
        expect(attempt).toThrow(failed)
      backend.free(x)
      expect(backend.liveBuffers).toBe(0)
    })
  })

  test('every kernel may use more shared memory than the default, else its launch is refused', async () => {
    const part = { file: 'attention.cu', ops: ['attention_backward'] as const }
    const file = 'emulator/driver.cpp'
    const run = (from: string, to: string): Promise<void> =>
      withEmulator({ plant: { file, from, to }, part }, (backend) =>
        pastABlock(backend, 'attention_backward', 1),
      )
    await run(' SHARED = 48 * 1024', ' SHARED = 64')
    const refused = run('shared > function->most_shared', 'shared > 64')
    await expect(refused).rejects.toThrow(
      /^cuLaunchKernel: .* CUDA_ERROR_INVALID_VALUE \(expected at most \d+ shared bytes\)/,
    )
  })

  test('the portable way to switch between threads gives the same bits', async () => {
    const build = { defines: ['EMULATOR_UCONTEXT'], part: { file: 'top_k.cu', ops: ['top_k'] as const } }
    await withEmulator(build, (backend) => checkOn(agreementLaws('top_k')[0], backend, { record: false }))
  })

  test('two copies of the emulator in one process share nothing', async () => {
    const copy = join(folder, 'copy.so')
    copyFileSync(emulatorPath(), copy)
    const [one, two] = await Promise.all([emulatorPath(), copy].map((path) => Driver.open(path, path)))
    expect(one.firstDevice('one')).toBe(0)
    expect(() => two.allocate(4)).toThrow('CUDA_ERROR_NOT_INITIALIZED (cuInit was not called)')
    one.call('cuMemFree_v2', one.allocate(4) as number)
  })
})
