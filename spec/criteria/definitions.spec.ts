/**
 * Every criterion of an example equals its formula in float64, unit by unit over the activations of a pass: for any labels, with
 * one scored position or all, with heads of one channel too, with and without a mask.
 *
 * Tests src/criteria/index.ts.
 */
import { firstWeights } from '../../src/criteria/plainact_weight.ts'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { criteria, criterionByName, type Criterion, type CriterionInput } from '../../src/criteria/index.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { near } from '../../src/verify/compare.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { anyModel, tensorsOf, withModel, type ModelCase } from '../engine/cases.ts'
import { unitKinds, someMask, withPass, type UnitKind, type Text } from './passes.ts'
import { determinant } from './determinant.ts'

/** A unit of one layer. */
interface Place {
  readonly kind: UnitKind
  readonly layer: number
  readonly unit: number
}

/** A score, and the sum of the absolute values of its terms, which bounds its rounding. */
interface Score {
  readonly score: number
  readonly size: number
}

type Definition = (input: CriterionInput, place: Place) => Score

/** Numbers of a unit at every token: [T][K], K being 1 for a neuron. */
function perToken(table: Float32Array, { model }: CriterionInput, { kind, unit }: Place): number[][] {
  const { heads, headSize, neurons } = model.config
  const [units, K] = kind === 'heads' ? [heads, headSize] : [neurons, 1]
  return Array.from({ length: table.length / (units * K) }, (_, t) => [
    ...table.subarray((t * units + unit) * K, (t * units + unit + 1) * K),
  ])
}

const add = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const sizesOf = (values: readonly number[]): number => add(values.map(Math.abs))
const root = (squares: number): Score => ({ score: Math.sqrt(squares), size: Math.sqrt(squares) })

/** Activation times gradient after the mask, by token: sums over channels of the products and of their absolute values. */
function sensitivity(input: CriterionInput, place: Place): { terms: number[]; size: number } {
  const { trace, gradients } = input
  const [activation, gradient] =
    place.kind === 'heads'
      ? [trace.headOut(place.layer), gradients.maskedHeadOut(place.layer)]
      : [trace.fc1Act(place.layer), gradients.maskedFc1Act(place.layer)]
  const g = perToken(gradient, input, place)
  const products = perToken(activation, input, place).map((row, t) => row.map((a, k) => a * g[t][k]))
  return { terms: products.map(add), size: sizesOf(products.flat()) }
}

/** The gradient of a neuron's incoming weights, by input, and the absolute values of its terms. */
function weightGradient(input: CriterionInput, { layer, unit }: Place): { grad: number[]; sizes: number[] } {
  const { width: D, neurons: F } = input.model.config
  const x = input.trace.fc1Input(layer)
  const gz = input.gradients.fc1Pre(layer)
  const tokens = Array.from(input.tokens.keys())
  const terms = Array.from({ length: D }, (_, d) => tokens.map((t) => gz[t * F + unit] * x[t * D + d]))
  return { grad: terms.map(add), sizes: terms.map(sizesOf) }
}

const plainact: Definition = (input, place) => {
  const { terms, size } = sensitivity(input, place)
  return { score: sizesOf(terms), size }
}

const signed: Definition = (input, place) => {
  const { terms, size } = sensitivity(input, place)
  return { score: add(terms), size }
}

const snip: Definition = (input, place) => {
  const { score, size } = signed(input, place)
  return { score: Math.abs(score), size }
}

const plainactWeight: Definition = (input, place) => {
  if (place.kind === 'heads') return plainact(input, place)
  const { width: D } = input.model.config
  const weights = firstWeights(input.model, place.layer)
  const { grad, sizes } = weightGradient(input, place)
  const own = weights.subarray(place.unit * D, (place.unit + 1) * D)
  return {
    score: add(grad.map((g, d) => Math.abs(g * own[d]))),
    size: add(sizes.map((size, d) => size * Math.abs(own[d]))),
  }
}

const norm =
  (neurons: 'fc1Act' | 'fc1Pre'): Definition =>
  (input, place) => {
    const { trace } = input
    const table = place.kind === 'heads' ? trace.headOut(place.layer) : trace[neurons](place.layer)
    return root(
      add(
        perToken(table, input, place)
          .flat()
          .map((value) => value ** 2),
      ),
    )
  }

