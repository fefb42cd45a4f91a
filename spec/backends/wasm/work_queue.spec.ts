/**
 * The board on which threads find their work, tried step by step in one thread, in every order that can be drawn: each
 * part of each job is computed once, by its own call, and the owner goes on when all of them are finished, not before.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { WorkQueue, makeQueueMemory, type Job } from '../../../src/backends/wasm/work_queue.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'

/** A thread, a step at a time. */
type Steps = Generator<undefined, void, void>

/** What threads did. */
interface Log {
  /** "job.part" in the order they were finished. */
  readonly finished: string[]
  /** How many parts there were, when the owner went on. */
  readonly settled: number[]
}

/** Looks, takes, computes and finishes as ThreadPool.run does, each a step. */
function* owner(board: WorkQueue, jobs: readonly number[], log: Log): Steps {
  for (const [number, parts] of jobs.entries()) {
    board.write({ kernel: number, parts, units: parts, grain: 1, call: [number, null] })
    yield
    board.open(parts)
    yield
    let own = 0
    for (let word = board.look(); WorkQueue.hasParts(word); word = board.look()) {
      yield
      const left = board.take(word)
      if (left < 0) continue
      yield
      log.finished.push(`${number}.${parts - 1 - left}`)
      own++
    }
    while (!board.isSettled(parts - own)) yield
    log.settled.push(log.finished.length)
    yield
  }
  board.end()
}

/** How often sleeping threads were woken, and whether the last that lay down sleeps. */
const sleep = { wakes: 0, isAsleep: false }

/** Puts a sleep of steps in the place of one of threads, until the function it returns is called. */
function sleepInSteps(): () => void {
  const wait = vi.spyOn(Atomics, 'wait').mockImplementation((words, index, value) => {
    sleep.isAsleep = Atomics.load(words as unknown as Int32Array, index) === Number(value)
    return sleep.isAsleep ? 'ok' : 'not-equal'
  })
  const notify = vi.spyOn(Atomics, 'notify').mockImplementation(() => ++sleep.wakes)
  return () => {
    wait.mockRestore()
    notify.mockRestore()
  }
}

/** Sleeps as a helper does. */
function* sleepOver(board: WorkQueue, word: number): Steps {
  const { wakes } = sleep
  board.sleep(word)
  if (sleep.isAsleep) while (sleep.wakes === wakes) yield
}

/** Looks, takes, reads, computes, finishes and sleeps as a helper does. */
function* helper(board: WorkQueue, log: Log): Steps {
  for (;;) {
    const word = board.look()
    yield
    if (board.isEnded) return
    yield
    yield* help(board, word, log)
  }
}

/** A helper that asks for the end first, and looks then. */
function* sleepyHelper(board: WorkQueue, log: Log): Steps {
  while (!board.isEnded) {
    yield
    const word = board.look()
    yield
    yield* help(board, word, log)
  }
}

function* help(board: WorkQueue, word: number, log: Log): Steps {
  if (!WorkQueue.hasParts(word)) return yield* sleepOver(board, word)
  const left = board.take(word)
  yield
  if (left < 0) return
  const { parts, call } = board.read()
  yield
  log.finished.push(`${call[0]}.${parts - 1 - left}`)
  yield
  board.finish()
  yield
}

/** A helper that reads the job first, and then takes a part of whatever is there. */
function* hastyHelper(board: WorkQueue, log: Log): Steps {
  while (!board.isEnded) {
    const { parts, call } = board.read()
    yield
    const word = board.look()
    yield
    const left = WorkQueue.hasParts(word) ? board.take(word) : -1
    yield
    if (left < 0) continue
    log.finished.push(`${call[0]}.${parts - 1 - left}`)
    board.finish()
  }
}

interface Threads {
  readonly makeQueue: (memory: SharedArrayBuffer) => WorkQueue
  readonly help: typeof helper
}

const MOST_STEPS = 100_000

/** Threads take steps in the order drawn, then in turns until all have ended. */
const eachPartOnce = lawForAll(
  'each part is computed once, a job ends after its last part, and every thread ends',
  {
    jobs: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 }),
    helpers: fc.integer({ min: 1, max: 3 }),
    order: fc.array(fc.nat({ max: 3 }), { maxLength: 300 }),
  },
  ({ makeQueue, help }: Threads, { jobs, helpers, order }) => {
    const memory = makeQueueMemory()
    const log: Log = { finished: [], settled: [] }
    const threads = [owner(makeQueue(memory), jobs, log)]
    for (let i = 0; i < helpers; i++) threads.push(help(makeQueue(memory), log))
    const running = new Set(threads)
    let step = 0
    const restore = sleepInSteps()
    try {
      for (; running.size > 0 && step < MOST_STEPS; step++) {
        const thread = threads[(order[step] ?? step) % threads.length]
        if (thread.next().done) running.delete(thread)
      }
    } finally {
      restore()
    }
    expect(step, 'steps').toBeLessThan(MOST_STEPS)
    const parts = jobs.flatMap((count, number) =>
      Array.from({ length: count }, (_, part) => `${number}.${part}`),
    )
    expect(log.finished.toSorted()).toEqual(parts.toSorted())
    expect(log.settled).toEqual(
      jobs.map((_, i) => jobs.slice(0, i + 1).reduce((sum, count) => sum + count, 0)),
    )
  },
  { runs: 500 },
)

const right: Threads = { makeQueue: (memory) => new WorkQueue(memory), help: helper }
stateLaw(eachPartOnce, right)

class NoBarrier extends WorkQueue {
  override isSettled(): boolean {
    return true
  }
}

/** Takes what is left now, whatever was seen before. */
class AnyWord extends WorkQueue {
  override take(): number {
    return super.take(this.look())
  }
}

/** Opens a job and writes it down a step later. */
class OpensFirst extends WorkQueue {
  #late: Job | null = null

  override write(job: Job): void {
    this.#late = job
  }

  override look(): number {
    if (this.#late) super.write(this.#late)
    this.#late = null
    return super.look()
  }
}

const mutants: [string, Threads][] = [
  ['an owner that does not wait', { ...right, makeQueue: (memory) => new NoBarrier(memory) }],
  ['parts taken with an old word', { ...right, makeQueue: (memory) => new AnyWord(memory) }],
  ['a job that is opened before it is written', { ...right, makeQueue: (memory) => new OpensFirst(memory) }],
  ['a helper that reads its job too early', { ...right, help: hastyHelper }],
  ['a helper that looks after it asked for the end', { ...right, help: sleepyHelper }],
]

test.each(mutants)('a mutant is killed: %s', (_, threads) => kills(eachPartOnce, threads))

test('a job round-trips, with null as the null address', () => {
  const board = new WorkQueue(makeQueueMemory())
  const job = { kernel: 3, parts: 4, units: 50, grain: 16, call: [2 ** 31 + 64, null, 0.125, 7] }
  board.write(job)
  expect(board.read()).toEqual({ ...job, call: [2 ** 31 + 64, 0, 0.125, 7] })
})
