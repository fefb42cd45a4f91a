/**
 * Slopes of the loss of a small model by finite differences.
 *
 * Differences are central, of a loss formed in float64 from float32 logits, along whole directions: the gradient's own, where
 * the slope is largest, and a random one, which a wrong gradient cannot hide from. Away from the kinks of ReLU in OPT: large biases
 * in fc1 fix which neurons are on, so that a small step turns none on or off.
 */
import { newerFamilies } from '../../spec/families.ts'
import { programOf } from '../../engine/program.ts'
import { countScored, shiftLabels } from '../../engine/loss.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { stepsOf } from '../../spec/program.ts'
import { Data } from '../../testing/seeded_data.ts'
import { near } from '../compare.ts'
import type { Text } from '../../criteria/pass.ts'
import { dot64, logSumExp64 } from '../float64.ts'
import { configOf, tensorsOf, type ModelCase } from './cases.ts'
import { moduleName } from './modules.ts'

/** Finite steps are 2^-4 down to 2^-13: coarse ones suffer from curvature, fine ones from rounding. */
const COARSEST_POWER = 4
const FINEST_POWER = 13

/**
 * How far a slope may be off: a share of the gradient's length, and what float32 logits leave of a slope of 0. Over
 * nearly 18,000 slopes of 4,500 models the worst used 0.6 of this.
 */
const SLOPE_ERROR = 0.003
const SLOPE_NOISE = 1e-3

/**
 * Two tokens or more, some of which are scored, one at least. None is the padding id, whose row of the table is by convention
 * not differentiated.
 */
export function scoredText(model: ModelCase, data: Data): Text {
  const ids = data.ids('ids', data.whole('length', 2, model.positions), model.vocabulary)
  const tokens = ids.map((id) => (id === 1 ? 0 : id))
  const kept = data.whole('scored in any case', 1, tokens.length - 1)
  const scored = data.mask('scored', tokens.length, (stream) => stream.chance(0.7))
  return { tokens, labels: tokens.map((id, t) => (t === kept || scored[t] === 1 ? id : -100)) }
}

/** The case with gates that have no kink, and without norms that are steep where queries, keys or a half are next to nothing. */
export function withoutKinks(model: ModelCase): ModelCase {
  if (!model.llama) return model
  const epsilon = Object.hasOwn(newerFamilies, model.llama.family ?? 'llama') ? 1 : model.llama.epsilon
  return { ...model, llama: { ...model.llama, activation: 'silu', epsilon } }
}

/** The weights of a case with smooth gates; every neuron that is rectified is firmly on or off. */
export function awayFromKinks(model: ModelCase): Map<string, HostTensor> {
  const tensors = tensorsOf(model)
  const config = configOf(model)
  if (stepsOf(programOf(config)).every(({ op }) => op !== 'relu')) return tensors
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
export function lossOf(logits: Float32Array, labels: Int32Array): number {
  const V = logits.length / labels.length
  let total = 0
  shiftLabels(labels).forEach((label, t) => {
    if (label === -100) return
    const row = logits.subarray(t * V, (t + 1) * V)
    total += logSumExp64(row) - row[label]
  })
  return total / countScored(labels)
}

/** A gradient by the names of tensors, or a direction of length 1 in their space. */
export type Direction = ReadonlyMap<string, Float32Array | Float64Array>

function lengthOf(direction: Direction): number {
  return Math.sqrt(along(direction, direction))
}

function along(gradient: Direction, direction: Direction): number {
  let sum = 0
  for (const [name, values] of direction) sum += dot64(values, gradient.get(name) as Float32Array)
  return sum
}

function scaled(direction: Direction, factor: number): Direction {
  return new Map([...direction].map(([name, values]) => [name, Float64Array.from(values, (v) => v * factor)]))
}

function randomLike(gradient: Direction, data: Data): Direction {
  const drawn = new Map([...gradient].map(([name, v]) => [name, Float64Array.from(v, () => data.normal())]))
  return scaled(drawn, 1 / lengthOf(drawn))
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

/**
 * Checks a gradient along its own and along a random direction.
 * @param lossAt the loss a step away in a direction
 * @throws Error if the gradient does not give the slope of the loss
 */
export async function checkGradient(
  name: string,
  gradient: Direction,
  data: Data,
  lossAt: (direction: Direction, step: number) => number | Promise<number>,
): Promise<void> {
  const length = lengthOf(gradient)
  const directions = [randomLike(gradient, data)]
  if (length > 0) directions.push(scaled(gradient, 1 / length))
  for (const direction of directions) {
    const slope = await slopeOf((step) => lossAt(direction, step))
    near(name, [along(gradient, direction)], [slope], SLOPE_ERROR * length + SLOPE_NOISE)
  }
}
