/**
 * What is made of a trace without its model: masks under another budget are those that a planner would have decided, bins
 * lose no unit, and what is said of a unit is true.
 *
 * Tests src/web/trace/bins.ts, src/web/trace/quarters.ts, src/web/trace/quick_top_k.ts, src/web/trace/switches.ts and
 * src/web/trace/unit_facts.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeBudget, scopes, type Budget } from '../../../src/masks/budget.ts'
import { denseMask, type UnitMask, type UnitShape } from '../../../src/masks/mask.ts'
import { referenceTopK, selectMask, type TopK, type UnitScores } from '../../../src/masks/selection.ts'
import { griffinPlanner } from '../../../src/planners/griffin.ts'
import { oraclePlanner } from '../../../src/planners/oracle.ts'
import { binsOf, tallySpan, type Tally } from '../../../src/web/trace/bins.ts'
import { quarterOf, quartersOf, type Quarters } from '../../../src/web/trace/quarters.ts'
import { quickTopK } from '../../../src/web/trace/quick_top_k.ts'
import { isWrittenUnder, Switches } from '../../../src/web/trace/switches.ts'
import { defaultState } from '../../../src/web/page_state.ts'
import { changedUnits, emptyTrace, hasPromptOf, Masks, type Trace } from '../../../src/web/trace/trace.ts'
import { placeOf, unitFacts, type Unit, type UnitFacts } from '../../../src/web/trace/unit_facts.ts'
import { kills, killsEach, law, lawForAll, stateLaw } from '../../harness/seed.ts'

const score = fc.oneof(
  fc.constantFrom(0, -0, 1, 2, NaN, Infinity, -Infinity),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
)
const shapes = fc.record({
  layers: fc.integer({ min: 1, max: 4 }),
  heads: fc.integer({ min: 1, max: 4 }),
  neurons: fc.integer({ min: 1, max: 9 }),
})
const scoresOf = (shape: UnitShape): fc.Arbitrary<UnitScores> => {
  const table = (units: number): fc.Arbitrary<Float32Array> =>
    fc
      .array(score, { minLength: shape.layers * units, maxLength: shape.layers * units })
      .map((values) => Float32Array.from(values))
  return fc.record({ shape: fc.constant(shape), heads: table(shape.heads), neurons: table(shape.neurons) })
}
const scores = shapes.chain(scoresOf)
const selection = fc.record({
  sparsity: fc.oneof(fc.constantFrom(0, 0.5, 1), fc.double({ min: 0, max: 1, noNaN: true })),
  scope: fc.constantFrom(...scopes),
})
const denseLayers = fc.nat(2)

// ---- Selecting again ----------------------------------------------------------------------------------------------------

const lists = { values: fc.array(score, { maxLength: 20 }), count: fc.nat(20) }

const isTopK = lawForAll(
  'the fast top_k equals the op',
  { ...lists },
  (topK: TopK, { values, count }): void => {
    const table = Float32Array.from(values)
    const R = Math.min(count, table.length)
    expect(topK(table, R)).toEqual(referenceTopK(table, R))
  },
  { runs: 1000 },
)
stateLaw(isTopK, quickTopK)

killsEach('a mutant that %s: killed', isTopK, {
  'gives ties to the higher index': (table, count) =>
    quickTopK(table.toReversed(), count)
      .map((i) => table.length - 1 - i)
      .sort(),
  'takes NaN for the highest': (table, count) =>
    quickTopK(
      table.map((one) => (one === one ? one : Infinity)),
      count,
    ),
  'takes NaN for the lowest number': (table, count) =>
    quickTopK(
      table.map((one) => (one === one ? one : -Infinity)),
      count,
    ),
  'takes one less': (table, count) => quickTopK(table, Math.max(0, count - 1)),
})

type Select = (
  scores: UnitScores,
  denseLayers: number,
  selection: { sparsity: number; scope: (typeof scopes)[number] },
) => UnitMask

const reselect: Select = (given, dense, chosen) =>
  new Masks({ denseLayers: dense, settings: { planner: 'shadow' } }, chosen).of(given)

/** What a planner that ranks by these scores decides under the same budget. */
const asThePlanner = lawForAll(
  'masks selected from stored scores are those of the planner',
  { given: scores, dense: denseLayers, chosen: selection },
  (select: Select, { given, dense, chosen }): void => {
    const planner = oraclePlanner(
      given,
      makeBudget(chosen.sparsity, { scope: chosen.scope, denseLayers: dense }),
    )
    const view = { context: new Float32Array(0), tokens: 0, ids: new Int32Array(0) }
    expect(select(given, dense, chosen)).toEqual(planner.choose(view))
  },
  { runs: 300 },
)
stateLaw(asThePlanner, reselect)

