/**
 * The trial that an adapter must pass before a backend promises equal bits: Mesa's llvmpipe passes it, and each way in which a driver
 * may break the float contract is told apart. One that takes subnormal numbers for 0 passes with the functions that spare it these
 * (Chromium's SwiftShader is one: spec/web/verify_browser.full.spec.ts).
 */
import { describe, expect, test } from 'vitest'
import { whyNotExact } from '../../../src/backends/webgpu/battery.ts'
import { float32Wgsl, flushedFloat32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { GpuDevice } from '../../../src/backends/webgpu/gpu_device.ts'
import { whyNoAdapter, withWebGpu } from './device.ts'

withWebGpu('a backend says which set it has, and why', (backend) => {
  expect(backend.name).toBe(backend.notExact === null ? 'webgpu' : 'webgpu-fast')
  if (backend.device.includes('llvmpipe')) expect(backend.notExact).toBeNull()
})

const drivers: readonly (readonly [name: string, from: string, to: string, says: RegExp])[] = [
  [
    'rounds a product and its sum once',
    'fn add_normal(a: f32, b: f32) -> f32 { return of_bits(bits_of(a + b)); }',
    'fn add_normal(a: f32, b: f32) -> f32 { return a + b; }',
    /^sub\(add\(/,
  ],
  [
    'flushes subnormal numbers',
    'fn mul_normal(a: f32, b: f32) -> f32 { return of_bits(bits_of(a * b)); }',
    'fn mul_normal(a: f32, b: f32) -> f32 { let c = a * b; return select(c, 0, (bits_of(c) & 0x7f800000u) == 0u); }',
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

/** What the battery finds on an adapter. */
async function found(library: string): Promise<string | null> {
  const device = await GpuDevice.open('webgpu')
  device.retain()
  try {
    return whyNotExact(device, library)
  } finally {
    device.release()
  }
}

/** Functions with another text in the place of one. */
function replaced(library: string, from: string, to: string): string {
  expect(library).toContain(from)
  return library.replaceAll(from, to)
}

describe.skipIf(whyNoAdapter !== null)('an adapter that', () => {
  test.each(drivers)('%s is told apart', async (_, from, to, says) => {
    expect(await found(replaced(float32Wgsl, from, to))).toMatch(says)
  })
})

/** Sums and products of an adapter that takes each subnormal number for 0, given and found. */
function flushing(library: string): string {
  const flush = (x: string): string =>
    `of_bits(select(bits_of(${x}), bits_of(${x}) & 0x80000000u, (bits_of(${x}) & 0x7f800000u) == 0u))`
  const raw = (sign: string): string => flush(`(${flush('a')} ${sign} ${flush('b')})`)
  return replaced(replaced(library, 'of_bits(bits_of(a + b))', raw('+')), 'of_bits(bits_of(a * b))', raw('*'))
}

const bugs: readonly (readonly [name: string, from: string, to: string, says: RegExp])[] = [
  ['sums only what is subnormal in whole numbers', '0xd800000u', '0x800000u', /^(add|sub)\(/],
  ['gives a sum back enlarged', 'return of_bits(sum - 0x3f000000u);', 'return of_bits(sum);', /^(add|sub)\(/],
  ['forgets the sign of a subnormal sum', '(sum & 0x80000000u) | u32(', 'u32(', /^(add|sub)\(/],
  ['multiplies until a factor is subnormal', 'x + y >= 0x40800000u', 'true', /^mul\(/],
  ['multiplies subnormal factors', 'min(x, y) >= 0x800000u && ', '', /^mul\(/],
  ['cuts a product', '(low & 0x3fffffu) != 0u', 'false', /^mul\(/],
  ['loses a carry of a product', ' + (low >> 24u)', '', /^mul\(/],
  ['multiplies infinity with 0', 'if (max(x, y) == INFINITE)', 'if (max(x, y) > INFINITE)', /^mul\(/],
  [
    'compares as the adapter does',
    'order_of(a) > order_of(b)',
    'a > b && order_of(a) > 0x800000',
    /^select\(/,
  ],
]

describe.skipIf(whyNoAdapter !== null)('on an adapter that takes subnormal numbers for 0', () => {
  test('the functions for it keep the float contract, and the others do not', async () => {
    expect(await found(flushing(flushedFloat32Wgsl))).toBeNull()
    expect(await found(flushing(float32Wgsl))).toMatch(/^add\(/)
  })
  test.each(bugs)('one that %s is told apart', async (_, from, to, says) => {
    expect(await found(flushing(replaced(flushedFloat32Wgsl, from, to)))).toMatch(says)
  })
})
