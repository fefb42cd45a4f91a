/**
 * Masks through which scores are learnt with compensation: units become m a + (1 - m) of what the kept units say of them, by least
 * squares, and the derivative by m is that of this definition in float64.
 */
import fc from 'fast-check'
import { expect, vi } from 'vitest'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { compensationBy } from '../../src/compensation/compensate.ts'
import { estimateBy } from '../../src/compensation/estimate.ts'
import { HeldMoments } from '../../src/compensation/held_moments.ts'
import { logitsDivergence } from '../../src/engine/divergence.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { Trace, traceForward } from '../../src/engine/trace.ts'
import { DEFAULT_RIDGE, type Estimate } from '../../src/masks/compensation.ts'
import { makeMask, unitKinds, type UnitKind, type UnitMask } from '../../src/masks/mask.ts'
import type { Prefill } from '../../src/masks/planner.ts'
import type { Data } from '../../src/testing/seeded_data.ts'
import { memorySource, type HostTensor } from '../../src/tensor/memory_source.ts'
import { maskedDivergence, type MaskedDivergence } from '../../src/training/learn_scores.ts'
import { near, sameBits } from '../../src/verify/compare.ts'
import { configOf, roomyModel, smallCase, tensorsOf, type ModelCase } from '../engine/cases.ts'
import { logits64, type Rows } from '../engine/float64.ts'
import { anyData, killsByLaw, lawForAll, stateLaw } from '../harness/seed.ts'
import { saidOfSkipped } from './least_squares.ts'
import { randomMoments } from './random_moments.ts'

/** A text, where its prompt ends, and how the prompt runs. */
interface Text {
  readonly tokens: Int32Array
  readonly promptLength: number
  readonly prefill: Prefill
}

/** What is judged: the divergence under a mask, with estimates or without. */
type Diverge = (
  model: LanguageModel,
  text: Text,
  mask: UnitMask,
  estimate: Estimate | null,
) => MaskedDivergence

const diverge: Diverge = (model, { tokens, promptLength, prefill }, mask, estimate) => {
  const dense = traceForward(model, tokens)
  try {
    return maskedDivergence(model, { dense, promptLength }, mask, prefill, estimate)
  } finally {
    dense.dispose()
  }
}

// ---- Models and masks --------------------------------------------------------------------------------------------

/** OPT has ReLU and biases; the Llama has gates, and heads that share keys. */
const cases: readonly ModelCase[] = [
  { ...smallCase, heads: 3 },
  {
    ...smallCase,
    heads: 4,
    llama: { groups: 1, pairs: 2, biases: false, rotary: { base: 10_000, scaling: null }, epsilon: 1e-5 },
  },
]

const drawn = {
  sizes: fc.constantFrom(...cases),
  seed: fc.nat({ max: 999 }),
  promptLength: fc.integer({ min: 1, max: 6 }),
  prefill: fc.constantFrom('dense' as const, 'masked' as const),
  data: anyData,
}

/** A model, what it was made of, moments, and a text. */
interface Ground {
  readonly model: LanguageModel
  readonly tensors: ReadonlyMap<string, HostTensor>
  readonly moments: HeldMoments
  readonly text: Text
  readonly data: Data
}

async function withGround(
  {
    sizes,
    seed,
    data,
    promptLength,
    prefill,
  }: Omit<Text, 'tokens'> & { sizes: ModelCase; seed: number; data: Data },
  work: (ground: Ground) => void,
): Promise<void> {
  const drawnCase = { ...sizes, seed, positions: 9 }
  const tensors = tensorsOf(drawnCase)
  const model = await LanguageModel.load(configOf(drawnCase), memorySource(tensors), new ReferenceBackend())
  const tokens = data.ids('tokens', 8, model.config.vocabulary)
  try {
    work({
      model,
      tensors,
      moments: randomMoments(model, seed),
      text: { tokens, promptLength, prefill },
      data,
    })
  } finally {
    model.dispose()
  }
}

/** A mask of numbers between 0 and 1. */
function softMask({ shape }: LanguageModel, data: Data): UnitMask {
  const table = (kind: UnitKind): Float32Array =>
    Float32Array.from({ length: shape.layers * shape[kind] }, () => data.uniform())
  return makeMask(shape, table('heads'), table('neurons'))
}

/** The units that it keeps. */
const hardened = ({ shape, heads, neurons }: UnitMask): UnitMask => {
  const [h, n] = [heads, neurons].map((table) => table.map((m) => Number(m >= 0.5)))
  return makeMask(shape, h, n)
}

const sizeOf = ({ config }: LanguageModel, kind: UnitKind): number => (kind === 'heads' ? config.headSize : 1)

