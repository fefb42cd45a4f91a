/**
 * How a network of the predictor learns (arXiv 2406.16635, emnlp_activation_predictor.py): mean squared error,
 *
 *   loss = Σ (y − target)² / (B O)                                        over a batch of B texts
 *   m = β1 m + (1 − β1) g     v = β2 v + (1 − β2) g²                      AdamW (Loshchilov and Hutter 2019)
 *   w = w (1 − r d) − r (m / (1 − β1ⁿ)) / (√(v / (1 − β2ⁿ)) + ε)          n the step, from 1
 *   r = rate (1 + cos(π (n − 1) / steps)) / 2                             cosine to 0, every step
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
export interface Training {
  readonly hidden: number // R
  readonly epochs: number
  readonly batch: number
  readonly rate: number
  /** Weight decay d. */
  readonly decay: number
  /** The share of texts held out. */
  readonly heldOut: number
  /** Epochs without improvement after which training ends. */
  readonly patience: number
  readonly seed: number
}

/** A network during training: its parameters and the two moments of each. */
interface Moments {
  readonly step: number // n
  readonly mean: Network // m
  readonly square: Network // v
}

const names = ['inputWeight', 'inputBias', 'outputWeight', 'outputBias'] as const

function mapNetwork(network: Network, change: (x: Tensor) => Tensor): Network {
  return Object.fromEntries(names.map((name) => [name, change(network[name])])) as unknown as Network
}

/** The moments before the first step. */
export function noMoments(network: Network): Moments {
  const nothing = (): Network => mapNetwork(network, ({ shape }) => zeros(...shape))
  return { step: 0, mean: nothing(), square: nothing() }
}

/** Mean squared error of outputs y [B, O]. */
export function lossOf(y: Tensor, target: Tensor): number {
  const loss = new Float32Array(1)
  if (y.size > 0) mse(loss, y.data, target.data, y.size)
  return loss[0]
}

/** One step of AdamW on a batch. f: [B, D]; target: [B, O] */
export function trainStep(
  network: Network,
  moments: Moments,
  f: Tensor,
  target: Tensor,
  { rate, decay }: Pick<Training, 'rate' | 'decay'>,
): { network: Network; moments: Moments; loss: number } {
  const { hidden, active, y } = run(network, f)
  const grads = mapNetwork(network, ({ shape }) => zeros(...shape))
  const yGrad = zeros(...y.shape)
  if (y.size > 0) mse_backward(yGrad.data, Float32Array.of(1), y.data, target.data, y.size)
  addLinearGradients(grads.outputWeight, grads.outputBias, yGrad, active)
  const hiddenGrad = reluBackward(linearInputMajor(yGrad, f32(network.outputWeight)), hidden)
  addLinearGradients(grads.inputWeight, grads.inputBias, hiddenGrad, f)
  const step = moments.step + 1
  const copy = (x: Tensor): Tensor => tensor(x.data.slice(), ...x.shape)
  const [next, mean, square] = [network, moments.mean, moments.square].map((one) => mapNetwork(one, copy))
  for (const name of names) {
    const arrays = [next[name].data, mean[name].data, square[name].data, grads[name].data] as const
    const [beta1, beta2] = [0.9, 0.999]
    const corrections = [1 - beta1 ** step, 1 - beta2 ** step] as const
    adamw_step(...arrays, rate, beta1, beta2, 1e-8, decay, ...corrections, next[name].size)
  }
  return { network: next, moments: { step, mean, square }, loss: lossOf(y, target) }
}

/** The gradients of y = x weightᵀ + bias in the weight [O, I] and the bias [O]. */
function addLinearGradients(weightGrad: Tensor, biasGrad: Tensor, yGrad: Tensor, x: Tensor): void {
  const [T, I] = x.shape
  const O = yGrad.shape[1]
  linear_backward_weight(weightGrad.data, yGrad.data, x.data, null, T, O, I, O)
  linear_backward_bias(biasGrad.data, yGrad.data, null, T, O, O)
}

