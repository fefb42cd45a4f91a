/**
 * Laws of the backward pass (design laws 3, 6 and 7).
 *
 * Finite differences are central, of a loss formed in float64 from float32 logits, along whole directions: the
 * gradient's own, where the slope is largest, and a random one, which a wrong gradient cannot hide from. Away from the
 * kinks of ReLU in OPT: large biases in fc1 fix which neurons are on, so that a small step turns none on or off.
 */
import { createBackend } from '../../backends/select.ts'
import { makeMask, type UnitMask } from '../../masks/mask.ts'
import { backward, type Gradients } from '../../engine/backward.ts'
import { shiftLabels } from '../../engine/loss.ts'
import { moduleName, namesOf } from '../../engine/names.ts'
import { OptModel } from '../../engine/opt_model.ts'
import { traceForward } from '../../engine/trace.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { near, sameBits } from '../compare.ts'
import { Data } from '../../testing/seeded_data.ts'
import { configOf, feedOnce, forAll, roomyModel, tensorsOf, withModel } from './cases.ts'
import type { ModelCase, Subject } from './cases.ts'
import { anyMask, engineCase, heldTo, made, maskOf, withLoaded } from './engine_cases.ts'
import { headMaskGradient, neuronMaskGradient, type TracedGradients } from './mask_gradients.ts'

type Tensors = Map<string, HostTensor>

/** Finite steps are 2^-4 down to 2^-11: coarse ones suffer from curvature, fine ones from rounding. */
const COARSEST_POWER = 4
const FINEST_POWER = 11

/**
 * How far a slope may be off: a share of the gradient's length, and what float32 logits leave of a slope of 0. Over
 * nearly 18,000 slopes of 4,500 models the worst used 0.6 of this.
 */
const SLOPE_ERROR = 0.003
const SLOPE_NOISE = 1e-3

/** A model so sharp that a step of 2^-7 sees a slope a third too small. */
const sharpModel: ModelCase = {
  layers: 3,
  heads: 4,
  headSize: 8,
  neurons: 21,
  vocabulary: 11,
  positions: 10,
  embeddingWidth: 20,
  preNorm: true,
  finalNorm: false,
  tied: true,
  seed: -1316397425,
}

/** Two tokens or more, none the padding id, whose row of the table is by convention not differentiated. */
function textOf(model: ModelCase, data: Data): Int32Array {
  return data.ids(data.integer(2, model.positions), model.vocabulary).map((id) => (id === 1 ? 0 : id))
}

/** Labels with some positions left out, one at least scored. */
function labelsOf(tokens: Int32Array, data: Data): Int32Array {
  const kept = data.integer(1, tokens.length - 1)
  return tokens.map((id, t) => (t === kept || data.chance(0.7) ? id : -100))
}

/** The case's weights with every neuron of OPT firmly on or off. silu has no kink. */
function awayFromKinks(model: ModelCase): Tensors {
  const tensors = tensorsOf(model)
  const config = configOf(model)
  if (config.gated) return tensors
  const data = new Data(model.seed + 1)
  for (let layer = 0; layer < model.layers; layer++) {
    const name = moduleName(config, layer, 'fc1')
    const { values: weight } = tensors.get(`${name}.weight`) as HostTensor
    for (let i = 0; i < weight.length; i++) weight[i] *= 0.25
    const { values: bias } = tensors.get(`${name}.bias`) as HostTensor
    for (let j = 0; j < bias.length; j++) bias[j] += data.chance(0.5) ? 5 : -5
  }
  return tensors
}

/** The mean loss in float64. */
function lossOf(logits: Float32Array, labels: Int32Array): number {
  const V = logits.length / labels.length
  let total = 0
  let scored = 0
  shiftLabels(labels).forEach((label, t) => {
    if (label === -100) return
    const row = Array.from(logits.subarray(t * V, (t + 1) * V))
    const most = Math.max(...row)
    total += most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0)) - row[label]
    scored++
  })
  return total / scored
}

/** Takes gradients, hands them over, frees them. */
function withGradients(
  model: OptModel,
  tokens: Int32Array,
  labels: Int32Array,
  options: { mask?: UnitMask; parameters?: boolean },
  work: (gradients: Gradients, traced: TracedGradients) => void,
): void {
  const trace = traceForward(model, tokens, options)
  const gradients = backward(model, trace, labels, options)
  try {
    work(gradients, { trace, gradients })
  } finally {
    gradients.dispose()
    trace.dispose()
  }
}