const gradnorm: Definition = (input, place) => {
  const squares = (values: readonly number[]): number => add(values.map((value) => value ** 2))
  if (place.kind === 'heads')
    return root(squares(perToken(input.gradients.headOut(place.layer), input, place).flat()))
  const { grad, sizes } = weightGradient(input, place)
  return { score: Math.sqrt(squares(grad)), size: Math.sqrt(squares(sizes)) }
}

const fisher: Definition = (input, place) => {
  const { trace, gradients, tokens } = input
  const isHead = place.kind === 'heads'
  const a = perToken(isHead ? trace.headOut(place.layer) : trace.fc1Pre(place.layer), input, place).flat()
  const g = perToken(
    isHead ? gradients.headOut(place.layer) : gradients.fc1Pre(place.layer),
    input,
    place,
  ).flat()
  const score = add(a.map((value, i) => (value * g[i]) ** 2)) / tokens.length
  return { score, size: score }
}

/** ln det(I + K_H), K_H of the signs of a unit's channels between tokens. */
const nwot: Definition = (input, place) => {
  const { trace } = input
  const isHead = place.kind === 'heads'
  const rows = perToken(isHead ? trace.headOut(place.layer) : trace.fc1Pre(place.layer), input, place)
  const on = rows.map((row) => row.map((value) => value > 0))
  const kernel = on.flatMap((a, s) =>
    on.map((b, t) => a.filter((sign, k) => sign === b[k]).length + (s === t ? 1 : 0)),
  )
  const score = Math.log(determinant(Float64Array.from(kernel), rows.length))
  return { score, size: 1 + Math.abs(score) }
}

/** Attention weights of a head: [T][T], zeros for later tokens. */
function attentionOf({ model, trace, tokens }: CriterionInput, layer: number, head: number): number[][] {
  const { heads: H, keyHeads: G, headSize: K, layerWindow, scoreCap: c } = model.config
  const { scoreScale = 1 / Math.sqrt(K) } = model.config
  const T = tokens.length
  const window = layerWindow?.[layer] ?? T
  const [queries, keys] = [trace.query(layer), trace.key(layer)] // [T, H, K] and [G, T, K]
  const g = Math.floor((head * G) / H)
  return Array.from({ length: T }, (_, t) => {
    const scores = Array.from({ length: t + 1 }, (_, s) => {
      const product = (k: number): number => queries[(t * H + head) * K + k] * keys[(g * T + s) * K + k]
      const score = scoreScale * add(Array.from({ length: K }, (_, k) => product(k)))
      return c === undefined ? score : c * Math.tanh(score / c)
    })
    const most = Math.max(...scores)
    const weights = scores.map((score, s) => (s > t - window ? Math.exp(score - most) : 0))
    return Array.from({ length: T }, (_, s) => (weights[s] ?? 0) / add(weights))
  })
}

const attention: Definition = (input, place) => {
  const { layers, heads } = input.model.shape
  const T = input.tokens.length
  if (place.kind === 'heads') {
    const weights = attentionOf(input, place.layer, place.unit)
    const score = add(weights.slice(1).map((row) => Math.max(...row.slice(1)))) / (T - 1)
    // Attention scores of about a hundred are rounded to float32 before the exponential.
    return { score, size: 10 }
  }
  const next = place.layer + 1
  const maps = next < layers ? Array.from({ length: heads }, (_, head) => attentionOf(input, next, head)) : []
  const received = (s: number): number =>
    next < layers ? add(maps.flatMap((map) => map.map((row) => row[s]))) / (heads * T) : 1 / T
  const activation = perToken(input.trace.fc1Act(place.layer), input, place).flat()
  const score = add(activation.map((a, s) => (s === 0 ? 0 : a * received(s))))
  return { score, size: 10 * sizesOf(activation) }
}

const definitions: Readonly<Record<string, Definition>> = {
  plainact,
  'plainact-weight': plainactWeight,
  'plainact-signed': signed,
  l2norm: norm('fc1Act'),
  'l2norm-pre': norm('fc1Pre'),
  gradnorm,
  fisher,
  snip,
  nwot,
  attention,
}

/** Criteria that are estimates or random; each has a spec of its own. */
const elsewhere = ['grasp', 'second-order', 'random']

test('every criterion has a formula here or a spec of its own', () => {
  expect([...Object.keys(definitions), ...elsewhere].sort()).toEqual(criteria.map(({ name }) => name).sort())
})

