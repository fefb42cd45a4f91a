/**
 * Threads that never hurt: on any machine that can be drawn, whose second core is fast, slow, taken by another process, or
 * each of them in turns, all calls together take at most 1/0.95 of what one thread takes for them, beyond a start; and
 * where sharing pays, most of what it gains is had. The machine is made of numbers: nothing here looks at a clock.
 *
 * Hiccups are random, so a machine can exceed any bound. The bounds are so wide that fewer than one run in 10^9 has such a
 * machine, extrapolated from the tails of some thousand machines.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ParallelTuner } from '../../../src/backends/wasm/parallel_tuner.ts'
import { Random } from '../../../src/tensor/random.ts'
import { kills, lawForAll, stateLaw, type Law } from '../../harness/seed.ts'

/** What a machine is like for a number of calls. */
interface Spell {
  readonly calls: number
  /** What one thread takes for a unit of work, of which a call has 1000 to 1900; milliseconds. */
  readonly alone: number
  /** What several take, as a multiple. */
  readonly ratio: number
}

interface Machine {
  readonly spells: readonly Spell[]
  /** Times vary by up to this share. */
  readonly noise: number
  /** How many calls in a thousand take up to four times as long. */
  readonly hiccups: number
  readonly seed: number
}

type Gauge = Pick<ParallelTuner, 'choose' | 'record'>

/** What happened in one spell. */
interface Account {
  /** What one thread would have taken. */
  readonly alone: number
  /** What was taken. */
  readonly taken: number
  /** Shared calls. */
  readonly shared: number
  /** Shared calls among the first hundred. */
  readonly sharedAtFirst: number
}

/** Calls on a machine, spell by spell, as a gauge decides; sizes differ as those of one kind may. */
function run(gauge: Gauge, { spells, noise, hiccups, seed }: Machine): Account[] {
  const random = new Random(seed)
  const vary = (): number => {
    const hiccup = random.below(1000) < hiccups ? 3 * random.uniform() : 0
    return 1 + noise * (2 * random.uniform() - 1) + hiccup
  }
  return spells.map(({ calls, alone, ratio }) => {
    const account = { alone: 0, taken: 0, shared: 0, sharedAtFirst: 0 }
    for (let i = 0; i < calls; i++) {
      const work = 1000 + random.below(900)
      const times = { alone: alone * work * vary(), shared: alone * work * ratio * vary() }
      const isShared = gauge.choose()
      const time = isShared ? times.shared : times.alone
      gauge.record(isShared, time, work)
      account.alone += times.alone
      account.taken += time
      if (isShared) account.shared++
      if (isShared && i < 100) account.sharedAtFirst++
    }
    return account
  })
}

const sum = (accounts: readonly Account[], key: keyof Account): number =>
  accounts.reduce((total, account) => total + account[key], 0)

/** From 0.4 to 40, as many below 1 as above 2. */
const anyRatio = fc.double({ min: Math.log(0.4), max: Math.log(40), noNaN: true }).map(Math.exp)
/** Calls of 10 microseconds to 10 milliseconds. */
const times = fc.double({ min: -5, max: -2, noNaN: true }).map((exponent) => 10 ** exponent)
const spell = (ratio: fc.Arbitrary<number>, most: number): fc.Arbitrary<Spell> =>
  fc.record({ calls: fc.integer({ min: 300, max: most }), alone: times, ratio })

const machine = (spells: fc.Arbitrary<Spell[]>): fc.Arbitrary<Machine> =>
  fc.record({
    spells,
    noise: fc.double({ min: 0, max: 0.2, noNaN: true }),
    hiccups: fc.nat({ max: 20 }),
    seed: fc.nat(),
  })

/** A start takes as long as this many of the slowest calls on one thread, and some milliseconds. */
const START = { calls: 200, time: 100 }

const anyMachine = machine(fc.array(spell(anyRatio, 2000), { minLength: 1, maxLength: 9 }))

/** One spell in which sharing pays. */
const goodMachine = machine(
  fc.tuple(
    fc.record({
      calls: fc.constant(3000),
      alone: times,
      ratio: fc.double({ min: 0.4, max: 0.8, noNaN: true }),
    }),
  ),
)