/** Masks of a trace of griffin. */
const reselectNeurons: Select = (given, dense, chosen) =>
  new Masks({ denseLayers: dense, settings: { planner: 'griffin' } }, chosen).of(given)

const asGriffin = lawForAll(
  'masks of griffin selected from stored scores keep all heads and a share of each ranked layer, as the planner does',
  { given: scores, dense: denseLayers, chosen: selection },
  (select: Select, { given, dense, chosen }): void => {
    const budget = makeBudget(chosen.sparsity, { scope: chosen.scope, denseLayers: dense })
    const planner = griffinPlanner(given.shape, budget)
    const summaries = given.neurons
    const expected = planner.choose({ tokens: 0, ids: new Int32Array(0), summaries })
    expect(select(given, dense, chosen)).toEqual(expected)
    expect(expected.heads.every((kept) => kept === 1)).toBe(true)
  },
)
stateLaw(asGriffin, reselectNeurons)

test('a mutant that selects the heads and the scope of griffin as of others: killed', () =>
  kills(asGriffin, reselect))

killsEach('a mutant that %s: killed', asThePlanner, {
  'forgets the layers that run whole': (given, _, chosen) => reselect(given, 0, chosen),
  'forgets the scope': (given, dense, { sparsity }) => reselect(given, dense, { sparsity, scope: 'global' }),
  'rounds sparsity': (given, dense, { sparsity, scope }) =>
    reselect(given, dense, { sparsity: Math.round(sparsity), scope }),
})

// ---- Bins ----------------------------------------------------------------------------------------------------------------

const sizes = { units: fc.integer({ min: 1, max: 300 }), most: fc.integer({ min: 1, max: 80 }) }

const partition = lawForAll(
  'bins hold every unit once, in order, in similar sizes',
  { ...sizes },
  (bins: typeof binsOf, { units, most }): void => {
    const spans = bins(units, most)
    expect(spans.length).toBe(Math.min(units, most))
    expect(
      spans.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i)),
    ).toEqual(Array.from({ length: units }, (_, i) => i))
    const sizes = spans.map(({ start, end }) => end - start)
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
  },
  { runs: 300 },
)
stateLaw(partition, binsOf)

killsEach('a mutant that %s: killed', partition, {
  'loses the last units': (units, most) =>
    Array.from({ length: Math.min(units, most) }, (_, b) => {
      const size = Math.floor(units / Math.min(units, most))
      return { start: b * size, end: (b + 1) * size }
    }),
  'fills the last bin': (units, most) =>
    binsOf(units, most).map((span, b, all) => (b === all.length - 1 ? { ...span, end: units + 1 } : span)),
})

const masksOfOneShape = shapes.chain((shape) => {
  const table = (units: number): fc.Arbitrary<Float32Array> =>
    fc
      .array(fc.nat(1), { minLength: shape.layers * units, maxLength: shape.layers * units })
      .map((values) => Float32Array.from(values))
  const mask = fc.record({
    shape: fc.constant(shape),
    heads: table(shape.heads),
    neurons: table(shape.neurons),
  })
  return fc.tuple(mask, fc.option(mask))
})

const tallied = { masks: masksOfOneShape, bins: fc.integer({ min: 1, max: 5 }) }

