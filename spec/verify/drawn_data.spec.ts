/**
 * The data of laws: equal plans deal equal arrays, every name has a stream of its own, a simplification fits any size and keeps
 * what the caller asked for, and shrinking finds the numbers that matter.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { tryCases } from '../../src/verify/check.ts'
import { anyData, DrawnData, type DataPlan, type Rule } from '../../src/verify/drawn_data.ts'
import { decode, encode } from '../../src/verify/values.ts'
import type { Data, Dealable, Shape, Simpler, DataKind } from '../../src/testing/seeded_data.ts'
import { kills, law, lawForAll, runSeed, stateLaw } from '../harness/seed.ts'

const kinds: readonly DataKind[] = ['plain', 'smooth', 'steep', 'ties', 'wild', 'broken', 'sparse', 'equal']

/** Every way to deal, by name. */
function dealAll(data: DrawnData, length: number, limit: number) {
  return {
    floats: kinds.map((kind) => data.floats(kind, length, kind)),
    halves: data.halves('halves', 'f16', length),
    int8s: data.int8s('int8s', length),
    bytes: data.bytes('bytes', [length]),
    blocks: data.blocks('blocks', length),
    ids: data.ids('ids', length, limit),
    ascending: data.ascending('ascending', Math.min(length, limit), limit),
    some: data.someOf('some', limit),
    any: data.someInAnyOrder('any', limit),
    order: data.order('order', limit),
    mask: data.mask('mask', length, (stream) => stream.chance(0.5)),
    whole: data.whole('whole', 2, 2 + limit),
    one: data.oneOf('one', ['a', 'b', 'c']),
    flag: data.flag('flag', 0.5),
  }
}

/** Some of the ways in which fast-check would simplify data, each of them simplified further. */
function simplifications(data: DrawnData, deal: (one: DrawnData) => unknown): DrawnData[] {
  const found: DrawnData[] = []
  for (let from: DrawnData | undefined = data, depth = 0; from !== undefined && depth < 4; depth++) {
    deal(from)
    const simpler: DrawnData[] = [...anyData.shrink(from, undefined).take(25)].map(({ value }) => value)
    found.push(...simpler)
    from = simpler[Math.floor(simpler.length / 2)]
  }
  return found
}

/** Whether a list ascends, below a limit. */
function ascends(list: Int32Array, limit: number): boolean {
  return list.every((x, i) => x < limit && (i === 0 || x > list[i - 1]))
}

const sizes = { length: fc.nat(40), limit: fc.integer({ min: 1, max: 30 }) }

describe('drawn data', () => {
  law(
    'of one plan, also read back from JSON, are equal',
    { ...sizes, data: anyData },
    ({ length, limit, data }) => {
      const expected = dealAll(data, length, limit)
      const again = decode(JSON.parse(JSON.stringify(encode(data))))
      expect(dealAll(again as DrawnData, length, limit)).toEqual(expected)
    },
  )

  law(
    'of one name do not depend on other names or sizes',
    { ...sizes, data: anyData },
    ({ length, limit, data }) => {
      const { floats } = dealAll(data, length, limit)
      const alone = new DrawnData(data.plan).floats('wild', length + 5, 'wild')
      expect(alone.subarray(0, length)).toEqual(floats[kinds.indexOf('wild')])
    },
  )

  test('of a name that is used twice are two arrays', () => {
    const data = new DrawnData({ seed: 1, rules: {} })
    expect(data.floats('x', 9)).not.toEqual(data.floats('x', 9))
    expect(data.dealt.map(({ name }) => name)).toEqual(['x', 'x 2'])
  })
})

describe('a simplification', () => {
  type Simplify = typeof simplifications
  const staysWhatItWas = lawForAll(
    'fits every size, and keeps what was asked for',
    { ...sizes, later: fc.nat(40), data: anyData },
    (simplify: Simplify, { length, limit, later, data }) => {
      for (const simpler of simplify(data, (one) => dealAll(one, length, limit))) {
        const dealt = dealAll(simpler[fc.cloneMethod](), later, limit)
        const [plain, smooth, steep, , , , , equal] = dealt.floats
        const kept = {
          lengths: dealt.floats.every((values) => values.length === later),
          plain: plain.every((x) => Math.abs(x) <= 2),
          smooth: smooth.every((x) => Math.abs(x) >= 0.25 && Math.abs(x) <= 1.75),
          steep: steep.every((x) => Math.abs(x) > 0),
          equal: new Set(equal).size <= 1,
          ids: dealt.ids.every((id) => id >= 0 && id < limit),
          ascending: dealt.ascending.length === Math.min(later, limit) && ascends(dealt.ascending, limit),
          some: ascends(dealt.some, limit),
          any: new Set(dealt.any).size === dealt.any.length,
          order: dealt.order.toSorted().every((x, i) => x === i) && dealt.order.length === limit,
          mask: dealt.mask.every((x) => x === 0 || x === 1),
          choices: dealt.whole >= 2 && dealt.whole <= 2 + limit && 'abc'.includes(dealt.one),
        }
        const lost = Object.entries(kept).filter(([, isKept]) => !isKept)
        if (lost.length > 0) throw new Error(`expected to be kept: ${lost.map(([name]) => name).join(', ')}`)
      }
    },
    { runs: 20 },
  )
  stateLaw(staysWhatItWas, simplifications)

  /** Data that treats an array as one of any numbers. */
  class Zeroed extends DrawnData {
    readonly zeroed: string
    constructor(plan: DataPlan, zeroed: string) {
      super({ ...plan, rules: { [zeroed]: { blank: [[0, 99]] } } })
      this.zeroed = zeroed
    }
    override [fc.cloneMethod](): Zeroed {
      return new Zeroed(this.plan, this.zeroed)
    }
    override deal<Dealt extends Dealable>(
      name: string,
      shape: Shape,
      make: (stream: Data) => Dealt,
      simpler: Simpler<Dealt>,
    ): Dealt {
      return super.deal(name, shape, make, name === this.zeroed ? { blank: 0 } : simpler)
    }
  }

  test.each(['smooth', 'steep', 'order', 'ascending'])('that overwrites %s with zeros is found', (name) =>
    kills(staysWhatItWas, (data) => [new Zeroed(data.plan, name)]),
  )
})

