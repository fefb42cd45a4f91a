/**
 * The training of a predictor's network, computed a second time: plain loops over numbers, from the definitions, one example
 * after the other. It rounds by the same float contract, so src/training must have equal bits and needs no tolerance. Only that
 * contract (`dot`, `sum`, `exp`, `log`) and the random stream are shared with src.
 */
import type { Backend } from '../../src/backends/backend.ts'
import { dot, exp, log, sum } from '../../src/ops/float32.ts'
import type { NetworkShape, NetworkValues } from '../../src/predictor/network.ts'
import { Random } from '../../src/tensor/random.ts'
import { NetworkTrainer, type Loss, type TrainingSet } from '../../src/training/network_trainer.ts'
import type { EpochReport, NetworkOptions } from '../../src/training/predictor_training.ts'

const { fround } = Math

/** A network in training: its loss over some examples, one step on them, and its parameters. */
interface Learner {
  loss(places: readonly number[]): number
  /** @returns the loss before the step */
  step(places: readonly number[], rate: number): number
  read(): NetworkValues
}

/** Makes a network in training. */
export type MakeLearner = (
  shape: NetworkShape,
  start: NetworkValues,
  decay: number,
  loss: Loss,
  set: TrainingSet,
) => Learner

/** A parameter with its gradient and its two moments. */
interface Parameter {
  readonly values: Float32Array
  readonly grad: Float32Array
  readonly mean: Float32Array
  readonly square: Float32Array
}

/** The loss of one output and its derivative, before the mean over outputs. */
function costOf(loss: Loss, output: number, target: number): { cost: number; slope: number } {
  if (loss.name === 'mse') {
    const error = fround(output - target)
    return { cost: fround(error * error), slope: error }
  }
  const least = fround(loss.negativeWeight)
  const weight = fround(fround(target * fround(1 - least)) + least)
  const small = exp(-Math.abs(output))
  const probability = fround((output > 0 ? 1 : small) / fround(1 + small))
  const linear = fround(Math.max(output, 0) - fround(output * target))
  return {
    cost: fround(weight * fround(linear + log(fround(1 + small)))),
    slope: fround(weight * fround(probability - target)),
  }
}

/** Two linear layers that learn by AdamW: betas 0.9 and 0.999, epsilon 1e-8. */
export const plainLearner: MakeLearner = (shape, start, decay, loss, { rows, targets }) => {
  const { inputs: I, hidden: R, outputs: O } = shape
  const linear = shape.form === 'low-rank'
  const parameter = (values: Float32Array): Parameter => ({
    values: values.slice(),
    grad: values.map(() => 0),
    mean: values.map(() => 0),
    square: values.map(() => 0),
  })
  const [w1, b1] = [parameter(start.inputWeight), parameter(start.inputBias)]
  const [w2, b2] = [parameter(start.outputWeight), parameter(start.outputBias)]

  const affine = (x: Float32Array, weight: Float32Array, bias: Float32Array, outputs: number): Float32Array =>
    Float32Array.from({ length: outputs }, (_, o) => {
      const product = dot(x, 0, weight, o * x.length, x.length)
      return linear ? product : product + bias[o]
    })
  const forward = (x: Float32Array): { pre: Float32Array; hidden: Float32Array; y: Float32Array } => {
    const pre = affine(x, w1.values, b1.values, R)
    const hidden = linear ? pre : pre.map((z) => (z > 0 ? z : 0))
    return { pre, hidden, y: affine(hidden, w2.values, b2.values, O) }
  }
  const meanLoss = (places: readonly number[]): number => {
    const costs = places.flatMap((place) =>
      Array.from(forward(rows[place]).y, (y, o) => costOf(loss, y, targets[place][o]).cost),
    )
    return costs.length === 0 ? 0 : fround(sum(Float32Array.from(costs), 0, costs.length) / costs.length)
  }
  const backward = (x: Float32Array, target: Float32Array, count: number): void => {
    const { pre, hidden, y } = forward(x)
    const share = fround((loss.name === 'mse' ? 2 : 1) / count)
    const slopes = y.map((value, o) => share * costOf(loss, value, target[o]).slope)
    const back = new Float32Array(R)
    for (let o = 0; o < O; o++) {
      if (!linear) b2.grad[o] += slopes[o]
      for (let r = 0; r < R; r++) {
        w2.grad[o * R + r] += fround(slopes[o] * hidden[r])
        back[r] += fround(slopes[o] * w2.values[o * R + r])
      }
    }
    for (let r = 0; r < R; r++) {
      const slope = linear || pre[r] > 0 ? back[r] : 0
      if (!linear) b1.grad[r] += slope
      for (let i = 0; i < I; i++) w1.grad[r * I + i] += fround(slope * x[i])
    }
  }
  let steps = 0
  return {
    loss: meanLoss,
    step: (places, rate) => {
      const before = meanLoss(places)
      for (const place of places) backward(rows[place], targets[place], places.length * O)
      steps++
      for (const one of [w1, b1, w2, b2]) adamw(one, steps, rate, decay, 0.9, 0.999)
      return before
    },
    read: () => ({
      inputWeight: w1.values.slice(),
      inputBias: b1.values.slice(),
      outputWeight: w2.values.slice(),
      outputBias: b2.values.slice(),
    }),
  }
}