/** A direction in the space of some tensors, of length 1. */
type Direction = ReadonlyMap<string, Float32Array | Float64Array>

function lengthOf(direction: Direction): number {
  let squares = 0
  for (const values of direction.values()) for (const value of values) squares += value * value
  return Math.sqrt(squares)
}

function along(gradient: Direction, direction: Direction): number {
  let sum = 0
  for (const [name, values] of direction) {
    const of = gradient.get(name) as Float32Array
    values.forEach((value, i) => (sum += value * of[i]))
  }
  return sum
}

function scaled(direction: Direction, factor: number): Direction {
  return new Map([...direction].map(([name, values]) => [name, Float64Array.from(values, (v) => v * factor)]))
}

function randomLike(gradient: Direction, data: Data): Direction {
  const drawn = new Map([...gradient].map(([name, v]) => [name, Float64Array.from(v, () => data.normal())]))
  return scaled(drawn, 1 / lengthOf(drawn))
}

/** Tensors a step away. */
function moved(tensors: Tensors, direction: Direction, step: number): Tensors {
  return new Map(
    [...tensors].map(([name, { shape, values }]) => {
      const by = direction.get(name)
      return [name, { shape, values: by ? values.map((value, i) => value + step * by[i]) : values }]
    }),
  )
}

/** The loss of a case with given weights. */
async function lossWith(
  subject: Subject,
  model: ModelCase,
  tensors: Tensors,
  tokens: Int32Array,
  labels: Int32Array,
): Promise<number> {
  let loss = NaN
  await withModel(subject, model, (loaded) => void (loss = lossOf(feedOnce(loaded, tokens), labels)), tensors)
  return loss
}

/** A mask of numbers around 1. */
function softMask(model: ModelCase, data: Data): UnitMask {
  const { layers, heads, neurons } = model
  const table = (length: number): Float32Array => Float32Array.from({ length }, () => 0.5 + data.uniform())
  return makeMask({ layers, heads, neurons }, table(layers * heads), table(layers * neurons))
}

/**
 * The slope at 0 (Ridders): central differences at every step, each pair extrapolated so that the error is of fourth
 * order, and of these the one that agrees best with its neighbours. Models differ in sharpness, so no one step serves
 * them all; the gradient under test has no say in the choice.
 */
async function slopeOf(at: (step: number) => number | Promise<number>): Promise<number> {
  const central: number[] = []
  for (let power = COARSEST_POWER; power <= FINEST_POWER; power++) {
    const step = 2 ** -power
    central.push(((await at(step)) - (await at(-step))) / (2 * step))
  }
  const extrapolated = central.slice(1).map((fine, i) => (4 * fine - central[i]) / 3)
  let best = NaN
  let least = Infinity
  for (let i = 1; i + 1 < extrapolated.length; i++) {
    const [before, here, after] = extrapolated.slice(i - 1, i + 2)
    const disagreement = Math.max(Math.abs(here - before), Math.abs(here - after))
    if (disagreement < least) [best, least] = [here, disagreement]
  }
  return best
}

/** @throws Error if a gradient does not give the slope along a direction. */
function checkSlope(name: string, gradient: Direction, direction: Direction, slope: number): void {
  near(name, [along(gradient, direction)], [slope], SLOPE_ERROR * lengthOf(gradient) + SLOPE_NOISE)
}

/** The slope of the loss along a direction in the space of the mask. */
function maskSlope(
  loaded: OptModel,
  mask: UnitMask,
  direction: Direction,
  tokens: Int32Array,
  labels: Int32Array,
): Promise<number> {
  const [heads, neurons] = [...direction.values()]
  const at = (step: number): number => {
    const stepped = makeMask(
      mask.shape,
      mask.heads.map((value, i) => value + step * heads[i]),
      mask.neurons.map((value, i) => value + step * neurons[i]),
    )
    return lossOf(feedOnce(loaded, tokens, { mask: stepped, mode: 'simulate' }), labels)
  }
  return slopeOf(at)
}

