/**
 * Whether threads pay on this machine: products by one thread and by as many as `auto` takes, in interleaved rounds.
 */
import type { Backend } from '../backends/backend.ts'
import { createBackend } from '../backends/select.ts'
import { median } from '../results/interleaved_rounds.ts'
import { canShareMemory, machine, now } from '../platform/platform.ts'
import { MissingError } from '../tensor/errors.ts'

/** [T, O, I]: a token waits for memory, many for arithmetic. */
const products = {
  oneToken: [1, 8192, 2048],
  manyTokens: [128, 1024, 1024],
} as const

const ROUNDS = 9

/** What was found. */
export interface ThreadCheck {
  /** Threads that run at once here. */
  readonly available: number
  /** How many `--threads auto` takes. */
  readonly auto: number
  /** How many times as fast shared calls are as those of one thread, the median of a few turns; null if there is one. */
  readonly gain: Readonly<Record<keyof typeof products, number>> | null
  /** Why `auto` is 1; null if it is more. */
  readonly reason: string | null
}

/** Asks this machine; about a third of a second. */
export async function checkThreads(): Promise<ThreadCheck> {
  const available = machine().threads
  const alone = (reason: string): ThreadCheck => ({ available, auto: 1, gain: null, reason })
  if (!canShareMemory()) return alone('threads cannot share memory in this runtime')
  if (available === 1) return alone('no more run at once here')
  try {
    const [one, several] = [await createBackend('wasm'), await createBackend('wasm', always)]
    const gain = {
      oneToken: gainOf(one, several, products.oneToken),
      manyTokens: gainOf(one, several, products.manyTokens),
    }
    const auto = several.threads.threads
    for (const backend of [one, several]) backend.dispose()
    return { available, auto, gain, reason: null }
  } catch (error) {
    if (error instanceof MissingError) return alone(error.message)
    throw error
  }
}

const always = { threads: 'auto', sharing: 'always' } as const

/** How many times as fast `several` multiplies as `alone`, at a size. */
export function gainOf(
  alone: Backend,
  several: Backend,
  [T, O, I]: readonly [number, number, number],
): number {
  const [one, shared] = [alone, several].map((backend) => {
    const shapes = [
      [T, O],
      [T, I],
      [O, I],
    ]
    const [y, x, weight] = shapes.map((shape) => backend.allocate('f32', shape))
    return (): number => {
      const start = now()
      backend.ops.linear(y, x, weight, null, null)
      return now() - start
    }
  })
  one()
  shared()
  return median(Array.from({ length: ROUNDS }, () => one() / shared()))
}

/** What a tuner asks of sharing (src/backends/wasm/parallel_tuner.ts). */
const WORTHWHILE = 1.04

/** In a line: what `auto` takes, and why. */
export function describeThreads({ available, auto, gain, reason }: ThreadCheck): string {
  if (gain === null) return `1: ${reason}`
  const of = (value: number): string =>
    `${value > WORTHWHILE ? 'shared' : 'left to one thread'} now (shared ${value.toFixed(2)} × as fast)`
  return `${auto} of ${available}; products of one token are ${of(gain.oneToken)}, of many ${of(gain.manyTokens)}`
}