const backend = await createBackend('reference')
afterAll(() => backend.dispose())

/** Two tokens or more, with one, some or all positions scored. The label of the first token is ignored. */
function anyText(model: ModelCase, data: Data): Text {
  const tokens = data.ids('tokens', data.integer(2, model.positions), model.vocabulary)
  const known = data.integer(1, tokens.length - 1)
  const scored = data.pick([0, 0.5, 1])
  return { tokens, labels: tokens.map((token, t) => (t === known || data.chance(scored) ? token : -100)) }
}

/** The relative error of float32 sums of some hundred terms; of exponentials for attention. */
const ERROR = 1e-5

/** Weights of every other neuron and value are 0, so that some outputs are exactly 0. */
function withStillUnits(model: ModelCase): Map<string, HostTensor> {
  const tensors = tensorsOf(model)
  for (const [name, { shape, values }] of tensors)
    if (/(fc1|v_proj)\.(weight|bias)$/.test(name)) {
      const width = values.length / shape[0]
      values.forEach((_, n) => {
        if (Math.floor(n / width) % 2 === 0) values[n] = 0
      })
    }
  return tensors
}

const isDefined = (
  score: Criterion['score'],
  define: Definition,
  model: ModelCase,
  isPruned: boolean,
): Promise<void> => {
  const tensors = model.seed % 3 === 0 ? withStillUnits(model) : tensorsOf(model)
  const work = (loaded: LanguageModel): void => {
    const data = new Data(model.seed)
    const mask = isPruned ? someMask(loaded, data) : undefined
    withPass(
      loaded,
      anyText(model, data),
      (input) => {
        const scores = score(input)
        for (const kind of unitKinds)
          for (let layer = 0; layer < model.layers; layer++)
            for (let unit = 0; unit < model[kind]; unit++) {
              const { score, size } = define(input, { kind, layer, unit })
              const found = scores[kind][layer * model[kind] + unit]
              near(`${kind} ${layer} ${unit}`, [found], [score], ERROR * size + 1e-30)
            }
      },
      { mask },
    )
  }
  return withModel({ backend, load: LanguageModel.load }, model, work, tensors)
}

/** The law of each criterion, of a function that computes scores. */
const laws = Object.fromEntries(
  Object.entries(definitions).map(([name, define]) => [
    name,
    lawForAll(
      `${name} is its formula, unit by unit`,
      { model: anyModel, isPruned: fc.boolean() },
      (score: Criterion['score'], { model, isPruned }) => isDefined(score, define, model, isPruned),
      { runs: 25 },
    ),
  ]),
)
for (const [name, one] of Object.entries(laws)) stateLaw(one, criterionByName(name).score)

const signs = fc.constantFrom(-1, -0, 0, 1, 1e-45, -1e-45)

law(
  'nwot counts outputs of exactly 0 as not above 0',
  { tokens: fc.array(fc.tuple(signs, signs, signs), { minLength: 1, maxLength: 9 }) },
  ({ tokens }) => {
    // One head of two channels, and one neuron.
    const heads = Float32Array.from(tokens.flatMap(([a, b]) => [a, b]))
    const neurons = Float32Array.from(tokens, ([, , c]) => c)
    const input = {
      model: { shape: { layers: 1, heads: 1, neurons: 1 }, config: { heads: 1, headSize: 2, neurons: 1 } },
      trace: { headOut: () => heads, fc1Pre: () => neurons },
    } as unknown as CriterionInput
    const scores = criterionByName('nwot').score(input)
    for (const kind of unitKinds) {
      const { score, size } = nwot(input, { kind, layer: 0, unit: 0 })
      near(kind, scores[kind], [score], ERROR * size)
    }
  },
)

test.each([
  ['plainact', 'snip'],
  ['plainact', 'plainact-weight'],
  ['plainact-weight', 'plainact'],
  ['plainact-signed', 'snip'],
  ['snip', 'plainact'],
  ['l2norm', 'l2norm-pre'],
  ['l2norm-pre', 'l2norm'],
  ['gradnorm', 'l2norm'],
  ['fisher', 'gradnorm'],
  ['nwot', 'l2norm'],
  ['attention', 'nwot'],
])('the definition of %s does not hold for %s', (name, other) =>
  kills(laws[name], criterionByName(other).score),
)