/** Sharing pays, then it does not, then it does again. */
const turningMachine = machine(
  fc.double({ min: 2, max: 40, noNaN: true }).map((ratio) => [
    { calls: 500, alone: 1e-4, ratio: 0.5 },
    { calls: 500, alone: 1e-4, ratio },
    { calls: 40_000, alone: 1e-4, ratio: 0.5 },
  ]),
)

/** Shared calls take what they took, while one thread becomes fast. */
const easedMachine = machine(
  fc.double({ min: 2, max: 4, noNaN: true }).map((ratio) => [
    { calls: 500, alone: 1e-4 * ratio, ratio: 0.8 },
    { calls: 5000, alone: 1e-4, ratio: 0.8 * ratio },
  ]),
)

const neverHurts = lawForAll(
  'sharing costs at most 5 % of the time of one thread',
  { given: fc.oneof(anyMachine, easedMachine) },
  (make: () => Gauge, { given }) => {
    const accounts = run(make(), given)
    const slowest = 2000 * Math.max(...given.spells.map(({ alone }) => alone))
    expect(sum(accounts, 'taken')).toBeLessThan(
      sum(accounts, 'alone') / 0.95 + START.calls * slowest + START.time,
    )
  },
)

const gains = lawForAll(
  'where sharing pays, calls are shared',
  { given: goodMachine },
  (make: () => Gauge, { given }) => {
    const accounts = run(make(), given)
    expect(sum(accounts, 'taken')).toBeLessThan(sum(accounts, 'alone') * (given.spells[0].ratio + 0.2))
  },
)

const noticesAtOnce = lawForAll(
  'a change of speed is detected at once, in both directions',
  { given: turningMachine },
  (make: () => Gauge, { given }) => {
    const [good, bad, goodAgain] = run(make(), given)
    expect(good.shared, 'shared calls while it pays').toBeGreaterThan(good.sharedAtFirst / 2)
    expect(bad.sharedAtFirst, 'shared calls before it is noticed').toBeLessThan(16)
    expect(goodAgain.shared, 'shared calls when it pays again').toBeGreaterThan(10_000)
  },
  { runs: 20 },
)

for (const law of [neverHurts, gains, noticesAtOnce]) stateLaw(law, () => new ParallelTuner())

class Stubborn extends ParallelTuner {
  override choose(): boolean {
    return true
  }
}

class Timid extends ParallelTuner {
  override choose(): boolean {
    return false
  }
}

/** Keeps what it finds out first. */
class Rash extends ParallelTuner {
  #asked = 0
  #found = false

  override choose(): boolean {
    if (this.#asked++ < 6) this.#found = super.choose()
    return this.#found
  }
}

/** Begins anew after each phase. */
class Forgetful implements Gauge {
  #gauge = new ParallelTuner()

  choose(): boolean {
    return this.#gauge.choose()
  }

  record(shared: boolean, time: number, work: number): void {
    this.#gauge.record(shared, time, work)
    if (shared && !this.#gauge.finding.shared) this.#gauge = new ParallelTuner()
  }
}

/** Takes what one thread took at first for what it takes. */
class Complacent extends ParallelTuner {
  #first: number | null = null

  override record(shared: boolean, time: number, work: number): void {
    this.#first ??= time / work
    super.record(shared, shared ? time : this.#first * work, work)
  }
}

const mutants: [string, () => Gauge, Law<() => Gauge>][] = [
  ['always shares', () => new Stubborn(), neverHurts],
  ['never shares', () => new Timid(), gains],
  ['keeps what it finds out first', () => new Rash(), neverHurts],
  ['does not rest after a loss', () => new Forgetful(), neverHurts],
  ['does not look at one thread again', () => new Complacent(), neverHurts],
  ['does not try again', () => new Rash(), noticesAtOnce],
]

test.each(mutants)('a mutant that %s: killed', (_, make, law) => kills(law, make))

test('reports its findings', () => {
  const gauge = new ParallelTuner()
  expect(gauge.finding).toEqual({ shared: false, gain: null })
  for (let i = 0; i < 3; i++) gauge.record(gauge.choose(), 10, 1)
  for (let i = 0; i < 3; i++) gauge.record(gauge.choose(), 5, 1)
  expect(gauge.finding).toEqual({ shared: true, gain: 2 })
})
