/**
 * Whether what a long run holds stays what it was.
 *
 * More may be held for a moment: garbage and threads that are ending take their time, and allocators keep what they may
 * need again, the more the longer the first half lasts. So the floor is looked at, the least of each quarter, and the last
 * quarter is held against the third.
 */

/** What is held after so many cycles. */
export interface Sample {
  readonly cycle: number
  /** Bytes. */
  readonly resident: number
  /** Bytes, after garbage collection. */
  readonly heap: number
  /** Of the model that is kept. */
  readonly buffers: number
  /** Of all WebAssembly memories, 64 KiB each. */
  readonly pages: number
  /** Of the process; null where the system does not tell. */
  readonly threads: number | null
}

/** What is counted. */
export type Held = Exclude<keyof Sample, 'cycle'>

/** How much more the floor of the last quarter may be; nothing of what is not named. */
const allowed: Partial<Record<Held, number>> = { resident: 32 * 2 ** 20, heap: 256 * 2 ** 10 }

/** The least of each quarter of a run. */
export function floorsOf(samples: readonly Sample[], held: Held): number[] {
  return [0, 1, 2, 3].map((quarter) => {
    const part = samples.slice((quarter * samples.length) / 4, ((quarter + 1) * samples.length) / 4)
    return Math.min(...part.map((sample) => sample[held] ?? 0))
  })
}

/** What is not flat. */
export function faultsOf(samples: readonly Sample[]): Held[] {
  return (['resident', 'heap', 'buffers', 'pages', 'threads'] as const).filter((held) => {
    const [, , third, last] = floorsOf(samples, held)
    return last - third > (allowed[held] ?? 0)
  })
}
