/**
 * The scheduler: turns, seats, the queue, clients that leave, and the end.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RequestError } from '../../src/server/request_error.ts'
import { Scheduler, type Limits, type Seat } from '../../src/server/scheduler.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

/** What the laws need of a scheduler. */
type Turns = Pick<Scheduler, 'enter' | 'drain' | 'end' | 'seated' | 'queued'>
type Make = (limits: Limits) => Turns
const make: Make = (limits) => new Scheduler(limits)

/** A request: how many steps it asks for, and after how many its client leaves. */
interface Asker {
  readonly steps: number
  readonly leaves: number
}
const someAsker: fc.Arbitrary<Asker> = fc.record({
  steps: fc.integer({ min: 1, max: 6 }),
  leaves: fc.integer({ min: 0, max: 12 }),
})
const someLimits: fc.Arbitrary<Limits> = fc.record({
  seats: fc.integer({ min: 1, max: 4 }),
  queue: fc.integer({ min: 0, max: 4 }),
})

/** What became of some requests that came at once. */
interface Course {
  /** Who had each step. */
  readonly log: readonly number[]
  /** Who asked for each step that was run. */
  readonly asked: readonly number[]
  /** The turn of the event loop in which each step ran. */
  readonly turns: readonly number[]
  /** The code of the refusal of each request, `left`, or `done`. */
  readonly ends: readonly string[]
  /** The most seats that were taken at a time. */
  readonly most: number
}

async function run(turns: Turns, askers: readonly Asker[]): Promise<Course> {
  const log: number[] = []
  const asked: number[] = []
  const ticks: number[] = []
  let seated = 0
  let tick = 0
  let isOver = false
  const count = (): void => {
    tick++
    if (!isOver) setImmediate(count)
  }
  count()
  let most = 0
  const ask = async ({ steps, leaves }: Asker, i: number): Promise<string> => {
    const client = new AbortController()
    let seat: Seat
    try {
      seat = await turns.enter(client.signal)
    } catch (error) {
      return (error as RequestError).code
    }
    most = Math.max(most, ++seated)
    try {
      for (let step = 0; step < steps; step++) {
        if (step === leaves) client.abort()
        else asked.push(i)
        await seat.step(() => {
          log.push(i)
          ticks.push(tick)
        })
      }
      return 'done'
    } catch {
      return 'left'
    } finally {
      seated--
      seat.leave()
      // Leaving again changes nothing.
      seat.leave()
    }
  }
  const ends = await Promise.all(askers.map(ask))
  isOver = true
  return { ends, log, asked, turns: ticks, most }
}

const inTurn = lawForAll(
  'steps run in the order in which requests ask for them, each in a turn of the event loop of its own',
  { limits: someLimits, askers: fc.array(someAsker, { minLength: 2, maxLength: 10 }) },
  async (makes: Make, { limits, askers }) => {
    const { log, asked, turns } = await run(makes(limits), askers)
    expect(log).toEqual(asked)
    expect(new Set(turns).size).toBe(turns.length)
  },
)
const seatsAreBounded = lawForAll(
  'no more requests compute than there are seats; those beyond the queue are refused, all others end',
  { limits: someLimits, askers: fc.array(someAsker, { maxLength: 10 }) },
  async (makes: Make, { limits, askers }) => {
    const turns = makes(limits)
    const { ends, most, log } = await run(turns, askers)
    expect(most).toBeLessThanOrEqual(limits.seats)
    const room = limits.seats + limits.queue
    askers.forEach(({ steps, leaves }, i) => {
      const taken = i < room
      expect(ends[i]).toBe(taken ? (leaves < steps ? 'left' : 'done') : 'QUEUE_FULL')
      expect(log.filter((who) => who === i).length).toBe(taken ? Math.min(steps, leaves) : 0)
    })
    expect([turns.seated, turns.queued]).toEqual([0, 0])
  },
)
stateLaw(inTurn, make)
stateLaw(seatsAreBounded, make)

/** A scheduler with some parts replaced. */
const changed =
  (change: (turns: Scheduler, limits: Limits) => Partial<Turns>): Make =>
  (limits) => {
    const turns = new Scheduler(limits)
    const { enter, drain, end } = change(turns, limits)
    return {
      enter: enter ?? ((signal) => turns.enter(signal)),
      drain: drain ?? (() => turns.drain()),
      end: end ?? (() => turns.end()),
      get seated() {
        return turns.seated
      },
      get queued() {
        return turns.queued
      },
    }
  }