const countsUnits = lawForAll(
  'a bin counts its units by which mask keeps them',
  { ...tallied },
  (count: typeof tallySpan, { masks: [mask, oracle], bins }): void => {
    for (const kind of ['heads', 'neurons'] as const)
      for (let layer = 0; layer < mask.shape.layers; layer++)
        for (const span of binsOf(mask.shape[kind], bins)) {
          const expected: Record<keyof Tally, number> = { both: 0, extra: 0, missed: 0, neither: 0 }
          for (let index = span.start; index < span.end; index++) {
            const place = placeOf({ kind, layer, index }, mask)
            const [kept, wanted] = [mask[kind][place] === 1, (oracle ?? mask)[kind][place] === 1]
            if (kept && wanted) expected.both++
            if (kept && !wanted) expected.extra++
            if (!kept && wanted) expected.missed++
            if (!kept && !wanted) expected.neither++
          }
          expect(count(mask, oracle, { kind, layer }, span)).toEqual(expected)
        }
  },
)
stateLaw(countsUnits, tallySpan)

killsEach('a mutant that %s: killed', countsUnits, {
  'has the layer off by one': (mask, oracle, { kind, layer }, span) =>
    tallySpan(mask, oracle, { kind, layer: Math.max(0, layer - 1) }, span),
  'exchanges the two': (mask, oracle, where, span) => {
    const { extra, missed, ...rest } = tallySpan(mask, oracle, where, span)
    return { ...rest, extra: missed, missed: extra }
  },
})

// ---- One unit ------------------------------------------------------------------------------------------------------------

type Facts = (unit: Unit, given: UnitScores, mask: UnitMask, budget: Budget) => UnitFacts

/** A place's rank: the length of the shortest list of the best that it is on. */
function rankOf(table: Float32Array, place: number): number {
  for (let count = 1; ; count++) if (referenceTopK(table, count).includes(place)) return count
}

const unitCases = {
  given: scores,
  dense: denseLayers,
  chosen: selection,
  pick: fc.nat(100),
  isHead: fc.boolean(),
}

/** Rank and cut-off by sorting everything it competes with. */
const saysTheTruth = lawForAll(
  'rank, cut-off, floor and kept units of lower rank are those of selection',
  { ...unitCases },
  (facts: Facts, { given, dense, chosen, pick, isHead }): void => {
    const budget = makeBudget(chosen.sparsity, { scope: chosen.scope, denseLayers: dense })
    const mask = selectMask(given, budget)
    const kind = isHead ? 'heads' : 'neurons'
    const { layers, [kind]: units } = given.shape
    const place = pick % (layers * units)
    const unit = { kind, layer: Math.floor(place / units), index: place % units } as const
    const { kept, ranked } = facts(unit, given, mask, budget)
    expect(kept).toBe(mask[kind][place] === 1)
    if (unit.layer < dense) return expect(ranked).toBeNull()
    const places = Array.from({ length: layers * units }, (_, i) => i).filter((one) =>
      chosen.scope === 'per-layer' ? Math.floor(one / units) === unit.layer : one >= dense * units,
    )
    const table = given[kind]
    const own = Float32Array.from(places, (one) => table[one])
    const rank = rankOf(own, places.indexOf(place))
    const ties = places.flatMap((one, i) =>
      Object.is(table[one] + 0, table[place] + 0) ? rankOf(own, i) : [],
    )
    expect(ranked?.above).toBe(Math.min(...ties) - 1)
    expect(ranked?.ties).toBe(ties.length - 1)
    expect(ranked?.of).toBe(places.length)
    expect(ranked?.score).toBe(table[place])
    const isKept = (i: number): boolean => mask[kind][places[i]] === 1
    const firstSkipped = Math.min(...places.map((_, i) => (isKept(i) ? Infinity : rankOf(own, i))))
    const leading = places.filter((_, i) => isKept(i) && rankOf(own, i) < firstSkipped)
    const numbers = leading.map((one) => table[one]).map((one) => (Number.isNaN(one) ? -Infinity : one))
    const cutOff = ranked?.cutOff ?? null
    if (numbers.length === 0) expect(cutOff).toBeNull()
    // Adding 0 leaves nothing of the sign of a zero.
    else expect((Number.isNaN(cutOff) ? -Infinity : (cutOff as number)) + 0).toBe(Math.min(...numbers) + 0)
    // Kept, though one that comes before it is not.
    const before = places.filter((_, i) => rankOf(own, i) < rank)
    expect(ranked?.byFloor).toBe(kept && before.some((one) => mask[kind][one] === 0))
    const after = places.filter((_, i) => rankOf(own, i) > rank)
    expect(ranked?.keptBelow).toBe(after.filter((one) => mask[kind][one] === 1).length)
  },
  { runs: 300 },
)
stateLaw(saysTheTruth, unitFacts)

