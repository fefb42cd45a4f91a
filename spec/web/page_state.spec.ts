/**
 * The state of the page in its address: what is written is read back, and a value that does not fit is refused by name.
 *
 * Tests src/web/presets.ts and src/web/engine/study_types.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { criteria } from '../../src/criteria/index.ts'
import { scopes } from '../../src/masks/budget.ts'
import { decisions } from '../../src/web/engine/study_types.ts'
import {
  defaultState,
  defaultView,
  encodeState,
  pagePlanners,
  readState,
  refusalOf,
  refusalOfUnits,
  type PageState,
  type ReadState,
  type View,
} from '../../src/web/page_state.ts'
import type { Unit } from '../../src/web/trace/unit_facts.ts'
import { presets } from '../../src/web/presets.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const states: fc.Arbitrary<PageState> = fc.record({
  prompt: fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.constantFrom('', 'a=b&c', '100 % + #?', '\n'),
  ),
  planner: fc.constantFrom(...pagePlanners),
  criterion: fc.constantFrom(...criteria.map(({ name }) => name)),
  scope: fc.constantFrom(...scopes),
  decides: fc.constantFrom(...decisions),
  sparsity: fc.integer({ min: 0, max: 95 }).map((percent) => percent / 100),
  temperature: fc.integer({ min: 0, max: 2000 }).map((thousandths) => thousandths / 1000),
  seed: fc.oneof(fc.nat(9), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
})

/** Some units in their order, of even layers or of odd ones. */
function unitsOfLayers(odd: 0 | 1): fc.Arbitrary<Unit[]> {
  const runs = fc.uniqueArray(fc.tuple(fc.boolean(), fc.nat(20), fc.nat(9), fc.integer({ min: 1, max: 9 })), {
    maxLength: 8,
    selector: ([isHead, layer, run]) => `${isHead} ${layer} ${run}`,
  })
  return runs.map((all) =>
    all
      .toSorted(([a, b, c], [d, e, f]) => Number(d) - Number(a) || b - e || c - f)
      .flatMap(([isHead, layer, run, count]) =>
        Array.from({ length: count }, (_, i): Unit => ({
          kind: isHead ? 'heads' : 'neurons',
          layer: 2 * layer + odd,
          index: 10 * run + i,
        })),
      ),
  )
}

const views: fc.Arbitrary<View> = fc.record({
  token: fc.option(fc.integer({ min: 1, max: 48 })),
  unit: fc.option(
    fc.record({
      kind: fc.constantFrom('heads' as const, 'neurons' as const),
      layer: fc.nat(40),
      index: fc.nat(9999),
    }),
  ),
  compares: fc.boolean(),
  off: unitsOfLayers(0),
  on: unitsOfLayers(1),
})

type Encode = typeof encodeState

const roundTrips = lawForAll(
  'a state, and what is looked at, round-trip through an address',
  { state: states, view: views },
  (encode: Encode, { state, view }): void => {
    const address = new URL(`https://example.org/page/#${encode(state, view)}`)
    expect(readState(address.hash.slice(1))).toEqual({ state, view, refused: [] })
  },
)
stateLaw(roundTrips, encodeState)

killsEach('a mutant that %s: killed', roundTrips, {
  'writes text as it is': (state) => `${encodeState({ ...state, prompt: 'x' })}&prompt=${state.prompt}`,
  'rounds the sparsity to tenths': (state) =>
    encodeState({ ...state, sparsity: Math.round(10 * state.sparsity) / 10 }),
  'keeps 31 bits of a seed': (state) => encodeState({ ...state, seed: state.seed & 0x7fffffff }),
  'leaves out what is falsy': (state) =>
    encodeState({ ...state, temperature: state.temperature || defaultState.temperature }),
  'loses the chosen unit': (state, view = defaultView) => encodeState(state, { ...view, unit: null }),
  'loses the last unit of a run': (state, view = defaultView) =>
    encodeState(state, view).replaceAll(/-\d+(?=_|&|$)/g, ''),
  'counts tokens from 0': (state, view = defaultView) =>
    encodeState(state, { ...view, token: view.token && view.token - 1 }),
})