describe('a bug planted in the scheduler is found', () => {
  const stepping = (step: (turns: Seat, work: () => unknown) => Promise<unknown>): Make =>
    changed((turns) => ({
      enter: async (signal) => {
        const seat = await turns.enter(signal)
        return { ...seat, step: <T>(work: () => T) => step(seat, work) as Promise<T> }
      },
    }))
  test.each<[string, Make]>([
    ['steps run as soon as they are asked for', stepping((_, work) => Promise.resolve().then(work))],
    [
      'a step asked for waits for another round',
      (limits) => {
        let count = 0
        return stepping(async (seat, work) => {
          if (count++ % 3 === 1) await seat.step(() => {})
          return seat.step(work)
        })(limits)
      },
    ],
    [
      'a request has two steps in one turn',
      (limits) => {
        let left: (() => unknown) | null = null
        return stepping((seat, work) => {
          const before = left
          left = null
          if (before) return seat.step(() => (before(), work()))
          left = work
          return Promise.resolve()
        })(limits)
      },
    ],
  ])('%s', (_, mutant) => kills(inTurn, mutant))

  test.each<[string, Make]>([
    ['one seat too many', (limits) => new Scheduler({ ...limits, seats: limits.seats + 1 })],
    ['a queue without an end', (limits) => new Scheduler({ ...limits, queue: Infinity })],
    [
      'the seat of one that left stays taken',
      changed((turns) => ({
        enter: async (signal) => ({ ...(await turns.enter(signal)), leave: () => {} }),
      })),
    ],
    [
      'a client that left still computes',
      changed((turns) => ({ enter: () => turns.enter(new AbortController().signal) })),
    ],
  ])('%s', (_, mutant) =>
    kills(seatsAreBounded, (limits) => {
      const turns = mutant(limits)
      // A request that waits for ever would hang the test.
      return {
        ...turns,
        seated: turns.seated,
        queued: turns.queued,
        enter: (signal) => within(turns.enter(signal)),
      }
    }),
  )
})

function within<T>(work: Promise<T>): Promise<T> {
  return Promise.race([
    work,
    new Promise<T>((_, reject) => setTimeout(() => reject(new RequestError(503, 'NEVER', 'never')), 500)),
  ])
}

describe('a client that leaves', () => {
  test('while it waits leaves the queue at once', async () => {
    const turns = new Scheduler({ seats: 1, queue: 2 })
    const first = await turns.enter(new AbortController().signal)
    const client = new AbortController()
    const waiting = turns.enter(client.signal)
    const behind = turns.enter(new AbortController().signal)
    expect(turns.queued).toBe(2)
    client.abort(new Error('gone'))
    await expect(waiting).rejects.toThrow('gone')
    expect(turns.queued).toBe(1)
    first.leave()
    await behind
    expect([turns.seated, turns.queued]).toEqual([1, 0])
  })

  test('while its step waits has it refused, and others go on', async () => {
    const turns = new Scheduler({ seats: 2, queue: 0 })
    const client = new AbortController()
    const [one, other] = [await turns.enter(client.signal), await turns.enter(new AbortController().signal)]
    const steps = [other.step(() => client.abort(new Error('gone'))), one.step(() => 1), other.step(() => 2)]
    const [, refused, done] = await Promise.allSettled(steps)
    expect(refused).toMatchObject({ status: 'rejected', reason: { message: 'gone' } })
    expect(done).toEqual({ status: 'fulfilled', value: 2 })
  })
})

describe('the end', () => {
  test('drain takes nobody, answers all that were taken, and resolves then', async () => {
    const turns = new Scheduler({ seats: 1, queue: 1 })
    const signal = new AbortController().signal
    const first = await turns.enter(signal)
    const second = turns.enter(signal)
    let isOver = false
    const drained = turns.drain().then(() => (isOver = true))
    await expect(turns.enter(signal)).rejects.toMatchObject({ status: 503, code: 'DRAINING' })
    expect(await first.step(() => 'still')).toBe('still')
    first.leave()
    const seat = await second
    expect(isOver).toBe(false)
    seat.leave()
    await drained
  })

  test('end refuses those who wait, and the next step of everyone', async () => {
    const turns = new Scheduler({ seats: 1, queue: 1 })
    const signal = new AbortController().signal
    const first = await turns.enter(signal)
    const second = turns.enter(signal)
    turns.end()
    await expect(second).rejects.toMatchObject({ status: 503 })
    await expect(first.step(() => 1)).rejects.toMatchObject({ code: 'DRAINING' })
  })
})
