/**
 * The wasm backend as a keeper of buffers: contents survive the growth of its memory, freed room is used again, each
 * backend has a memory of its own, and what it cannot do it refuses by name.
 *
 * Tests src/platform/wasm_features.ts.
 */
import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Buffer } from '../../../src/backends/backend.ts'
import type { OwnedBuffer } from '../../../src/backends/owned_buffer.ts'
import { WasmBackend } from '../../../src/backends/wasm/wasm_backend.ts'
import { probeWasm } from '../../../src/platform/wasm_features.ts'
import { sameBits } from '../../../src/verify/compare.ts'
import { law } from '../../harness/seed.ts'

const backend = await WasmBackend.create()

function addressOf(buffer: Buffer): number {
  return (buffer as OwnedBuffer<number>).address
}

afterEach(() => {
  vi.restoreAllMocks()
  expect(backend.liveBuffers, 'buffers left behind').toBe(0)
})

law(
  'buffers keep their values while others are allocated, freed and grow the memory',
  {
    pieces: fc.array(fc.record({ length: fc.nat(40_000), keep: fc.boolean() }), {
      minLength: 1,
      maxLength: 30,
    }),
  },
  async ({ pieces }) => {
    const own = await WasmBackend.create()
    const kept: { buffer: Buffer; values: Float32Array }[] = []
    pieces.forEach(({ length, keep }, i) => {
      const values = Float32Array.from({ length }, (_, n) => i + n / 7)
      const buffer = own.upload(values)
      if (keep) kept.push({ buffer, values })
      else own.free(buffer)
    })
    for (const [i, { buffer, values }] of kept.entries()) sameBits(`kept ${i}`, own.readF32(buffer), values)
    expect(own.liveBuffers).toBe(kept.length)
    for (const { buffer } of kept) own.free(buffer)
    expect(own.liveBuffers).toBe(0)
    own.dispose()
  },
  { runs: 10 },
)

test('a new buffer is zeros, also in reused memory', () => {
  const first = backend.upload(new Float32Array(100).fill(7))
  const place = addressOf(first)
  backend.free(first)
  const second = backend.allocate('f32', [100])
  expect(addressOf(second)).toBe(place)
  expect(backend.readF32(second)).toEqual(new Float32Array(100))
  backend.free(second)
})

test('views read and write the buffer they are views of, and are freed with it', () => {
  const whole = backend.upload(Float32Array.of(1, 2, 3, 4, 5))
  const view = backend.view(backend.view(whole, [4], 1), [2], 1)
  backend.write(view, Float32Array.of(8), 1)
  expect(backend.readF32(whole)).toEqual(Float32Array.of(1, 2, 3, 8, 5))
  expect(() => backend.free(view)).toThrow(expect.objectContaining({ code: 'BUFFER_VIEW' }))
  backend.free(whole)
  expect(() => backend.readF32(view)).toThrow(expect.objectContaining({ code: 'BUFFER_FREED' }))
})

test('two backends share nothing, though they share the compiled module', async () => {
  const other = await WasmBackend.create()
  const [here, there] = [backend, other].map((one) => one.upload(Float32Array.of(-1, 2)))
  expect(addressOf(here)).toBe(addressOf(there))
  backend.ops.relu(here, here)
  expect(backend.readF32(here)).toEqual(Float32Array.of(0, 2))
  expect(other.readF32(there)).toEqual(Float32Array.of(-1, 2))
  expect(() => other.readF32(here)).toThrow(expect.objectContaining({ code: 'BUFFER_FOREIGN' }))
  backend.free(here)
  other.dispose()
})

test('more than 4 GiB is refused, and other buffers keep their values', () => {
  const kept = backend.upload(Float32Array.of(3))
  expect(() => backend.allocate('f32', [2 ** 30])).toThrow(
    expect.objectContaining({ code: 'BACKEND_MEMORY', exitCode: 4 }),
  )
  expect(backend.readF32(kept)).toEqual(Float32Array.of(3))
  backend.free(kept)
})

test('a disposed backend refuses every call', async () => {
  const own = await WasmBackend.create()
  const buffer = own.upload(Float32Array.of(1))
  own.dispose()
  expect(own.liveBuffers).toBe(0)
  const disposed = expect.objectContaining({ code: 'BACKEND_DISPOSED' })
  expect(() => own.allocate('f32', [1])).toThrow(disposed)
  expect(() => own.readF32(buffer)).toThrow(disposed)
  expect(() => own.ops.relu(buffer, buffer)).toThrow(disposed)
})

describe('without SIMD', () => {
  test('the probe agrees with WebAssembly.validate', () => {
    expect(probeWasm()).toMatchObject({ simd: true, relaxedSimd: true })
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false)
    expect(probeWasm()).toMatchObject({ simd: false, relaxedSimd: false })
  })

  test.each(['wasm', 'wasm-relaxed', 'wasm-rust'] as const)(
    '%s is missing: exit code 4, no fallback',
    async (build) => {
      vi.spyOn(WebAssembly, 'validate').mockReturnValue(false)
      const missing = { code: 'BACKEND_MISSING', exitCode: 4 }
      await expect(WasmBackend.create({ build })).rejects.toMatchObject(missing)
    },
  )

  test('without relaxed SIMD only, wasm starts and wasm-relaxed is missing', async () => {
    const relaxedSwizzle = Buffer.of(0xfd, 0x80, 0x02)
    vi.spyOn(WebAssembly, 'validate').mockImplementation(
      (bytes) => !Buffer.from(bytes as Uint8Array).includes(relaxedSwizzle),
    )
    ;(await WasmBackend.create()).dispose()
    await expect(WasmBackend.create({ build: 'wasm-relaxed' })).rejects.toMatchObject({
      code: 'BACKEND_MISSING',
    })
  })
})