killsEach('a mutant that %s: killed', saysTheTruth, {
  'counts itself as above': (...args) =>
    change(unitFacts(...args), (ranked) => ({ ...ranked, above: ranked.above + 1 })),
  'knows no ties': (...args) => change(unitFacts(...args), (ranked) => ({ ...ranked, ties: 0 })),
  'ranks over all layers in every scope': (unit, given, mask, budget) =>
    unitFacts(unit, given, mask, { ...budget, scope: 'global' }),
  'takes its own score for the cut-off': (...args) =>
    change(unitFacts(...args), (ranked) => ({ ...ranked, cutOff: ranked.score })),
  'takes the lowest kept score for the cut-off': (unit, scores, mask, budget) =>
    change(unitFacts(unit, scores, mask, budget), (ranked) => ({
      ...ranked,
      cutOff: Math.min(...scores[unit.kind].filter((_, i) => mask[unit.kind][i] === 1)),
    })),
  'counts skipped units of lower rank as kept': (...args) =>
    change(unitFacts(...args), (ranked) => ({ ...ranked, keptBelow: ranked.of - ranked.above - 1 })),
  'knows no floor': (...args) => change(unitFacts(...args), (ranked) => ({ ...ranked, byFloor: false })),
})

function change(
  facts: UnitFacts,
  work: (ranked: NonNullable<UnitFacts['ranked']>) => UnitFacts['ranked'],
): UnitFacts {
  return { ...facts, ranked: facts.ranked && work(facts.ranked) }
}

// ---- The oracle, and switches ---------------------------------------------------------------------------------------------

describe('the units only the oracle keeps', () => {
  law(
    'are its kept units, without units of score 0 in ranked layers',
    { oracle: scores, dense: denseLayers, chosen: selection },
    ({ oracle, dense, chosen }) => {
      const masks = new Masks({ denseLayers: dense, settings: { planner: 'shadow' } }, chosen)
      const needed = masks.needed({ oracleScores: oracle })
      for (const kind of ['heads', 'neurons'] as const) {
        const first = Math.min(dense, oracle.shape.layers) * oracle.shape[kind]
        const kept = masks.of(oracle)[kind]
        expect(needed?.[kind]).toEqual(
          kept.map((one, place) => (place >= first && oracle[kind][place] === 0 ? 0 : one)),
        )
      }
    },
  )

  test('are none without oracle scores', () => {
    expect(
      new Masks(
        { denseLayers: 1, settings: { planner: 'shadow' } },
        { sparsity: 0.5, scope: 'global' },
      ).needed({ oracleScores: null }),
    ).toBeNull()
  })
})

const nearestCases = {
  oracle: scores,
  dense: denseLayers,
  chosen: selection,
  bits: fc.array(fc.nat(1), { minLength: 1 }),
}
type Nearest = (masks: Masks, oracle: UnitScores, mask: UnitMask) => UnitMask

const nearest: Nearest = (masks, oracleScores, mask) => masks.nearest({ oracleScores }, mask) as UnitMask

/** Of equal scores the last ones. */
const lastOfTies: TopK = (table, count) =>
  referenceTopK(table.toReversed(), count)
    .map((i) => table.length - 1 - i)
    .sort()