// ---- The definition, in float64 ----------------------------------------------------------------------------------

/** What kept units say of each number: [N][N]. Each unit is estimated by a least squares of its own, without the unit. */
function estimates64(
  { model, moments }: Ground,
  mask: UnitMask,
  kind: UnitKind,
  layer: number,
): readonly (readonly number[])[] {
  const [units, size] = [model.shape[kind], sizeOf(model, kind)]
  const N = units * size
  const all = Array.from({ length: N }, (_, n) => n)
  const C = moments.rows(kind, layer, Int32Array.from(all), Float64Array.of(1), 1)
  const unitOf = (n: number): number => Math.floor(n / size)
  const kept = all.filter((n) => mask[kind][layer * units + unitOf(n)] >= 0.5)
  return all.map((n) => {
    const others = kept.filter((k) => unitOf(k) !== unitOf(n))
    const { skipped, B } = saidOfSkipped(C, N, others, DEFAULT_RIDGE)
    const row = B[skipped.indexOf(n)]
    return all.map((j) => (others.includes(j) ? row[others.indexOf(j)] : 0))
  })
}

/** The logits of tokens behind the prompt. */
function logitsUnder(
  { model, tensors, text: { tokens, promptLength, prefill } }: Ground,
  mask: UnitMask,
  estimates: (kind: UnitKind, layer: number) => readonly (readonly number[])[],
): Rows {
  const first = prefill === 'dense' ? promptLength : 0
  return logits64(model, tensors, tokens, (kind, layer, a, t) => {
    if (t < first) return a
    const E = estimates(kind, layer)
    return a.map((value, n) => {
      const m = mask[kind][layer * model.shape[kind] + Math.floor(n / sizeOf(model, kind))]
      return m * value + (1 - m) * E[n].reduce((sum, factor, j) => sum + factor * a[j], 0)
    })
  }).slice(promptLength)
}

/** KL(dense || masked), the mean over tokens. */
function divergence64(dense: Rows, masked: Rows): number {
  const logs = (row: readonly number[]): number[] => {
    const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0))
    return row.map((value) => value - total)
  }
  const each = dense.map((row, t) => {
    const [p, q] = [logs(row), logs(masked[t])]
    return p.reduce((sum, log, v) => sum + Math.exp(log) * (log - q[v]), 0)
  })
  return each.reduce((sum, value) => sum + value, 0) / each.length
}

/** A table of float64, so that a step of a mask is not rounded. */
const moved = (mask: UnitMask, kind: UnitKind, unit: number, by: number): UnitMask =>
  ({
    ...mask,
    [kind]: Float64Array.from(mask[kind], (m, u) => (u === unit ? m + by : m)),
  }) as unknown as UnitMask

const STEP = 1e-5

