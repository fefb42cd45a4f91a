/**
 * A trace holds the events of a study: each token with its KL and its decision, in order.
 *
 * Tests src/web/trace/trace.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { denseMask } from '../../../src/masks/mask.ts'
import { selectMask, type UnitScores } from '../../../src/masks/selection.ts'
import type { StudyEvent } from '../../../src/web/engine/study_types.ts'
import {
  decisionOf,
  emptyTrace,
  growTrace,
  Masks,
  meanDivergence,
  type Trace,
} from '../../../src/web/trace/trace.ts'
import { killsEach, lawForAll, stateLaw } from '../../harness/seed.ts'

const shape = { layers: 2, heads: 2, neurons: 4 }
const model = { name: 'any', shape, width: 8 }
const settings = {
  sparsity: 0.5,
  scope: 'global',
  planner: 'shadow',
  criterion: 'plainact',
  decides: 'once',
  temperature: 0,
  seed: 1,
} as const satisfies Trace['settings']

/** Scores that differ in their first number. */
const scoresOf = (first: number): UnitScores => ({
  shape,
  heads: Float32Array.of(0, 0, first, 1),
  neurons: Float32Array.of(0, 0, 0, 0, 1, 2, 3, first),
})

type Step = Extract<StudyEvent, { readonly kind: 'step' }>
type DenseStep = Extract<StudyEvent, { readonly kind: 'dense' }>

const start = {
  kind: 'start',
  prompt: Int32Array.of(5, 6),
  pieces: ['a', 'b'],
  ranks: 'plainact',
  denseLayers: 1,
  switches: [{ unit: { kind: 'heads', layer: 1, index: 0 }, on: false }],
} as Extract<StudyEvent, { readonly kind: 'start' }>

const someKl = fc.oneof(fc.double({ min: -1e-6, max: 20, noNaN: true }), fc.constantFrom(-0, 5e-324, 0.1))
const someSteps = fc.array(fc.record({ kl: someKl, decides: fc.boolean() }), { maxLength: 12 })
type Drawn = { readonly kl: number; readonly decides: boolean }[]

const stepsOf = (drawn: Drawn): Step[] =>
  drawn.map(({ decides }, index) => ({
    kind: 'step',
    index,
    token: index,
    text: `t${index}`,
    scores: decides ? scoresOf(index) : null,
  }))

/** A dense text, which may end before the sparse one. */
const denseOf = (length: number): DenseStep[] =>
  Array.from({ length }, (_, index) => ({
    kind: 'dense',
    index,
    token: 100 + index,
    text: `d${index}`,
    divergence: index > 2 ? 2 : null,
  }))

type Grow = typeof growTrace

const hasWhatWasTold = lawForAll(
  'has every event of a study, token by token',
  { drawn: someSteps, denseLength: fc.nat(12), compares: fc.boolean() },
  (grow: Grow, { drawn, denseLength, compares }) => {
    const steps = stepsOf(drawn)
    const dense = denseOf(Math.min(denseLength, steps.length))
    let trace = grow(emptyTrace(model, settings), start)
    expect(trace).toMatchObject({ ranks: 'plainact', denseLayers: 1, pieces: ['a', 'b'], columns: [] })
    for (const event of [...steps, ...dense]) {
      const before = trace
      const copy = structuredClone(before)
      trace = grow(before, event)
      expect(before).toEqual(copy)
    }
    const columns = steps.map(({ token, text }, i) => ({
      token,
      text,
      dense: i < dense.length ? { token: dense[i].token, text: dense[i].text } : null,
      kl: null,
    }))
    expect(trace.columns).toEqual(columns)
    expect(trace.decisions).toEqual(steps.flatMap(({ scores }) => scores ?? []))
    expect(trace.divergence).toBe(dense.at(-1)?.divergence ?? null)
    const compared = { divergence: 1, oracleScores: scoresOf(9) }
    const kl = compares ? drawn.map(({ kl }) => kl) : null
    const expected = {
      ...trace,
      ...compared,
      // A file stores a float32.
      columns: columns.map((one, i) => ({ ...one, kl: compares ? Float32Array.of(drawn[i].kl)[0] : null })),
    }
    trace = grow(trace, { kind: 'compared', ...compared, kl })
    expect(trace).toEqual(expected)
    const rounds = { sparse: [1, 2], dense: [3, 4] }
    expect(grow(trace, { rounds })).toEqual({ ...expected, rounds })
  },
)