const isNearest = lawForAll(
  'the oracle is compared as it would break ties for the mask: masks of its own scores agree in any order',
  { ...nearestCases },
  (compare: Nearest, { oracle, dense, chosen, bits }): void => {
    const masks = new Masks({ denseLayers: dense, settings: { planner: 'shadow' } }, chosen)
    const own = masks.of(oracle)
    for (const mask of [own, selectMask(oracle, masks.budget, lastOfTies)])
      expect(compare(masks, oracle, mask)).toEqual(mask)
    const { shape } = oracle
    const tableOf = (units: number): Float32Array =>
      Float32Array.from({ length: shape.layers * units }, (_, i) => bits[i % bits.length])
    const mask: UnitMask = { shape, heads: tableOf(shape.heads), neurons: tableOf(shape.neurons) }
    const found = compare(masks, oracle, mask)
    for (const kind of ['heads', 'neurons'] as const) {
      const ranked = Array.from(oracle[kind].keys()).filter((place) => place >= dense * shape[kind])
      const groupOf = (place: number): string =>
        `${chosen.scope === 'per-layer' ? Math.floor(place / shape[kind]) : ''} ${oracle[kind][place] + 0}`
      for (const places of Map.groupBy(ranked, groupOf).values()) {
        const counts = (one: UnitMask): number => places.filter((place) => one[kind][place] === 1).length
        const both = places.filter((place) => mask[kind][place] === 1 && found[kind][place] === 1).length
        expect(both).toBe(Math.min(counts(own), counts(mask)))
        expect(counts(found)).toBe(oracle[kind][places[0]] === 0 ? both : counts(own))
      }
    }
  },
)
stateLaw(isNearest, nearest)

killsEach('a mutant that %s: killed', isNearest, {
  'has an order of equal scores': (masks, oracle) => masks.of(oracle),
  'takes no score of 0 for kept': (masks, oracleScores) => masks.needed({ oracleScores }) as UnitMask,
  'agrees with all of equal scores': (masks, oracle, mask) => {
    const found = nearest(masks, oracle, mask)
    const agreed = found.neurons.map((kept, i) => (oracle.neurons[i] === 0 ? mask.neurons[i] : kept))
    return { ...found, neurons: agreed }
  },
})

describe('switches', () => {
  const shape = { layers: 2, heads: 2, neurons: 3 }
  const unit: Unit = { kind: 'neurons', layer: 1, index: 2 }

  test('change the switched units only, in a copy', () => {
    const switches = new Switches()
    const mask = denseMask(shape)
    switches.set(unit, false)
    switches.set({ kind: 'heads', layer: 0, index: 1 }, false)
    const changed = switches.apply(mask)
    expect([...changed.neurons]).toEqual([1, 1, 1, 1, 1, 0])
    expect([...changed.heads]).toEqual([1, 0, 1, 1])
    expect(mask).toEqual(denseMask(shape))
    expect([switches.get(unit), switches.size]).toEqual([false, 2])
  })

  test('in a text are those of layers after a decision; without a planner, after layer 0', () => {
    const first = { kind: 'heads', layer: 0, index: 1 } as const
    const all = [first, unit].map((one) => ({ unit: one, on: false }))
    const switches = new Switches(all)
    expect(switches.all).toEqual(all)
    const inText = (planner: Trace['settings']['planner'], denseLayers: number): Unit[] =>
      switches.inText({ denseLayers, settings: { planner } as Trace['settings'] }).map((one) => one.unit)
    expect([inText('shadow', 1), inText('shadow', 2), inText('dense', 2)]).toEqual([[unit], [], [unit]])
  })

  test('are those of a text in any order, and each in the same state', () => {
    const [a, b] = [0, 1].map((index) => ({ unit: { ...unit, index }, on: true }))
    expect(isWrittenUnder({ switches: [a, b] }, [b, a])).toBe(true)
    expect(isWrittenUnder({ switches: [a, b] }, [a])).toBe(false)
    expect(isWrittenUnder({ switches: [a] }, [b])).toBe(false)
    expect(isWrittenUnder({ switches: [a] }, [{ ...a, on: false }])).toBe(false)
  })

  test('are undone one by one, or all at once', () => {
    const switches = new Switches()
    switches.set(unit, false)
    switches.set(unit, null)
    expect([switches.size, switches.get(unit)]).toEqual([0, null])
    switches.set(unit, true)
    switches.clear()
    expect(switches.apply(denseMask(shape))).toEqual(denseMask(shape))
  })
})

