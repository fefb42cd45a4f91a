/**
 * The trial that an adapter must pass before a backend promises equal bits: Mesa's llvmpipe passes it, and each way in which a driver
 * may break the float contract is told apart.
 */
import { describe, expect, test } from 'vitest'
import { whyNotExact } from '../../../src/backends/webgpu/battery.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { GpuDevice } from '../../../src/backends/webgpu/gpu_device.ts'
import { whyNoAdapter, withWebGpu } from './device.ts'

withWebGpu('a backend says which set it has, and why', (backend) => {
  expect(backend.name).toBe(backend.notExact === null ? 'webgpu' : 'webgpu-fast')
  if (backend.device.includes('llvmpipe')) expect(backend.notExact).toBeNull()
})

const drivers: readonly (readonly [name: string, from: string, to: string, says: RegExp])[] = [
  [
    'rounds a product and its sum once',
    'fn add(a: f32, b: f32) -> f32 { return of_bits(bits_of(a + b)); }',
    'fn add(a: f32, b: f32) -> f32 { return a + b; }',
    /^sub\(add\(/,
  ],
  [
    'flushes subnormal numbers',
    'fn mul(a: f32, b: f32) -> f32 { return of_bits(bits_of(a * b)); }',
    'fn mul(a: f32, b: f32) -> f32 { let c = a * b; return select(c, 0, (bits_of(c) & 0x7f800000u) == 0u); }',
    /^mul\(/,
  ],
  [
    'takes x + 0 for x',
    'fn zero() -> f32 { return of_bits(0u); }',
    'fn zero() -> f32 { return -0.0; }',
    /^add\(/,
  ],
  [
    'divides by a reciprocal',
    'fn divide(a: f32, b: f32) -> f32 {',
    'fn divide(a: f32, b: f32) -> f32 { if (b > 2 && b < 4 && a < 1e9 && a > -1e9) { return a * (1.0 / b); }',
    /^divide\(/,
  ],
  [
    'has an exponential of its own',
    '// The power in two halves',
    'if (x > 0 && x < 80) { return exp(x); } // The power in two halves',
    /^(exp32|tanh32)\(/,
  ],
]

describe.skipIf(whyNoAdapter !== null)('an adapter that', () => {
  test.each(drivers)('%s is told apart', async (_, from, to, says) => {
    expect(float32Wgsl).toContain(from)
    const device = await GpuDevice.open('webgpu')
    device.retain()
    try {
      expect(whyNotExact(device, float32Wgsl.replaceAll(from, to))).toMatch(says)
    } finally {
      device.release()
    }
  })
})
