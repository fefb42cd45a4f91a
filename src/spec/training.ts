/**
 * How a network of the predictor learns (arXiv 2406.16635, emnlp_activation_predictor.py): AdamW on the mean squared error.
 *
 *   loss = Σ (y − target)² / (B O)                                        over a batch of B texts
 *   m = β1 m + (1 − β1) g     v = β2 v + (1 − β2) g²                      AdamW (Loshchilov and Hutter 2019)
 *   w = w (1 − r d) − r (m / (1 − β1ⁿ)) / (√(v / (1 − β2ⁿ)) + ε)          n the step, from 1
 *   r = rate (1 + cos(π (n − 1) / N)) / 2                                 cosine to 0 over all N steps
 *
 * This project adds: everything is seeded; a part of the texts is held out, and the epoch that does best on it is kept;
 * targets are divided by their spread; and W2 starts at 0 and b2 at the mean of the targets. So the start is the best
 * constant prediction, which is static pruning, and training cannot end with a worse one on the texts held out.
 */
import { adamw_step } from '../ops/adamw_step.ts'
import { linear_backward_bias, linear_backward_weight } from '../ops/linear_backward.ts'
import { mse, mse_backward } from '../ops/mse.ts'
import { Random } from '../tensor/random.ts'
import { linearInputMajor, reluBackward, tensor, zeros, type Tensor } from './arrays.ts'
import { f32, run, type Network } from './predictor.ts'

/** The settings of a training. */
export interface TrainingOptions {
  readonly hidden: number // R
  readonly epochs: number
  readonly batch: number
  readonly rate: number
  readonly decay: number // d
  readonly heldOut: number // share of the texts, in [0, 1)
  readonly patience: number // epochs without improvement on the texts held out before training ends
  readonly seed: number
}

/** A network and the two moments of each parameter, after some steps. */
export interface TrainingState {
  readonly step: number // n
  readonly network: Network
  readonly mean: Network // m
  readonly square: Network // v
}

/** The state before the first step. */
export function beginTraining(network: Network): TrainingState {
  return { step: 0, network, mean: zerosLike(network), square: zerosLike(network) }
}

/** One step of AdamW on a batch. f: [B, D]; target: [B, O] */
export function trainStep(
  state: TrainingState,
  f: Tensor,
  target: Tensor,
  { rate, decay }: Pick<TrainingOptions, 'rate' | 'decay'>,
): TrainingState {
  const { hidden, active, y } = run(state.network, f)
  const yGrad = zeros(...y.shape)
  mse_backward(yGrad.data, Float32Array.of(1), y.data, target.data, y.size)
  const hiddenGrad = reluBackward(linearInputMajor(yGrad, f32(state.network[2])), hidden)
  const grads = zerosLike(state.network)
  addGradients(grads[0], grads[1], hiddenGrad, f)
  addGradients(grads[2], grads[3], yGrad, active)
  const step = state.step + 1
  const [network, mean, square] = [copy(state.network), copy(state.mean), copy(state.square)]
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8]
  const settings = [rate, beta1, beta2, epsilon, decay, 1 - beta1 ** step, 1 - beta2 ** step] as const
  network.forEach(({ data: w }, p) =>
    adamw_step(w, mean[p].data, square[p].data, grads[p].data, ...settings, w.length),
  )
  return { step, network, mean, square }
}

/** The gradients of y = x weightᵀ + bias in the weight [O, I] and the bias [O]. */
function addGradients(weightGrad: Tensor, biasGrad: Tensor, yGrad: Tensor, x: Tensor): void {
  const [[T, O], I] = [yGrad.shape, x.shape[1]]
  linear_backward_weight(weightGrad.data, yGrad.data, x.data, null, T, O, I, O)
  linear_backward_bias(biasGrad.data, yGrad.data, null, T, O, O)
}

const each = (network: Network, change: (x: Tensor) => Tensor): Network =>
  network.map(change) as unknown as Network
const zerosLike = (network: Network): Network => each(network, ({ shape }) => zeros(...shape))
const copy = (network: Network): Network => each(network, (x) => tensor(x.data.slice(), ...x.shape))

