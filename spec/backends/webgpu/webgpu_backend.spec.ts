/**
 * The WebGPU backend in the quick tier: what it refuses, one submission for what is read, and memory. The full tier states every law
 * of ops and models over it.
 *
 * Tests src/backends/device_backend.ts, src/backends/webgpu/gpu_device.ts, src/backends/webgpu/gpu_thread.ts and src/platform/gpu.ts.
 */
import { describe, expect, test } from 'vitest'
import { recorderOf } from '../../../src/backends/recorder.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { WebGpuBackend } from '../../../src/backends/webgpu/webgpu_backend.ts'
import { MissingError } from '../../../src/tensor/errors.ts'
import { withWebGpu } from './device.ts'

test('webgpu refuses threads', async () => {
  await expect(createBackend('webgpu', { threads: 2 })).rejects.toMatchObject({
    code: 'THREADS',
    exitCode: 2,
  })
})

test('`webgpu` works on this machine, or names what is missing', async () => {
  const backend = await createBackend('webgpu').catch((error: unknown) => error)
  if (backend instanceof WebGpuBackend) {
    expect(backend.device).not.toBe('')
    backend.dispose()
  } else expect(backend).toMatchObject({ name: MissingError.name, code: 'GPU_MISSING', exitCode: 4 })
})

describe('on an adapter', () => {
  withWebGpu('calls are one submission, made when something is read', (backend) => {
    const a = backend.upload(Float32Array.of(1, 2, 3))
    const b = backend.upload(Float32Array.of(10, 20, 30))
    const y = backend.allocate('f32', [3])
    const before = { ...backend.counts }
    for (let i = 0; i < 5; i++) backend.ops.add(y, a, b)
    backend.ops.add(y, y, b)
    expect(backend.counts.submissions).toBe(before.submissions)
    expect(backend.readF32(y)).toEqual(Float32Array.of(21, 42, 63))
    expect(backend.counts).toMatchObject({
      submissions: before.submissions + 1,
      launches: before.launches + 6,
      bytesRead: before.bytesRead + 12,
    })
    backend.ops.add(y, y, b)
    backend.readAll([a, y, b])
    expect(backend.counts).toMatchObject({ submissions: before.submissions + 2, reads: before.reads + 2 })
    for (const buffer of [a, b, y]) backend.free(buffer)
  })

  withWebGpu('several buffers of any kind are read in one submission', (backend) => {
    const values = [Float32Array.of(1, 2), Int8Array.of(3, 4, 5), new Float32Array(0), Int32Array.of(6)]
    const buffers = values.map((one) => backend.upload(one))
    const views = [backend.view(buffers[0], [1], 1), backend.view(buffers[1], [1], 1)]
    const before = { ...backend.counts }
    const expected = [...values, Float32Array.of(2), Int8Array.of(4)]
    expect(backend.readAll([...buffers, ...views])).toEqual(expected)
    expect(backend.counts).toMatchObject({
      submissions: before.submissions + 1,
      reads: before.reads + 1,
      bytesRead: before.bytesRead + 20,
    })
    expect(backend.readAll([])).toEqual([])
    for (const buffer of buffers) backend.free(buffer)
  })

  withWebGpu('what was recorded is made once, and again where its scratch has moved', (backend) => {
    const recorder = recorderOf(backend.ops) as NonNullable<ReturnType<typeof recorderOf>>
    const x = backend.upload(Float32Array.of(1, 2, 3, 4), [2, 2])
    const y = backend.allocate('f32', [2, 2])
    const recording = recorder.record(() => backend.ops.softmax(y, x))
    const expected = backend.readF32(y)
    const runs = (): number => {
      const { prepared } = backend.counts
      backend.zero(y)
      expect(recording.run()).toBe(true)
      expect(backend.readF32(y)).toEqual(expected)
      return backend.counts.prepared - prepared
    }
    expect([runs(), runs()]).toEqual([0, 0])
    const large = backend.allocate('f32', [30_000, 1])
    const ones = backend.allocate('f32', [30_000, 1])
    backend.ops.softmax(ones, large)
    backend.readF32(ones)
    // The scratch from before is theirs now, and stays as it is.
    const others = Array.from({ length: 40 }, () => backend.allocate('f32', [2]))
    expect([runs(), runs()]).toEqual([1, 0])
    for (const other of others) expect(backend.readF32(other)).toEqual(Float32Array.of(0, 0))
    for (const buffer of [x, y, large, ones, ...others]) backend.free(buffer)
  })

  withWebGpu('memory that was given back is zeros where zeros were asked for', (backend) => {
    for (let i = 0; i < 3; i++) {
      const buffer = backend.allocate('f32', [1000])
      expect(backend.readF32(buffer)).toEqual(new Float32Array(1000))
      backend.write(buffer, new Float32Array(1000).fill(i + 1))
      backend.free(buffer)
    }
  })

  withWebGpu('parts of words are written and cleared without their neighbours', (backend) => {
    const bytes = backend.upload(Int8Array.from({ length: 11 }, (_, i) => i))
    backend.write(bytes, Int8Array.of(-1, -2), 5)
    backend.zero(backend.view(bytes, [2], 1))
    expect(backend.read(bytes)).toEqual(Int8Array.of(0, 0, 0, 3, 4, -1, -2, 7, 8, 9, 10))
    backend.free(bytes)
  })

  withWebGpu('a sibling has the same device and its own buffers', (backend) => {
    const sibling = backend.sibling()
    const buffer = sibling.upload(Float32Array.of(7))
    expect(sibling.readF32(buffer)).toEqual(Float32Array.of(7))
    expect(backend.liveBuffers).toBe(0)
    sibling.dispose()
  })
})
