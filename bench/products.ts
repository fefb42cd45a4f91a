/**
 * How fast one thread multiplies weights of eight bits by activations of many tokens, in the inner loop alone (assembly/bench/
 * products.ts): activations of 16 bits, as the int8 kernels take them; of 14 bits, as two planes of seven; of seven bits. The
 * last two need the relaxed products of bytes, which are one instruction where the processor has one and the engine uses it.
 */
import { write } from '../src/platform/platform.ts'
import { probeWasm } from '../src/platform/wasm_features.ts'
import { compileLoops } from './compile.ts'
import { figure, interleave, ratio, table, type Job } from './timing.ts'

/** Rows, tokens, and numbers of each: all of it stays in a second-level cache. */
const SIZES = { R: 96, T: 48, I: 768 }
const ROUNDS = 501

const SUMS = 1024
const WEIGHTS = 65_536

/** Thousand millions per second from products per millisecond. */
const GIGA = 1e-6

/** One of the loops on numbers of its own. */
export interface ProductLoop {
  readonly name: 'wide' | 'planes' | 'single'
  /** The largest size of an activation. */
  readonly most: number
  /** The sums of rows by tokens: [R, T]. For `planes` and `single` of activations moved up, so that none is negative. */
  readonly run: () => Int32Array
}

export interface ProductSizes {
  readonly R: number
  readonly T: number
  readonly I: number
}

/** The loops over given numbers. @param weight [R, I] @param activations [T, I], each at most 63 in size */
export async function openProducts(
  { R, T, I }: ProductSizes,
  weight: Int8Array,
  activations: Int8Array,
): Promise<ProductLoop[]> {
  const module = new WebAssembly.Module((await compileLoops('products', 'relaxed')) as BufferSource)
  const tokens = WEIGHTS + R * I
  const open = (name: ProductLoop['name'], most: number, put: (memory: ArrayBuffer) => void): ProductLoop => {
    const memory = new WebAssembly.Memory({ initial: Math.ceil((tokens + 2 * T * I) / 65_536) })
    const { exports } = new WebAssembly.Instance(module, { env: { memory } })
    new Int8Array(memory.buffer, WEIGHTS, R * I).set(weight)
    put(memory.buffer)
    const loop = exports[name] as (...numbers: number[]) => void
    const sums = new Int32Array(memory.buffer, SUMS, R * T)
    return {
      name,
      most,
      run: () => {
        loop(SUMS, WEIGHTS, tokens, R, T, I)
        return sums
      },
    }
  }
  return [
    open('wide', 32_767, (memory) => new Int16Array(memory, tokens, T * I).set(activations)),
    open('planes', 8191, (memory) => {
      const bytes = new Uint8Array(memory, tokens, 2 * T * I)
      activations.forEach((q, i) => {
        const token = Math.floor(i / I)
        bytes[i + token * I] = (q + 8192) >> 7
        bytes[i + (token + 1) * I] = (q + 8192) & 127
      })
    }),
    open('single', 63, (memory) => {
      new Uint8Array(memory, tokens, T * I).set(activations.map((q) => q + 64))
    }),
  ]
}

export async function run(): Promise<void> {
  if (!probeWasm().relaxedSimd) {
    await write('stdout', 'This runtime has no relaxed products of bytes.\n')
    return
  }
  const { R, T, I } = SIZES
  const weight = Int8Array.from({ length: R * I }, (_, i) => ((i * 89) % 255) - 127)
  const activations = Int8Array.from({ length: T * I }, (_, i) => ((i * 53) % 127) - 63)
  const loops = await openProducts(SIZES, weight, activations)
  const jobs = loops.map(({ name, most, run }): Job => ({
    name: `${name}, at most ${most}`,
    work: R * T * I,
    run,
  }))
  const rates = interleave(jobs, ROUNDS)
  const rows = rates.map((one) => [one.name, figure(one, GIGA), ratio(one, rates[0]).toFixed(2)])
  await write('stdout', `${R} rows by ${T} tokens of ${I}: median (best) of ${ROUNDS} rounds\n`)
  await write('stdout', table([['activations', 'G products/s', 'x wide'], ...rows]))
}