describe('a growing trace', () => {
  stateLaw(hasWhatWasTold, growTrace)

  killsEach('a mutant that %s: killed', hasWhatWasTold, {
    'keeps the last decision only': (trace, event) => {
      const grown = growTrace(trace, event)
      return { ...grown, decisions: grown.decisions.slice(-1) }
    },
    'takes a KL of 0 for no KL': (trace, event) => {
      const grown = growTrace(trace, event)
      return { ...grown, columns: grown.columns.map((one) => ({ ...one, kl: one.kl || null })) }
    },
    'puts a dense token one column late': (trace, event) =>
      growTrace(
        trace,
        'kind' in event && event.kind === 'dense'
          ? { ...event, index: Math.min(event.index + 1, trace.columns.length - 1) }
          : event,
      ),
    'changes the earlier trace': (trace, event) => {
      const grown = growTrace(trace, event)
      return Object.assign(trace, grown)
    },
  })

  test('begins without tokens, with every layer dense', () => {
    expect(emptyTrace(model, settings)).toEqual({
      model,
      settings,
      ranks: null,
      denseLayers: 2,
      switches: [],
      prompt: new Int32Array(0),
      pieces: [],
      columns: [],
      decisions: [],
      oracleScores: null,
      divergence: null,
      rounds: null,
    })
  })
})

/** A trace with these KLs and a number of columns and decisions. */
function traceOf(kls: readonly (number | null)[], decisions: number): Trace {
  return {
    ...emptyTrace(model, settings),
    denseLayers: 1,
    columns: kls.map((kl, token) => ({ token, text: '', dense: null, kl })),
    decisions: Array.from({ length: decisions }, (_, i) => scoresOf(10 + i)),
  }
}

describe('values derived from a trace', () => {
  test('the mean KL is over the compared tokens', () => {
    expect(meanDivergence(traceOf([], 0))).toBeNull()
    expect(meanDivergence(traceOf([null, null], 0))).toBeNull()
    expect(meanDivergence(traceOf([0], 0))).toBe(0)
    expect(meanDivergence(traceOf([0.5, null, 0, -0.25, null], 0))).toBe(0.25 / 3)
  })

  test('a column has its own decision, or the common one, or none', () => {
    const first = (trace: Trace, column: number): number | undefined => decisionOf(trace, column)?.heads[2]
    const kls = [0, 0, 0]
    expect([0, 1, 2].map((column) => first(traceOf(kls, 3), column))).toEqual([10, 11, 12])
    expect([0, 1, 2].map((column) => first(traceOf(kls, 1), column))).toEqual([10, 10, 10])
    expect([0, 2].map((column) => decisionOf(traceOf(kls, 0), column))).toEqual([null, null])
  })

  test('masks of a column are selected from its decision; without one every unit is kept', () => {
    const trace = traceOf([0, 0], 2)
    const masks = new Masks(trace, settings)
    for (const column of [0, 1])
      expect(masks.ofColumn(trace, column)).toEqual(selectMask(trace.decisions[column], masks.budget))
    expect(masks.ofColumn(trace, 0)).toBe(masks.ofColumn(trace, 0))
    expect(masks.ofColumn(traceOf([0], 0), 0)).toEqual(denseMask(shape))
  })

  test('masks depend on a selection and on the number of dense layers', () => {
    const trace = traceOf([], 0)
    const masks = new Masks(trace, settings)
    expect(masks.areOf(trace, settings)).toBe(true)
    expect(masks.areOf({ ...trace, denseLayers: 2 }, settings)).toBe(false)
    const other = { ...trace, settings: { ...trace.settings, planner: 'griffin' } } as const
    expect(masks.areOf(other, settings)).toBe(false)
    expect(masks.areOf(trace, { ...settings, sparsity: 0.25 })).toBe(false)
    expect(masks.areOf(trace, { ...settings, scope: 'per-layer' })).toBe(false)
  })
})
