/**
 * The wide build, and the trial that its kernels must pass.
 *
 * V8 joins two neighbouring operations on 16 bytes into one on 32 where a processor has AVX2 and a flag, which V8 calls
 * experimental, is set while a function is compiled. kernels_wide.wasm has tiles for that, which need sixteen registers of 32
 * bytes and are slow without it.
 *
 * A kernel is tried when it is first called. V8 compiles it with the flag set, and its results at the edges of tiles are
 * compared with those of the build for 16 bytes; later calls run the code that was tried. The first product is timed besides.
 * One bit that differs, or no gain, and no kernel of the wide build is used from then on.
 *
 * The flag is set in this process, for as long as a trial takes, and not by a process of its own. So only code that was tried is
 * compiled under it, and a program starts once, with its own streams, signals and exit code.
 */
import { kernelNames, kernels, type KernelName } from '../../ops/catalog.ts'
import { now, whileOptimizing } from '../../platform/platform.ts'
import type { KernelFunction } from '../calls.ts'
import { makeMemory } from './engine.ts'
import { instantiateBoth, WIDE, type Instance, type WideBuild } from './instance.ts'
import { splitOf } from './split.ts'
import { placeCall, type Case, type PlacedCall } from './wide_cases.ts'

type Kernels = Instance['kernels']

/** The kernels that have wide tiles. */
const tried: ReadonlySet<KernelName> = new Set(
  kernelNames.filter((name) => /^(linear|attention|cholesky|solve_cholesky)/.test(name)),
)

/**
 * One token, few, many in short tiles and tall ones, and two blocks; sizes past the edges of vectors, blocks and tiles. What calls
 * of models reach is called here, and so compiled: what is compiled later has no joined vectors.
 */
const cases: readonly Case[] = [
  { tokens: 1, long: 70, head: 64 },
  { tokens: 1, long: 101, head: 64, isWhole: true },
  { tokens: 2, long: 70, head: 64, isWhole: true },
  { tokens: 3, long: 37, head: 37, isExtreme: true },
  { tokens: 9, long: 70, head: 64 },
  { tokens: 6, long: 101, head: 101, isWhole: true },
  { tokens: 37, long: 41, head: 48 },
]

/** The call that is timed, and how often. */
const timed: Case = { tokens: 10, long: 160, head: 160 }
const TIMES = 12
/** The time of the wide build must be less than this share of the other's. */
const MOST = 0.9

/** Pages for the arrays of a call. */
const PAGES = 16

/** The wide build over one kind of memory, beside the build that is used without it. */
export class WideTrial implements WideBuild {
  readonly #wide: WebAssembly.Module
  readonly #isShared: boolean
  readonly #memory: WebAssembly.Memory
  /** Where the arrays of a call begin: both builds have one scratch, as one of them runs at a time. */
  readonly #start: number
  readonly #kernels: Kernels
  readonly #passed = new Set<KernelName>()
  #isTimed = false
  #refusal: string | null = null

  constructor(plain: WebAssembly.Module, wide: WebAssembly.Module, isShared: boolean) {
    this.#wide = wide
    this.#isShared = isShared
    this.#memory = makeMemory(isShared ? 2 : 1)
    this.#memory.grow(PAGES)
    const { kernels, scratchSize } = instantiateBoth(plain, wide, this.#memory, 0)
    this.#kernels = kernels
    this.#start = scratchSize
  }

  get module(): WebAssembly.Module {
    return this.#wide
  }

  /** Why the wide build is not used, by the name of a kernel; null while nothing speaks against it. */
  get refusal(): string | null {
    return this.#refusal
  }

  /** Whether calls of a kernel are for the wide build. The first call of a kernel tries it. */
  isUsed(name: KernelName): boolean {
    if (this.#refusal !== null || !tried.has(name)) return false
    if (this.#passed.has(name)) return true
    try {
      this.#refusal = this.#try(name)
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error
      this.#refusal = `${name}: ${error.message}`
    }
    if (this.#refusal === null) this.#passed.add(name)
    return this.#refusal === null
  }

  /** Tries every kernel. @returns `refusal` */
  tryAll(): string | null {
    for (const name of tried) this.isUsed(name)
    return this.#refusal
  }

  choose(kernels: Kernels): Kernels {
    const chosen = [...tried].map((name): [string, KernelFunction<number>] => {
      const [plain, wide] = [kernels[name], kernels[WIDE + name]]
      return [name, (...call) => (this.isUsed(name) ? wide : plain)(...call)]
    })
    return { ...kernels, ...Object.fromEntries(chosen) }
  }

  #try(name: KernelName): string | null {
    const isTimed = !this.#isTimed && name.startsWith('linear') && !name.startsWith('linear_backward')
    // Compiled as it would be after many calls.
    if (isTimed) whileOptimizing(false, () => this.#kernels[name](...this.#place(name, timed).args))
    if (!cases.every((one) => this.#agrees(name, one)))
      return `${name}: other bits than with vectors of 16 bytes`
    if (!isTimed) return null
    this.#isTimed = true
    const share = this.#shareOf(name)
    return share < MOST
      ? null
      : `${name}: no faster than with vectors of 16 bytes (${share.toFixed(2)} of their time)`
  }

  /** Whether both builds leave the same bits, of the whole call and, where threads may share it, of its parts. */
  #agrees(name: KernelName, one: Case): boolean {
    const { args, written, end } = this.#place(name, one)
    const split = this.#isShared ? splitOf(name) : null
    const bytes = new Uint8Array(this.#memory.buffer)
    const before = bytes.slice(this.#start, end)
    const after = (run: () => void): Uint8Array => {
      bytes.set(before, this.#start)
      run()
      return bytes.slice(this.#start, end)
    }
    const runs = [() => this.#kernels[WIDE + name](...args)]
    if (split)
      runs.push(() => {
        const part = this.#kernels[WIDE + split.kernel]
        const units = split.units(args)
        const middle = Math.min(split.grain, units)
        part(...args, 0, middle)
        part(...args, middle, units)
      })
    // Compiled without the flag, as the other build always is.
    const expected = after(() => this.#kernels[name](...args))
    return whileOptimizing(true, () => runs.map(after)).every((found) =>
      written.every(([from, to]) => haveSameBits(found, expected, from - this.#start, to - this.#start)),
    )
  }

  /** The least time of a kernel of the wide build by that of the other, in turns. */
  #shareOf(name: KernelName): number {
    const { args } = this.#place(name, timed)
    const runs = [WIDE + name, name].map((one) => this.#kernels[one])
    const least = runs.map(() => Infinity)
    for (let time = 0; time < TIMES; time++)
      for (const [i, run] of runs.entries()) {
        const start = now()
        run(...args)
        least[i] = Math.min(least[i], now() - start)
      }
    return least[0] / least[1]
  }

  #place(name: KernelName, one: Case): PlacedCall {
    return placeCall(kernels[name], one, this.#memory, this.#start)
  }
}

/** Whether bytes from..to are the same; of NaN any. */
function haveSameBits(found: Uint8Array, expected: Uint8Array, from: number, to: number): boolean {
  const [a, b] = [found, expected].map(({ buffer }) => new Float32Array(buffer, from, (to - from) / 4))
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}