/** Trains a network. @param rows features [D] of each text @param targets [O] of each text */
export function trainNetwork(
  rows: readonly Float32Array[],
  targets: readonly Float32Array[],
  options: TrainingOptions,
): Network {
  const { epochs, rate, decay, patience } = options
  const random = new Random(options.seed)
  const order = random.permutation(rows.length)
  const held = Math.min(rows.length - 1, Math.round(options.heldOut * rows.length))
  const [heldOut, training] = [order.subarray(0, held), order.subarray(held)]
  const { mean, spread } = momentsOf(training, targets)
  const scaled = targets.map((target) => target.map((value) => value / spread))
  const batch = Math.min(options.batch, training.length)
  const batchesOf = (texts: Int32Array): (readonly [f: Tensor, target: Tensor])[] =>
    Array.from({ length: Math.ceil(texts.length / batch) }, (_, b) => {
      const chosen = texts.subarray(b * batch, (b + 1) * batch)
      return [stack(rows, chosen), stack(scaled, chosen)]
    })
  const lossOf = (network: Network): number => {
    const loss = new Float32Array(1)
    let total = 0
    for (const [f, target] of batchesOf(heldOut)) {
      mse(loss, run(network, f).y.data, target.data, target.size)
      total += loss[0] * f.shape[0]
    }
    return total / held
  }
  const start = startOf(rows[0].length, options.hidden, mean, new Random(random.uint32()))
  let state = beginTraining(start)
  let best = { network: start, loss: lossOf(start), epoch: 0 }
  const steps = epochs * Math.ceil(training.length / batch)
  for (let epoch = 1; epoch <= epochs && epoch - best.epoch <= patience; epoch++) {
    for (const [f, target] of batchesOf(
      random.permutation(training.length).map((place) => training[place]),
    )) {
      const now = (rate * (1 + Math.cos(Math.PI * (state.step / steps)))) / 2
      state = trainStep(state, f, target, { rate: now, decay })
    }
    const loss = lossOf(state.network)
    if (held === 0 || loss < best.loss) best = { network: state.network, loss, epoch }
  }
  const [W1, b1, ...scaledLayer] = best.network
  for (const { data } of scaledLayer) data.forEach((value, i) => (data[i] = value * spread))
  return [W1, b1, ...scaledLayer]
}

/** The mean target [O] of these texts over its spread, the root mean square of what is left without the mean. */
function momentsOf(texts: Int32Array, targets: readonly Float32Array[]) {
  const { length } = targets[0]
  const mean = new Float64Array(length)
  const squares = new Float64Array(length)
  for (const text of texts) targets[text].forEach((value, i) => (mean[i] += value / texts.length))
  for (const text of texts) targets[text].forEach((value, i) => (squares[i] += (value - mean[i]) ** 2))
  const deviations = squares.map((total) => Math.sqrt(total / texts.length))
  const total = deviations.reduce((sum, deviation) => sum + deviation ** 2, 0)
  // Targets that are all alike are left as they are.
  const spread = Math.sqrt(total / length) || 1
  return { mean: Float32Array.from(mean).map((value) => value / spread), spread }
}

/** W1 and b1 uniform in ±1/√D, as in PyTorch; W2 zero; b2 given. */
function startOf(D: number, R: number, b2: Float32Array, random: Random): Network {
  const uniform = (...shape: number[]): Tensor => {
    const x = zeros(...shape)
    x.data.forEach((_, i) => (x.data[i] = (2 * random.uniform() - 1) * (1 / Math.sqrt(D))))
    return x
  }
  const O = b2.length
  return [uniform(R, D), uniform(R), zeros(O, R), tensor(b2, O)]
}

/** The chosen rows, one under the other. */
function stack(rows: readonly Float32Array[], chosen: Int32Array): Tensor {
  const x = zeros(chosen.length, rows[0].length)
  chosen.forEach((place, at) => x.data.set(rows[place], at * rows[0].length))
  return x
}