describe('addresses of others', () => {
  test('an address without a fragment holds the default state, which is not written', () => {
    expect(readState('')).toEqual({ state: defaultState, view: defaultView, refused: [] })
    expect(encodeState(defaultState)).toBe('')
  })

  test('the fragment of a link within the page is no state', () => {
    expect(readState('prompt')).toBeNull()
  })

  test.each([
    ['sparsity=96', 'address sparsity: expected a whole number from 0 to 95, got "96"'],
    ['sparsity=50.5', 'address sparsity: expected a whole number from 0 to 95, got "50.5"'],
    ['sparsity=', 'address sparsity: expected a whole number from 0 to 95, got ""'],
    ['temperature=-1', 'address temperature: expected a number from 0 to 2, got "-1"'],
    ['temperature=1e9', 'address temperature: expected a number from 0 to 2, got "1e9"'],
    ['seed=4294967296', 'address seed: expected a whole number from 0 to 4294967295, got "4294967296"'],
    [
      'planner=static',
      expect.stringMatching(/^address planner: expected one of shadow, [^]*, got "static"$/),
    ],
    ['planner=__proto__', expect.stringContaining('got "__proto__"')],
    ['scope=everything', expect.stringMatching(/^address scope: expected one of global, per-layer, hybrid/)],
    ['token=0', 'address token: expected a whole number from 1, got "0"'],
    ['unit=heads.1', 'address unit: expected a unit such as heads.1.0, got "heads.1"'],
    ['unit=heads.1.0-3', 'address unit: expected a unit such as heads.1.0, got "heads.1.0-3"'],
    ...['heads.1', 'heads.1.3-2', 'heads.1.0_', 'neurons.1.0-1024', 'neurons.1.0-1000_heads.1.0-99'].map(
      (units): [string, string] => [
        `off=${units}`,
        `address off: expected at most 1024 units such as heads.1.0_neurons.2.5-9, got "${units}"`,
      ],
    ),
    [
      `on=${'heads.1.0_'.repeat(200)}heads.1.0`,
      expect.stringMatching(/^address on: expected at most 1024 units/),
    ],
    [
      'off=heads.1.0-3&on=heads.1.2',
      'address on: expected units that off does not name, got heads.1.2',
      { off: [0, 1, 2, 3].map((index) => ({ kind: 'heads' as const, layer: 1, index })) },
    ],
    ['compares=yes', 'address compares: expected true, got "yes"'],
    ['model=x', expect.stringMatching(/^address: expected prompt, [^]*, got "model"$/)],
    [
      `prompt=${'a'.repeat(2001)}`,
      expect.stringMatching(/^address prompt: expected at most 2000 characters/),
    ],
  ])(
    '%s is refused in one line; the default stands in its place',
    (fragment, line: unknown, others: Partial<View> = {}) => {
      expect(readState(`${fragment}&decides=always`)).toEqual({
        state: { ...defaultState, decides: 'always' },
        view: { ...defaultView, ...others },
        refused: [line],
      })
    },
  )

  test('a number that no address can hold is left out, and so are too many units', () => {
    expect(encodeState({ ...defaultState, seed: NaN, temperature: 3, sparsity: 2 })).toBe('')
    const units = (count: number, step = 1): Unit[] =>
      Array.from({ length: count }, (_, i) => ({ kind: 'neurons', layer: 1, index: i * step }))
    const addressOf = (off: readonly Unit[]): string => encodeState(defaultState, { ...defaultView, off })
    expect(addressOf(units(1024))).toBe('off=neurons.1.0-1023')
    for (const off of [units(1025), units(300, 2)]) expect(addressOf(off)).toBe('')
  })

  test('units that the model does not have are refused by name', () => {
    const shape = { layers: 2, heads: 3, neurons: 5 }
    const { view } = readState('off=heads.1.0-2_neurons.0.4&on=neurons.1.5') as ReadState
    expect(refusalOfUnits({ ...view, on: [] }, shape)).toBeNull()
    expect(refusalOfUnits(view, shape)).toBe('address on: expected units of the model, got neurons.1.5')
  })
})

test('the examples differ from each other, begin with the default, and fit into an address', () => {
  expect(presets[0].state).toEqual(defaultState)
  expect(new Set(presets.map(({ state }) => encodeState(state))).size).toBe(presets.length)
  for (const { state } of presets) expect(readState(encodeState(state))).toMatchObject({ state, refused: [] })
})

test('a field that holds no such number is told by its name, and says what it got', () => {
  expect(refusalOf('temperature', ' 0.5 ')).toBeNull()
  expect(refusalOf('seed', '7')).toBeNull()
  expect(refusalOf('temperature', 'hot')).toBe('temperature: expected a number from 0 to 2, got "hot"')
  expect(refusalOf('seed', '')).toBe('seed: expected a whole number from 0 to 4294967295, got nothing')
})
