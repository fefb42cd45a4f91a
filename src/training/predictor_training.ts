/**
 * Trains the networks of predictors with AdamW and a cosine schedule to 0, as in the released codes, with three differences:
 * everything is seeded; a part of the examples is held out, and the epoch with the lowest held-out loss is kept; and training
 * by squared error starts at the mean of the targets, so the held-out loss is never above that of the best constant, which
 * static pruning uses.
 */
import type { Backend } from '../backends/backend.ts'
import { log } from '../ops/float32.ts'
import { columnMoments } from '../predictor/features.ts'
import { startingNetwork, type NetworkShape, type NetworkValues } from '../predictor/network.ts'
import { Random } from '../tensor/random.ts'
import { NetworkTrainer, type Loss, type TrainingSet } from './network_trainer.ts'
import { pause } from '../platform/pause.ts'
import { cosineSchedule } from './schedule.ts'

/** How the networks of a predictor are trained. The usual values are those of `shadowllm train` and `settingsBySize`. */
export interface TrainingOptions {
  /** How many times the training part is passed through at most; usually 40. */
  readonly epochs: number
  /** Examples of one step of the optimiser; all of them where there are fewer. Usually 32. */
  readonly batch: number
  /** The highest learning rate, that of the first step: a cosine brings it to 0. Usually 0.001. */
  readonly rate: number
  /** Decoupled weight decay of AdamW; usually 0.01. */
  readonly decay: number
  /** The share of examples that are held out and choose the epoch, from 0 to 1; usually 0.1. */
  readonly heldOut: number
  /** Epochs without improvement on the held-out part after which training stops; usually 8. */
  readonly patience: number
  /**
   * The scale of the squared error. `all` (default): the same for all outputs, so units whose scores vary most dominate.
   * `unit`: the standard deviation of each output over the training part, so that every unit has the same weight.
   */
  readonly spread?: 'all' | 'unit'
  /** Ends the training; the call then throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** Losses are relative: 1 is the loss of the best constant, the mean of the training targets. */
export interface EpochReport {
  readonly epoch: number // from 1
  readonly epochs: number
  readonly trained: number
  readonly heldOut: number
}

/** A trained network and its loss. */
export interface TrainedNetwork {
  readonly values: NetworkValues
  /** Held-out loss of the kept epoch, relative to that of the best constant; NaN without held-out examples. */
  readonly heldOut: number
}

/** Options of one network. */
export type NetworkOptions = TrainingOptions & {
  /** Default: mean squared error. */
  readonly loss?: Loss
  readonly onEpoch?: (report: EpochReport) => void
}

/** Trains one network. @throws the signal's reason if it is aborted, with all buffers freed */
export async function trainNetwork(
  backend: Backend,
  shape: NetworkShape,
  { rows, targets }: TrainingSet,
  seed: number,
  options: NetworkOptions,
): Promise<TrainedNetwork> {
  const random = new Random(seed)
  const order = random.permutation(rows.length)
  const held = Math.min(rows.length - 1, Math.round(options.heldOut * rows.length))
  const heldOut = order.subarray(0, held)
  const training = order.subarray(held)
  const { loss = { name: 'mse' } } = options
  const { start, spread } = startOf(targets, training, shape.outputs, loss, options.spread ?? 'all')
  const scaled = spread === null ? targets : targets.map((row) => row.map((y, i) => y / spread[i]))
  const set = { rows, targets: scaled }
  const batch = Math.min(options.batch, training.length)
  const values = startingNetwork(shape, start, new Random(random.uint32()))
  const longest = rows.reduce((most, row) => Math.max(most, row.length / shape.inputs), 0)
  const trainer = new NetworkTrainer(backend, shape, values, batch, options.decay, loss, longest)
  try {
    const constant = trainer.loss(set, heldOut)
    // Targets of a squared error were scaled so that the best constant has a training loss of 1.
    const unit = loss.name === 'mse' ? 1 : trainer.loss(set, training)
    let kept = { values: trainer.network.read(), heldOut: constant, epoch: 0 }
    const stepsPerEpoch = Math.ceil(training.length / batch)
    const schedule = cosineSchedule(options.rate, options.epochs * stepsPerEpoch)
    let step = 0
    for (let epoch = 1; epoch <= options.epochs && epoch - kept.epoch <= options.patience; epoch++) {
      const shuffled = random.permutation(training.length).map((place) => training[place])
      let total = 0
      for (let at = 0; at < shuffled.length; at += batch) {
        const chosen = shuffled.subarray(at, at + batch)
        total += trainer.step(set, chosen, schedule(step++)) * chosen.length
        // An epoch over whole prompts takes long.
        if (shape.pools) await pause(options.signal)
      }
      const found = trainer.loss(set, heldOut)
      if (held === 0 || found < kept.heldOut) kept = { values: trainer.network.read(), heldOut: found, epoch }
      const { epochs } = options
      const trained = total / training.length / unit
      options.onEpoch?.({ epoch, epochs, trained, heldOut: found / constant })
      await pause(options.signal)
    }
    return { values: spread ? unscale(kept.values, spread) : kept.values, heldOut: kept.heldOut / constant }
  } finally {
    trainer.dispose()
  }
}

/** The initial prediction of a network, and the divisor of its targets. */
function startOf(
  rows: readonly Float32Array[],
  chosen: Int32Array,
  length: number,
  loss: Loss,
  kind: 'all' | 'unit',
): { start: Float32Array; spread: Float64Array | null } {
  const training = Array.from(chosen, (place) => rows[place])
  const moments = columnMoments(training, length)
  const mean = Float32Array.from(moments.mean)
  if (loss.name === 'mse') {
    const { deviation } = moments
    const spread = kind === 'unit' ? deviation : deviation.fill(rootMeanSquare(deviation))
    // A constant target is not scaled.
    for (let i = 0; i < length; i++) if (spread[i] === 0) spread[i] = 1
    return { start: mean.map((value, i) => value / spread[i]), spread }
  }
  const { negativeWeight } = loss
  // Log odds, with half an example of each label added, so that they are finite.
  const most = 1 - 0.5 / (chosen.length + 1)
  const start = mean.map((share) => {
    // The constant with the least weighted loss.
    const weighted = share / (share + negativeWeight * (1 - share))
    const p = Math.min(most, Math.max(1 - most, weighted))
    return log(Math.fround(p / (1 - p)))
  })
  return { start, spread: null }
}

function rootMeanSquare(values: Float64Array): number {
  const total = values.reduce((sum, value) => sum + value ** 2, 0)
  return Math.sqrt(total / Math.max(1, values.length))
}

/** Turns a network that predicts targets / spread into one that predicts targets. */
function unscale(values: NetworkValues, spread: Float64Array): NetworkValues {
  const { outputWeight, outputBias } = values
  const width = outputWeight.length / Math.max(1, spread.length)
  return {
    ...values,
    outputWeight: outputWeight.map((value, n) => value * spread[Math.floor(n / width)]),
    outputBias: outputBias.map((value, i) => value * spread[i]),
  }
}