export const gradientLaws = {
  parameters: forAll(
    'the gradient of every parameter = central finite difference, one tensor at a time and all together',
    [roomyModel],
    async (subject, model) => {
      const data = new Data(model.seed)
      const tokens = textOf(model, data)
      const labels = labelsOf(tokens, data)
      const tensors = awayFromKinks(model)
      const all = new Map<string, Float32Array>()
      await withModel(
        subject,
        model,
        (loaded) =>
          withGradients(loaded, tokens, labels, { parameters: true }, ({ parameters }) =>
            parameters.forEach((values, name) => all.set(name, values)),
          ),
        tensors,
      )
      const one = data.pick([...all.keys()])
      for (const gradient of [all, new Map([[one, all.get(one) as Float32Array]])]) {
        const length = lengthOf(gradient)
        const directions = [randomLike(gradient, data)]
        if (length > 0) directions.push(scaled(gradient, 1 / length))
        for (const direction of directions) {
          const slope = await slopeOf((step) =>
            lossWith(subject, model, moved(tensors, direction, step), tokens, labels),
          )
          const name = gradient === all ? 'all' : one
          checkSlope(name, gradient, direction, slope)
        }
      }
    },
    { runs: 20, examples: [[sharpModel]] },
  ),

  masks: forAll(
    'the derivative with respect to a mask = central finite difference, at any mask',
    [roomyModel],
    (subject, model) =>
      withModel(
        subject,
        model,
        async (loaded) => {
          const data = new Data(model.seed)
          const tokens = textOf(model, data)
          const labels = labelsOf(tokens, data)
          const mask = softMask(model, data)
          const gradient = new Map<string, Float32Array>()
          withGradients(loaded, tokens, labels, { mask }, (_, traced) => {
            const layers = Array.from({ length: model.layers }, (_, layer) => layer)
            const whole = (of: (layer: number) => Float32Array): Float32Array =>
              Float32Array.from(layers.flatMap((layer) => [...of(layer)]))
            gradient.set(
              'heads',
              whole((layer) => headMaskGradient(traced, layer)),
            )
            gradient.set(
              'neurons',
              whole((layer) => neuronMaskGradient(traced, layer)),
            )
          })
          const length = lengthOf(gradient)
          for (const direction of [
            randomLike(gradient, data),
            scaled(gradient, 1 / Math.max(length, 1e-9)),
          ]) {
            const slope = await maskSlope(loaded, mask, direction, tokens, labels)
            checkSlope('slope', gradient, direction, slope)
          }
        },
        awayFromKinks(model),
      ),
    { runs: 40 },
  ),

  padding: forAll(
    'the padding id receives no gradient from the embedding',
    [engineCase],
    async (subject, drawn) => {
      const { config, tensors, tokens } = made({
        ...drawn,
        llama: null,
        vocabulary: drawn.vocabulary + 1,
        tied: false,
      })
      if (tokens.length < 2) return
      tokens[0] = 1
      await withLoaded(subject, config, tensors, {}, (model) =>
        withGradients(model, tokens, tokens, { parameters: true }, ({ parameters }) => {
          const E = config.embeddingWidth
          const table = parameters.get(namesOf(config).tokenTable) as Float32Array
          sameBits('row', table.subarray(E, 2 * E), new Float32Array(E))
        }),
      )
    },
    { runs: 30 },
  ),

  agreement: forAll(
    'strict backends give the logits and gradients of the reference, bit for bit; each call of the others keeps its bound',
    [engineCase, anyMask],
    async ({ backend, load }, drawn, skip) => {
      const { config, tensors, tokens } = made(drawn)
      if (tokens.length < 2) return
      const mask = maskOf(drawn, skip)
      const eachResult = (model: OptModel, visit: (name: string, values: Float32Array) => void): void => {
        visit('logits', feedOnce(model, tokens))
        visit('skipped', feedOnce(model, tokens, { mask }))
        withGradients(model, tokens, tokens, { mask, parameters: true }, (gradients, traced) => {
          visit('loss', Float32Array.of(gradients.loss))
          for (let layer = 0; layer < drawn.layers; layer++) {
            visit(`headOut ${layer}`, gradients.headOut(layer))
            visit(`fc1Act ${layer}`, gradients.fc1Act(layer))
            visit(`fc1Pre ${layer}`, gradients.fc1Pre(layer))
            visit(`headMask ${layer}`, headMaskGradient(traced, layer))
            visit(`neuronMask ${layer}`, neuronMaskGradient(traced, layer))
          }
          gradients.parameters.forEach((values, name) => visit(name, values))
        })
      }
      const held = heldTo(backend)
      const reference = { backend: await createBackend('reference'), load: OptModel.load }
      const expected = new Map<string, Float32Array>()
      await withLoaded(reference, config, tensors, {}, (model) =>
        eachResult(model, (name, values) => expected.set(name, values.slice())),
      )
      await withLoaded({ load, backend: held.backend }, config, tensors, {}, (model) =>
        eachResult(model, (name, values) => held.compare(name, values, expected.get(name) as Float32Array)),
      )
    },
    { runs: 60 },
  ),
}
