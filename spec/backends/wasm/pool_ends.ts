/**
 * The law of how pools end, for thread_pool.spec.ts and thread_pool.full.spec.ts.
 */
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { expect, vi } from 'vitest'
import { makeQueueMemory, WorkQueue } from '../../../src/backends/wasm/work_queue.ts'
import { lawForAll } from '../../harness/seed.ts'
import { Bench } from './pool_bench.ts'

/** When a pool ends: so many turns of the event loop after its start, unless all helpers arrive before, or in a state. */
type Moment = number | 'ready' | 'asleep' | 'at work'

/** The word of the queue that says whether a helper may be asleep. */
export const ASLEEP = 1

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Many moments of the start: most of the first turns are soon after each other, and a start takes thousands. */
const anyMoment: fc.Arbitrary<Moment> = fc.oneof(
  fc.constantFrom<Moment>('ready', 'asleep', 'at work'),
  fc.integer({ min: 0, max: 13 }).map((power) => 2 ** power - 1),
  fc.nat(8000),
)

/** Of a pool: how its caller looks at the queue, and how long its helpers may take to end. */
export interface PoolEnds {
  readonly makeQueue: (memory: SharedArrayBuffer) => WorkQueue
  /** Milliseconds; a pool that keeps the law may take any time. */
  readonly patience: number
}

/** As it should be. */
export const right: PoolEnds = { makeQueue: (memory) => new WorkQueue(memory), patience: Infinity }

/** The law. */
export const endByThemselves = lawForAll(
  'helpers end by themselves, and none is terminated, at whatever moment of their start the pool ends',
  { helpers: fc.integer({ min: 1, max: 3 }), moment: anyMoment },
  async ({ makeQueue, patience }: PoolEnds, { helpers, moment }) => {
    const terminate = vi.spyOn(Worker.prototype, 'terminate')
    const realTimeout = setTimeout
    // The timer after which a thread is terminated stands still.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let alarm: NodeJS.Timeout | undefined
    try {
      let queue = new WorkQueue(makeQueueMemory())
      let words = new Int32Array(makeQueueMemory())
      const bench = new Bench({
        helpers,
        makeQueue(memory) {
          words = new Int32Array(memory)
          return (queue = makeQueue(memory))
        },
      })
      const { pool } = bench
      if (typeof moment === 'number') for (let i = 0; i < moment && pool.helpers < helpers; i++) await turn()
      else await pool.ready
      if (moment === 'asleep') while (Atomics.load(words, ASLEEP) === 0) await turn()
      if (moment === 'at work') {
        queue.write(bench.job)
        queue.open(bench.job.parts)
      }
      const ended = pool.end()
      if (patience < Infinity) alarm = realTimeout(() => vi.runAllTimers(), patience)
      expect(pool.helpers).toBe(0)
      await pool.ready
      await ended
      expect(terminate).not.toHaveBeenCalled()
    } finally {
      vi.useRealTimers()
      clearTimeout(alarm)
      terminate.mockRestore()
    }
  },
  { runs: 8 },
)
