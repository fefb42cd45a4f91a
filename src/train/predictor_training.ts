/**
 * Training a predictor: each network on mean squared error, AdamW, rate 1e-3 along a cosine to 0, as the released
 * code does, and three things it does not do. Everything is seeded. A part of the examples is held out, and
 * the values of the epoch that did best on it are kept. Training starts at the mean of the targets, so the result is
 * never worse on the held-out part than the best constant - which is what static pruning uses.
 */
import type { Backend } from '../backends/backend.ts'
import { BufferScope } from '../backends/buffer_scope.ts'
import type { UnitScores } from '../masks/selection.ts'
import { makeTargets, scaleFeatures } from '../predictor/features.ts'
import { Mlp, mlpParameterNames, startingValues, type MlpShape, type MlpValues } from '../predictor/mlp.ts'
import {
  networkShape,
  ShadowPredictor,
  unitKinds,
  type PredictorCard,
  type UnitKind,
} from '../predictor/shadow.ts'
import { UsageError } from '../tensor/errors.ts'
import { Random } from '../tensor/random.ts'
import { AdamW } from './adamw.ts'
import { pause } from './pause.ts'
import { cosineSchedule } from './schedule.ts'

/** One calibration example: what the predictor sees and what is true of it. */
export interface Example {
  /** The layer-0 context of the last prompt token: [D]. */
  readonly context: Float32Array
  /** A criterion's scores: [L, H] and [L, F]. */
  readonly scores: UnitScores
}

/** How a predictor is trained. */
export interface TrainingOptions {
  readonly epochs: number
  readonly batch: number
  /** The highest learning rate. */
  readonly rate: number
  /** Decoupled weight decay. */
  readonly decay: number
  /** Share of the examples that is not trained on and chooses the epoch. */
  readonly heldOut: number
  /** Epochs without improvement on the held-out part after which training stops. */
  readonly patience: number
  readonly signal?: AbortSignal
  /** Called after each epoch of each network. */
  readonly onEpoch?: (kind: UnitKind, report: EpochReport) => void
}

/** Losses are relative: 1 is the loss of the best constant, the mean of the training targets. */
export interface EpochReport {
  readonly epoch: number // from 1
  readonly epochs: number
  readonly trained: number
  readonly heldOut: number
}

/** A predictor and how well it does. */
export interface TrainedPredictor {
  readonly predictor: ShadowPredictor
  /** Held-out loss of the kept epoch, relative to the best constant's; NaN where nothing was held out. */
  readonly heldOut: Readonly<Record<UnitKind, number>>
}

/**
 * Trains both networks of a predictor.
 * @throws UsageError EXAMPLES for fewer than two examples; the signal's reason if it is aborted
 */
export async function trainPredictor(
  backend: Backend,
  card: PredictorCard,
  examples: readonly Example[],
  options: TrainingOptions,
): Promise<TrainedPredictor> {
  if (examples.length < 2)
    throw new UsageError('EXAMPLES', `examples: expected at least 2, got ${examples.length}`)
  const rows = examples.map((example) => scaleFeatures(example.context, card.features))
  const trained = {} as Record<UnitKind, TrainedNetwork>
  for (const kind of unitKinds) {
    const targets = examples.map((example) =>
      makeTargets(example.scores[kind], card.shape[kind], card.targets),
    )
    const set: TrainingSet = { rows, targets }
    trained[kind] = await trainNetwork(backend, networkShape(card, kind), set, card.seed, {
      ...options,
      onEpoch: (report) => options.onEpoch?.(kind, report),
    })
  }
  const values = { heads: trained.heads.values, neurons: trained.neurons.values }
  return {
    predictor: new ShadowPredictor(backend, card, values),
    heldOut: { heads: trained.heads.heldOut, neurons: trained.neurons.heldOut },
  }
}

/** Rows of inputs [I] and of targets [O], one per example. */
export interface TrainingSet {
  readonly rows: readonly Float32Array[]
  readonly targets: readonly Float32Array[]
}

/** One network and how well it does. */
export interface TrainedNetwork {
  readonly values: MlpValues
  /** As `TrainedPredictor.heldOut`. */
  readonly heldOut: number
}

type NetworkOptions = Omit<TrainingOptions, 'onEpoch'> & { readonly onEpoch?: (report: EpochReport) => void }

/** Trains one network. @throws the signal's reason if it is aborted; nothing stays allocated then */
export async function trainNetwork(
  backend: Backend,
  shape: MlpShape,
  { rows, targets }: TrainingSet,
  seed: number,
  options: NetworkOptions,
): Promise<TrainedNetwork> {
  const random = new Random(seed)
  const order = random.permutation(rows.length)
  const held = Math.min(rows.length - 1, Math.round(options.heldOut * rows.length))
  const heldOut = order.subarray(0, held)
  const training = order.subarray(held)
  const { mean, spread } = momentsOf(targets, training, shape.outputs)
  const scaled = targets.map((row) => row.map((value) => value / spread))
  const start = mean.map((value) => value / spread)
  const batch = Math.min(options.batch, training.length)
  const trainer = new NetworkTrainer(
    backend,
    shape,
    startingValues(shape, start, random.uint32()),
    batch,
    options.decay,
  )
  try {
    const set = { rows, targets: scaled }
    const constant = trainer.loss(set, heldOut)
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
      }
      const loss = trainer.loss(set, heldOut)
      if (held === 0 || loss < kept.heldOut) kept = { values: trainer.network.read(), heldOut: loss, epoch }
      // Targets were scaled so that the best constant has a training loss of 1.
      const report = {
        epoch,
        epochs: options.epochs,
        trained: total / training.length,
        heldOut: loss / constant,
      }
      options.onEpoch?.(report)
      await pause(options.signal)
    }
    return { values: unscale(kept.values, spread), heldOut: kept.heldOut / constant }
  } finally {
    trainer.dispose()
  }
}

