/**
 * Whether an adapter keeps the float contract. WGSL lets a driver fuse, reassociate and flush subnormal numbers; what the exact kernels
 * do about it (float32_wgsl.ts) is tried on pairs of numbers, many of them at the edges, before a backend promises equal bits.
 */
import { exp, log, tanh } from '../../ops/float32.ts'
import { defineOp, input, output, size, type Kernel } from '../../ops/op.ts'
import { narrowToF16, widenF16 } from '../../tensor/halves.ts'
import type { WgslKernel } from './exact_kernels.ts'
import type { GpuDevice } from './gpu_device.ts'

const { abs, fround, sqrt } = Math

/** What is tried of a pair: in WGSL, and what it gives. */
const trials: readonly (readonly [wgsl: string, value: (a: number, b: number) => number])[] = [
  ['add(a(n), b(n))', (a, b) => a + b],
  ['sub(a(n), b(n))', (a, b) => a - b],
  ['mul(a(n), b(n))', (a, b) => a * b],
  ['add(mul(a(n), b(n)), a(n))', (a, b) => fround(a * b) + a],
  ['sub(add(a(n), b(n)), b(n))', (a, b) => fround(a + b) - b],
  ['add(a(n), zero())', (a) => a + 0],
  ['divide(a(n), b(n))', (a, b) => a / b],
  ['root(size_of(a(n)))', (a) => sqrt(abs(a))],
  ['exp32(a(n))', (a) => exp(a)],
  ['tanh32(a(n))', (a) => tanh(a)],
  ['log32(a(n))', (a) => log(a)],
  ['widen_f16(narrow_to_f16(a(n)))', (a) => widenF16(narrowToF16(Float32Array.of(a)))[0]],
  ['select(b(n), a(n), is_above(a(n), b(n)))', (a, b) => (a > b ? a : b)],
]

const definition = (
  defineOp({
    name: 'battery',
    formula: 'each trial of a and b',
    params: [output('y', `N ${trials.length}`), input('a', 'N'), input('b', 'N'), size('N')],
    reference: () => {},
    flops: () => 0,
  }) as unknown as { readonly kernels: { readonly f32: Kernel } }
).kernels.f32

const kernel: WgslKernel = {
  passes: {
    main: trials.map(([wgsl], i) => `set_y(n * ${trials.length} + ${i}, ${wgsl});`).join('\n'),
  },
  runs: (of) => [{ pass: 'main', count: of('N') }],
}

/** Zeros, subnormal numbers, the edges of the range, of halves and of exp, and numbers that are not finite. */
const edges = [
  0,
  2 ** -149,
  3e-42,
  1e-39,
  2 ** -126,
  1e-30,
  6e-8,
  6.1e-5,
  0.1,
  1 / 3,
  0.625,
  0.99999994,
  1,
  1.0000001,
  1.5,
  3,
  10,
  88.5,
  104,
  2049,
  65_504,
  65_520,
  8_388_609,
  16_777_217,
  1e20,
  1e38,
  3.4e38,
  Infinity,
  NaN,
]

/** Every pair of edges with either sign, and as many pairs of any bits. */
function pairs(): readonly [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>] {
  const signed = edges.flatMap((edge) => [edge, -edge])
  const first = signed.flatMap((a) => signed.map(() => a))
  const second = signed.flatMap(() => signed)
  const a = new Float32Array(2 * first.length)
  const b = new Float32Array(2 * first.length)
  a.set(first)
  b.set(second)
  let state = 1
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0)
  for (const numbers of [a, b]) {
    const bits = new Uint32Array(numbers.buffer, 4 * first.length)
    // The low bits of such a sequence are no good, so each half comes from the high ones.
    bits.forEach((_, i) => (bits[i] = (next() & 0xffff0000) | (next() >>> 16)))
  }
  return [a, b]
}

const say = (value: number): string => (Object.is(value, -0) ? '-0' : `${value}`)

/** Batteries so far. */
let tried = 0

/** What an adapter gets wrong first, in words; null if it keeps the contract. @param library the functions of the exact kernels */
export function whyNotExact(device: GpuDevice, library: string): string | null {
  const [a, b] = pairs()
  const N = a.length
  const pieces = [4 * N * trials.length, 4 * N, 4 * N].flatMap((bytes) => {
    const address = device.allocate(bytes)
    return address === null ? [] : { address, bytes }
  })
  try {
    if (pieces.length < 3) return 'it has no memory for the trial'
    const [y, x, z] = pieces.map(({ address }) => address)
    device.copyIn(x, new Uint8Array(a.buffer), true)
    device.copyIn(z, new Uint8Array(b.buffer), true)
    // A device keeps what it compiled by the name.
    device.kernelOf({ ...definition, name: `battery ${++tried}` }, kernel, library)(y, x, z, N)
    const found = new Float32Array(device.copyOut([pieces[0]])[0].buffer as ArrayBuffer)
    for (let n = 0; n < N; n++)
      for (const [i, [wgsl, value]] of trials.entries()) {
        const expected = fround(value(a[n], b[n]))
        const actual = found[n * trials.length + i]
        if (!Object.is(actual, expected))
          return `${wgsl.replaceAll('a(n)', say(a[n])).replaceAll('b(n)', say(b[n]))}: expected ${say(expected)}, got ${say(actual)}`
      }
    return null
  } finally {
    device.giveBack(...pieces)
  }
}