describe('shrinking', () => {
  /** The smallest case that breaks a law of data; what it deals. */
  async function smallest(
    data: fc.Arbitrary<DrawnData>,
    holds: (data: DrawnData, N: number) => boolean,
  ): Promise<{ N: number; dealt: Record<string, unknown> }> {
    const { failure } = await tryCases({
      arbitraries: { N: fc.integer({ min: 1, max: 200 }), data },
      predicate: ({ N, data: one }) => holds(one as DrawnData, N as number),
      seed: runSeed(),
      runs: 1000,
    })
    if (failure === null) throw new Error('expected to be broken')
    const { N, data: found } = failure.counterexample as { N: number; data: DrawnData }
    holds(found, N)
    const dealt = found.dealt.map((deal) => [deal.name, 'values' in deal ? [...deal.values] : deal.shown])
    return { N, dealt: Object.fromEntries(dealt) }
  }

  /** Two laws that hold of few numbers: one breaks at a place, one at a pair of places far apart. */
  const atFive = (data: DrawnData, N: number): boolean => {
    const [x] = [data.floats('x', N), data.floats('y', N)]
    return N < 5 || x[4] === 0
  }
  const apart = (data: DrawnData, N: number): boolean => {
    const x = data.floats('x', N, 'broken')
    return N < 90 || x[3] === 0 || x[80] === 0
  }
  const findsPlaces = async (data: fc.Arbitrary<DrawnData>): Promise<void> => {
    expect(await smallest(data, atFive)).toEqual({ N: 5, dealt: { x: [0, 0, 0, 0, 1], y: [0, 0, 0, 0, 0] } })
    const pair = Array.from({ length: 90 }, (_, i) => (i === 3 || i === 80 ? 1 : 0))
    expect(await smallest(data, apart)).toEqual({ N: 90, dealt: { x: pair } })
  }

  test('finds the smallest size, and the numbers that break a law', () => findsPlaces(anyData))

  test('finds the smallest choice, list and order', async () => {
    const found = await smallest(anyData, (data) => {
      const [whole, one, list] = [
        data.whole('whole', 3, 900),
        data.oneOf('one', [5, 6, 7]),
        data.someOf('list', 40),
      ]
      const [order, mask] = [data.order('order', 9), data.mask('mask', 30, (stream) => stream.chance(0.5))]
      return whole < 77 || one < 6 || list.length < 2 || order.length < 9 || mask[7] === 1
    })
    expect(found.dealt).toMatchObject({ whole: 77, one: 6, order: [0, 1, 2, 3, 4, 5, 6, 7, 8] })
    expect(found.dealt.list).toHaveLength(2)
    expect(found.dealt.mask).toEqual(Array.from({ length: 30 }, (_, i) => (i === 7 ? 0 : 1)))
  })

  /** Data that shrinks by some of the candidates only. */
  class Fewer extends fc.Arbitrary<DrawnData> {
    readonly #isOffered: (candidate: DrawnData) => boolean
    constructor(isOffered: (candidate: DrawnData) => boolean) {
      super()
      this.#isOffered = isOffered
    }
    override generate(random: fc.Random): fc.Value<DrawnData> {
      return anyData.generate(random, undefined)
    }
    override canShrinkWithoutContext(value: unknown): value is DrawnData {
      return value instanceof DrawnData
    }
    override shrink(value: DrawnData): fc.Stream<fc.Value<DrawnData>> {
      return anyData.shrink(value, undefined).filter((candidate) => this.#isOffered(candidate.value))
    }
  }

  const rulesOf = ({ plan }: DrawnData): Rule[] => Object.values(plan.rules)
  test.each(
    Object.entries<(candidate: DrawnData) => boolean>({
      'that simplifies nothing': () => false,
      'without simpler forms': (candidate) => rulesOf(candidate).every(({ form }) => form === undefined),
      'of whole arrays only': (candidate) =>
        rulesOf(candidate).every(({ blank = [] }) => blank.every(([, to]) => to > 200)),
    }),
  )('%s is found', async (_, isOffered) => {
    await expect(findsPlaces(new Fewer(isOffered))).rejects.toThrow('expected')
  })
})