describe('the units that another prompt changes', () => {
  const shape = { layers: 2, heads: 2, neurons: 4 }
  const settings = { ...defaultState, sparsity: 0.5, scope: 'per-layer' } as const
  const masks = new Masks({ denseLayers: 1, settings }, settings)
  const textOf = (heads: number[], neurons: number[], of: Partial<Trace> = {}): Trace => ({
    ...emptyTrace({ name: 'any', shape, width: 8 }, settings),
    denseLayers: 1,
    decisions: [{ shape, heads: Float32Array.from(heads), neurons: Float32Array.from(neurons) }],
    ...of,
  })
  // Of layer 1 the first head, then the second; neurons 0 and 1, then 1 and 2.
  const own = textOf([0, 9, 2, 1], [9, 9, 0, 0, 4, 3, 2, 1])
  const former = textOf([9, 0, 1, 2], [0, 0, 9, 9, 1, 4, 3, 2])

  test('are those that it keeps and the one before does not, without the dense layers', () => {
    expect(changedUnits(own, former, masks)).toEqual({ kept: 3, changed: 2 })
    expect(changedUnits(own, own, masks)).toEqual({ kept: 3, changed: 0 })
  })

  test('are not counted where the texts differ in more than the prompt, or have several masks', () => {
    expect(changedUnits(own, null, masks)).toBeNull()
    for (const other of [
      { settings: { ...settings, planner: 'oracle' } },
      { settings: { ...settings, criterion: 'l2norm' } },
      { settings: { ...settings, decides: 'always' } },
      { model: { ...former.model, name: 'other' } },
      { denseLayers: 0 },
      { decisions: [] },
      { decisions: [...former.decisions, ...former.decisions] },
    ] as Partial<Trace>[]) {
      expect(changedUnits(own, { ...former, ...other }, masks)).toBeNull()
      expect(changedUnits({ ...own, ...other }, former, masks)).toBeNull()
    }
  })

  test('belong to another prompt if any of its tokens is another', () => {
    const [a, b, c] = [[1, 2], [1, 3], [1]].map((ids) => ({ prompt: Int32Array.from(ids) }))
    expect([hasPromptOf(a, a), hasPromptOf(a, b), hasPromptOf(a, c), hasPromptOf(c, a)]).toEqual([
      true,
      false,
      false,
      false,
    ])
  })
})

// ---- Quarters -----------------------------------------------------------------------------------------------------------

type ToQuarters = typeof quartersOf

const dividesEvenly = lawForAll(
  'the quarters of the kept units differ by at most one unit, and a higher score is never in a lower one',
  {
    values: fc.uniqueArray(fc.integer({ min: -1000, max: 1000 }), { minLength: 8, maxLength: 40 }),
    kept: fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
  },
  (divide: ToQuarters, { values, kept }): void => {
    const neurons = values.length >> 1
    const shape = { layers: 2, heads: 1, neurons }
    const scores = {
      shape,
      heads: new Float32Array(2),
      neurons: Float32Array.from(values.slice(0, 2 * neurons)),
    }
    const mask = {
      shape,
      heads: new Float32Array(2),
      neurons: Float32Array.from(kept.slice(0, 2 * neurons), Number),
    }
    const quarters: Quarters = divide(scores, mask, 1)
    const ranked = [...scores.neurons].filter((_, i) => i >= neurons && mask.neurons[i] !== 0)
    const found = ranked.toSorted((a, b) => a - b).map((value) => quarterOf(value, 'neurons', quarters))
    expect(found).toEqual(found.toSorted())
    const sizes = [0, 1, 2, 3].map((quarter) => found.filter((one) => one === quarter).length)
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
  },
  { runs: 200 },
)
stateLaw(dividesEvenly, quartersOf)

killsEach('a mutant that %s: killed', dividesEvenly, {
  'counts the dense layer': (scores, mask) => quartersOf(scores, mask, 0),
  'counts skipped units': (scores, { shape }, dense) => quartersOf(scores, denseMask(shape), dense),
})