const laws = {
  derivative: lawForAll(
    'the divergence is that of the definition, and its derivative by each unit the finite difference, both in float64',
    drawn,
    (judged: Diverge, { data, ...rest }) =>
      withGround({ ...rest, data }, (ground) => {
        const { model, text, moments } = ground
        const mask = softMask(model, data)
        const held = unitKinds.map((kind) =>
          Array.from({ length: model.shape.layers }, (_, layer) => estimates64(ground, mask, kind, layer)),
        )
        const estimates = (kind: UnitKind, layer: number) => held[unitKinds.indexOf(kind)][layer]
        const dense = logitsUnder(ground, hardened(mask), (kind, layer) =>
          estimates(kind, layer).map((_, n, rows) => rows.map((__, j) => Number(n === j))),
        )
        const at = (one: UnitMask): number => divergence64(dense, logitsUnder(ground, one, estimates))
        const { kl, gradients } = judged(model, text, mask, estimateBy(moments))
        const expected = at(mask)
        near('divergence', [kl], [expected], 1e-4 * (1 + expected))
        for (const kind of unitKinds) {
          const slopes = Array.from(mask[kind], (_, unit) => {
            const [over, under] = [STEP, -STEP].map((by) => at(moved(mask, kind, unit, by)))
            return (over - under) / (2 * STEP)
          })
          const largest = slopes.reduce((most, slope) => Math.max(most, Math.abs(slope)), 0)
          near(kind, gradients[kind], slopes, 1e-3 * (expected + largest) + 1e-5)
        }
      }),
    { runs: 24 },
  ),
  folded: lawForAll(
    'in every architecture, under a mask of zeros and ones, the divergence is that of compensated sequences',
    { ...drawn, sizes: fc.oneof(fc.constantFrom(...cases), roomyModel) },
    (judged: Diverge, { data, ...rest }) =>
      withGround({ ...rest, data }, ({ model, text, moments }) => {
        const mask = hardened(softMask(model, data))
        const { tokens, promptLength, prefill } = text
        const compensation = compensationBy(moments, { by: 'least-squares' })
        const planner = {
          name: 'given',
          prefill,
          by: 'attention' as const,
          sourceLayer: 0,
          choose: () => mask,
        }
        const logits = (options: Parameters<LanguageModel['begin']>[0]): Float32Array => {
          const sequence = model.begin(options)
          try {
            sequence.feed(tokens.slice(0, promptLength), 'none')
            return sequence.feed(tokens.slice(promptLength), 'all')
          } finally {
            sequence.dispose()
          }
        }
        const masked = logits(
          prefill === 'dense' ? { planner: { ...planner, compensation } } : { mask, compensation },
        )
        const dense = logits({})
        const V = model.config.vocabulary
        const count = dense.length / V
        let sum = 0
        for (let t = 0; t < count; t++)
          sum += logitsDivergence(dense.subarray(t * V, (t + 1) * V), masked.subarray(t * V, (t + 1) * V))
        const { kl } = judged(model, text, mask, estimateBy(moments))
        near('divergence', [kl], [sum / count], 1e-3 * (1 + sum / count))
      }),
    { runs: 40 },
  ),
  nothing: lawForAll(
    'where no unit says anything of another, every bit is that of zeros in the place of what is skipped',
    drawn,
    (judged: Diverge, { data, ...rest }) =>
      withGround({ ...rest, data }, ({ model, text, moments }) => {
        const mask = softMask(model, data)
        const [all] = moments.texts
        const [heads, neurons] = unitKinds.map((kind) =>
          all[kind].map((one) => ({ ...one, correlations: one.correlations.map(() => 0) })),
        )
        const apart = new HeldMoments(model.shape, [{ heads, neurons }])
        const [actual, expected] = [estimateBy(apart), null].map((one) => judged(model, text, mask, one))
        expect(actual.kl).toBe(expected.kl)
        for (const kind of unitKinds) sameBits(kind, actual.gradients[kind], expected.gradients[kind])
      }),
    { runs: 20 },
  ),
}
for (const law of Object.values(laws)) stateLaw(law, diverge)

// ---- Wrong ones --------------------------------------------------------------------------------------------------

const estimating =
  (change: (estimate: Estimate) => Estimate): Diverge =>
  (model, text, mask, estimate) =>
    diverge(model, text, mask, estimate && change(estimate))

/** What a trace calls residuals. */
const readingAs =
  (read: (trace: Trace, layer: number, kind: UnitKind) => Float32Array): Diverge =>
  (...args) => {
    const spy = vi.spyOn(Trace.prototype, 'residual').mockImplementation(function (this: Trace, layer, kind) {
      return read(this, layer, kind)
    })
    try {
      return diverge(...args)
    } finally {
      spy.mockRestore()
    }
  }

const activations = readingAs((trace, layer, kind) =>
  kind === 'heads' ? trace.headOut(layer) : trace.fc1Act(layer),
)
/** Without the last unit that is kept. */
const lessOne = (mask: Float32Array): Float32Array =>
  mask.map((m, u) => (u === mask.findLastIndex((one) => one >= 0.5) ? 0.4 : m))
const otherMask = estimating((estimate) => (soft) => estimate({ ...soft, mask: lessOne(soft.mask) }))

killsByLaw(laws, {
  derivative: {
    'activations in place of residuals': activations,
    'estimates of another mask': otherMask,
    'estimates of the first layer': estimating((estimate) => (soft) => estimate({ ...soft, layer: 0 })),
    'no estimates': estimating(() => () => null),
    'none of heads': estimating((estimate) => (soft) => (soft.kind === 'heads' ? null : estimate(soft))),
    'kept units that say all of themselves': estimating((estimate) => (soft) => {
      const rows = estimate(soft)
      const N = soft.mask.length * soft.size
      return (
        rows?.map((value, at) => {
          const n = Math.floor(at / N)
          return soft.mask[Math.floor(n / soft.size)] >= 0.5 ? Number(at % N === n) : value
        }) ?? null
      )
    }),
    'numbers of a head that are estimated from the others of it': estimating((estimate) => (soft) => {
      const alone = {
        ...soft,
        size: 1,
        mask: Float32Array.from(
          { length: soft.mask.length * soft.size },
          (_, n) => soft.mask[Math.floor(n / soft.size)],
        ),
      }
      return estimate(alone)
    }),
  },
  folded: { 'no estimates': estimating(() => () => null), 'estimates of another mask': otherMask },
  nothing: {
    'a little in every estimate': estimating(
      (estimate) => (soft) => estimate(soft)?.map((value) => value + 1e-3) ?? null,
    ),
  },
})