/** The network of src, for pooling networks, whose gradients another law checks. It gets the examples of each step. */
export const engineLearner =
  (backend: Backend, trainers: NetworkTrainer[]): MakeLearner =>
  (shape, start, decay, loss, set) => {
    const trainer = new NetworkTrainer(backend, shape, start, set.rows.length, decay, loss, 4)
    trainers.push(trainer)
    return {
      loss: (places) => trainer.loss(set, Int32Array.from(places)),
      step: (places, rate) => trainer.step(set, Int32Array.from(places), rate),
      read: () => trainer.network.read(),
    }
  }

/** One step of AdamW (Loshchilov and Hutter 2019, algorithm 2), number by number; the gradient is 0 afterwards. */
export function adamw(
  { values, grad, mean, square }: Parameter,
  step: number, // from 1
  rate: number,
  decay: number,
  beta1: number,
  beta2: number,
): void {
  const [unbias1, unbias2] = [fround(1 - beta1 ** step), fround(1 - beta2 ** step)]
  const [b1, b2, r] = [fround(beta1), fround(beta2), fround(rate)]
  for (let n = 0; n < values.length; n++) {
    const g = grad[n]
    mean[n] = fround(b1 * mean[n]) + fround(fround(1 - b1) * g)
    square[n] = fround(b2 * square[n]) + fround(fround(1 - b2) * fround(g * g))
    const spread = fround(fround(Math.sqrt(fround(square[n] / unbias2))) + fround(1e-8))
    const kept = fround(values[n] * fround(1 - fround(r * fround(decay))))
    values[n] = kept - fround(fround(r * fround(mean[n] / unbias1)) / spread)
    grad[n] = 0
  }
}

/** Mean and standard deviation of each output over the training part, in float64. */
function momentsOf(rows: readonly Float32Array[], outputs: number): { mean: number[]; deviation: number[] } {
  const columns = Array.from({ length: outputs }, (_, o) => rows.map((row) => row[o]))
  const average = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value / values.length, 0)
  const mean = columns.map(average)
  const deviation = columns.map((column, o) => {
    const total = column.reduce((sum, value) => sum + (value - mean[o]) ** 2, 0)
    return Math.sqrt(total / column.length)
  })
  return { mean: mean.map(fround), deviation }
}

/** The divisor of each output during training; 1 for a constant output. */
function spreadOf(deviation: readonly number[], kind: 'all' | 'unit'): number[] {
  const all = Math.sqrt(deviation.reduce((total, value) => total + value ** 2, 0) / deviation.length)
  return deviation.map((own) => (kind === 'unit' ? own : all) || 1)
}

/** The log odds of the constant with the least weighted loss, clamped to half an example from 0 and 1. */
function oddsOf(share: number, negativeWeight: number, examples: number): number {
  const weighted = share / (share + negativeWeight * (1 - share))
  const surest = 1 - 0.5 / (examples + 1)
  const p = Math.min(surest, Math.max(1 - surest, weighted))
  return log(fround(p / (1 - p)))
}