/** The mean of the chosen rows, and the root mean square of what is left when it is subtracted (1 if that is 0). */
function momentsOf(
  rows: readonly Float32Array[],
  chosen: Int32Array,
  length: number,
): { mean: Float32Array; spread: number } {
  const mean = new Float64Array(length)
  for (const place of chosen) for (let i = 0; i < length; i++) mean[i] += rows[place][i] / chosen.length
  let total = 0
  for (const place of chosen) for (let i = 0; i < length; i++) total += (rows[place][i] - mean[i]) ** 2
  const spread = Math.sqrt(total / Math.max(1, chosen.length * length))
  return { mean: Float32Array.from(mean), spread: spread > 0 ? spread : 1 }
}

/** Turns a network that predicts targets / spread into one that predicts targets. */
function unscale(values: MlpValues, spread: number): MlpValues {
  const { outputWeight, outputBias } = values
  return {
    ...values,
    outputWeight: outputWeight.map((value) => value * spread),
    outputBias: outputBias.map((value) => value * spread),
  }
}

/** A network with all it needs to be trained in batches. */
export class NetworkTrainer {
  readonly network: Mlp
  readonly #optimiser: AdamW
  readonly #scope: BufferScope
  readonly #batch: number
  readonly #buffers

  constructor(backend: Backend, shape: MlpShape, values: MlpValues, batch: number, decay: number) {
    const scope = new BufferScope(backend)
    this.network = new Mlp(backend, shape, values)
    const { parameters } = this.network
    this.#optimiser = new AdamW(
      backend,
      mlpParameterNames.map((name) => parameters[name]),
      { decay },
    )
    this.#scope = scope
    this.#batch = batch
    this.#buffers = {
      x: scope.allocate(batch * shape.inputs),
      target: scope.allocate(batch * shape.outputs),
      pass: this.network.makePass(scope, batch),
      yGrad: scope.allocate(batch * shape.outputs),
      hiddenGrad: scope.allocate(batch * shape.hidden),
      loss: scope.allocate(1),
      one: scope.upload(Float32Array.of(1)),
    }
  }

  /** One step on the chosen examples, at most a batch; returns their mean loss before it. */
  step(set: TrainingSet, chosen: Int32Array, rate: number): number {
    const loss = this.gradients(set, chosen)
    this.#optimiser.step(rate)
    return loss
  }

  /** Adds the gradients of the mean loss of the chosen examples; returns that loss. `gradientOf` reads them. */
  gradients(set: TrainingSet, chosen: Int32Array): number {
    const { x, target, pass, yGrad, hiddenGrad, one } = this.#buffers
    const T = chosen.length
    const loss = this.#forward(set, chosen)
    const { ops } = this.network.backend
    ops.mse_backward(yGrad, one, pass.y, target, T * this.network.shape.outputs)
    const [inputWeight, inputBias, outputWeight, outputBias] = this.#optimiser.grads
    this.network.backward({ inputWeight, inputBias, outputWeight, outputBias }, pass, hiddenGrad, yGrad, x, T)
    return loss
  }

  /** The gradients added since the last step, as values. */
  readGradients(): MlpValues {
    const [inputWeight, inputBias, outputWeight, outputBias] = this.#optimiser.grads.map((grad) =>
      this.network.backend.readF32(grad),
    )
    return { inputWeight, inputBias, outputWeight, outputBias }
  }

  /** The mean loss of any number of examples; 0 for none. */
  loss(set: TrainingSet, chosen: Int32Array): number {
    let total = 0
    for (let at = 0; at < chosen.length; at += this.#batch) {
      const part = chosen.subarray(at, at + this.#batch)
      total += this.#forward(set, part) * part.length
    }
    return chosen.length === 0 ? 0 : total / chosen.length
  }

  dispose(): void {
    this.#optimiser.dispose()
    this.network.dispose()
    this.#scope.dispose()
  }

  #forward(set: TrainingSet, chosen: Int32Array): number {
    const { x, target, pass, loss } = this.#buffers
    const { backend, shape } = this.network
    chosen.forEach((place, row) => {
      backend.write(x, set.rows[place], row * shape.inputs)
      backend.write(target, set.targets[place], row * shape.outputs)
    })
    this.network.forward(pass, x, chosen.length)
    // A model of one layer has nothing to predict.
    if (shape.outputs === 0) return 0
    backend.ops.mse(loss, pass.y, target, chosen.length * shape.outputs)
    return backend.readF32(loss)[0]
  }
}