/** Trains a network. @param rows features [D] of each text @param targets [O] of each text */
export function trainNetwork(
  rows: readonly Float32Array[],
  targets: readonly Float32Array[],
  options: Training,
): Network {
  const { epochs, patience, rate } = options
  const random = new Random(options.seed)
  const order = random.permutation(rows.length)
  const held = Math.min(rows.length - 1, Math.round(options.heldOut * rows.length))
  const [heldOut, training] = [order.subarray(0, held), order.subarray(held)]
  const batch = Math.min(options.batch, training.length)
  const { mean, spread } = spreadOf(training, targets)
  const scaled = targets.map((target) => target.map((value) => value / spread))
  const take = (texts: Int32Array) => [stack(rows, texts), stack(scaled, texts)] as const
  let network = start(
    rows[0].length,
    options.hidden,
    mean.map((value) => value / spread),
    new Random(random.uint32()),
  )
  let moments = noMoments(network)
  const heldOutLoss = (): number => {
    let total = 0
    for (let at = 0; at < held; at += batch) {
      const [f, target] = take(heldOut.subarray(at, at + batch))
      total += lossOf(run(network, f).y, target) * f.shape[0]
    }
    return held === 0 ? 0 : total / held
  }
  let best = { network, loss: heldOutLoss(), epoch: 0 }
  const steps = epochs * Math.ceil(training.length / batch)
  for (let epoch = 1; epoch <= epochs && epoch - best.epoch <= patience; epoch++) {
    const shuffled = random.permutation(training.length).map((place) => training[place])
    for (let at = 0; at < shuffled.length; at += batch) {
      const now = (rate * (1 + Math.cos(Math.PI * Math.min(1, moments.step / Math.max(1, steps))))) / 2
      const [f, target] = take(shuffled.subarray(at, at + batch))
      ;({ network, moments } = trainStep(network, moments, f, target, { ...options, rate: now }))
    }
    const loss = heldOutLoss()
    if (held === 0 || loss < best.loss) best = { network, loss, epoch }
  }
  const unscale = (x: Tensor): Tensor =>
    tensor(
      x.data.map((value) => value * spread),
      ...x.shape,
    )
  const { outputWeight, outputBias } = best.network
  return { ...best.network, outputWeight: unscale(outputWeight), outputBias: unscale(outputBias) }
}

/** The mean target [O] of these texts, and the root mean square of what is left without it, over texts and outputs. */
function spreadOf(
  texts: Int32Array,
  targets: readonly Float32Array[],
): { mean: Float32Array; spread: number } {
  const O = targets[0].length
  const mean = new Float64Array(O)
  const squares = new Float64Array(O)
  for (const text of texts) for (let i = 0; i < O; i++) mean[i] += targets[text][i] / texts.length
  for (const text of texts) for (let i = 0; i < O; i++) squares[i] += (targets[text][i] - mean[i]) ** 2
  const deviations = squares.map((total) => Math.sqrt(total / Math.max(1, texts.length)))
  const total = deviations.reduce((sum, value) => sum + value ** 2, 0)
  // Targets that are all alike are left as they are.
  return { mean: Float32Array.from(mean), spread: Math.sqrt(total / Math.max(1, O)) || 1 }
}

/** W1 and b1 uniform in ±1/√D, as in PyTorch; W2 zero; b2 given. */
function start(D: number, R: number, outputBias: Float32Array, random: Random): Network {
  const bound = 1 / Math.sqrt(D)
  const uniform = (length: number): Float32Array =>
    Float32Array.from({ length }, () => (2 * random.uniform() - 1) * bound)
  const O = outputBias.length
  return {
    inputWeight: tensor(uniform(R * D), R, D),
    inputBias: tensor(uniform(R), R),
    outputWeight: zeros(O, R),
    outputBias: tensor(outputBias, O),
  }
}

/** The chosen rows, one under the other. */
function stack(rows: readonly Float32Array[], chosen: Int32Array): Tensor {
  const width = rows[0].length
  const all = zeros(chosen.length, width)
  chosen.forEach((place, at) => all.data.set(rows[place], at * width))
  return all
}