/** The initial parameters: uniform in ±1/sqrt(I); zeros and the best constant in the output layer. */
function startOf(shape: NetworkShape, constant: readonly number[], seed: number): NetworkValues {
  const { inputs: I, hidden: R, outputs: O } = shape
  const random = new Random(seed)
  const uniform = (length: number): Float32Array =>
    Float32Array.from({ length }, () => (2 * random.uniform() - 1) * (1 / Math.sqrt(I)))
  const linear = shape.form === 'low-rank'
  const layers = {
    inputWeight: uniform(R * I),
    inputBias: uniform(linear ? 0 : R),
    outputWeight: new Float32Array(O * R),
    outputBias: Float32Array.from(linear ? [] : constant),
  }
  if (!shape.pools) return layers
  return {
    ...layers,
    queryWeight: uniform(I * I),
    queryBias: new Float32Array(I),
    keyWeight: uniform(I * I),
    valueWeight: Float32Array.from({ length: I * I }, (_, n) => (n % (I + 1) === 0 ? 1 : 0)),
    valueBias: new Float32Array(I),
  }
}

/** Splits a list into groups of `size`; the last group has the rest. */
function groupsOf<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  )
}

/** The result of a training. */
export interface TrainedByHand {
  readonly values: NetworkValues
  readonly heldOut: number
  readonly reports: readonly EpochReport[]
}

/** Trains one network on a set of scaled rows. */
export function trainByHand(
  shape: NetworkShape,
  { rows, targets }: TrainingSet,
  seed: number,
  options: NetworkOptions,
  makeLearner: MakeLearner = plainLearner,
): TrainedByHand {
  const { epochs, rate, decay, patience, loss = { name: 'mse' }, spread: kind = 'all' } = options
  const random = new Random(seed)
  const order = [...random.permutation(rows.length)]
  const heldOut = order.splice(0, Math.min(rows.length - 1, Math.round(options.heldOut * rows.length)))
  const training = order
  const { mean, deviation } = momentsOf(
    training.map((place) => targets[place]),
    shape.outputs,
  )
  const spread = loss.name === 'mse' ? spreadOf(deviation, kind) : null
  const constant = mean.map((value, o) =>
    loss.name === 'mse' ? value / (spread?.[o] ?? 1) : oddsOf(value, loss.negativeWeight, training.length),
  )
  const scaled = targets.map((row) => row.map((value, o) => value / (spread?.[o] ?? 1)))
  const start = startOf(shape, constant, random.uint32())
  const learner = makeLearner(shape, start, decay, loss, { rows, targets: scaled })

  const batch = Math.min(options.batch, training.length)
  /** Sum of losses, one for each example. */
  const sumOver = (groups: readonly number[][], lossOf: (group: number[]) => number): number =>
    groups.reduce((total, group) => total + lossOf(group) * group.length, 0)
  const meanOf = (places: readonly number[]): number =>
    places.length === 0 ? 0 : sumOver(groupsOf(places, batch), (group) => learner.loss(group)) / places.length
  const atFirst = meanOf(heldOut)
  const unit = loss.name === 'mse' ? 1 : meanOf(training)

  const allSteps = epochs * Math.ceil(training.length / batch)
  const reports: EpochReport[] = []
  let best = { epoch: 0, loss: atFirst, values: learner.read() }
  let step = 0
  for (let epoch = 1; epoch <= epochs; epoch++) {
    if (epoch - best.epoch > patience) break
    const shuffled = Array.from(random.permutation(training.length), (place) => training[place])
    const total = sumOver(groupsOf(shuffled, batch), (group) =>
      learner.step(group, (rate * (1 + Math.cos((Math.PI * step++) / allSteps))) / 2),
    )
    const found = meanOf(heldOut)
    reports.push({ epoch, epochs, trained: total / training.length / unit, heldOut: found / atFirst })
    if (heldOut.length === 0 || found < best.loss) best = { epoch, loss: found, values: learner.read() }
  }
  const { outputWeight, outputBias } = best.values
  const values: NetworkValues = {
    ...best.values,
    outputWeight: outputWeight.map((value, n) => value * (spread?.[Math.floor(n / shape.hidden)] ?? 1)),
    outputBias: outputBias.map((value, o) => value * (spread?.[o] ?? 1)),
  }
  return { values, heldOut: best.loss / atFirst, reports }
}
