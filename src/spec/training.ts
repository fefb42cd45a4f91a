/**
 * How a network of the predictor learns (arXiv 2406.16635, emnlp_activation_predictor.py at bdc5ad5): AdamW on the mean
 * squared error.
 *
 *   loss = Σ (y − target)² / (B O)                                        over a batch of B texts
 *   m = β1 m + (1 − β1) g     v = β2 v + (1 − β2) g²                      AdamW (Loshchilov and Hutter 2019)
 *   w = w (1 − r d) − r (m / (1 − β1ⁿ)) / (√(v / (1 − β2ⁿ)) + ε)          n the step, from 1
 *   r = rate (1 + cos(π (n − 1) / S)) / 2                                 cosine to 0 over all S steps
 *
 *   released code: rate 1e-3, d = 0.01; heads: R = 2048, B = 32, 100 epochs; neurons: R = 1024, B = 16, 20 epochs
 *
 * The released code holds out 20 % of the texts for heads and 10 % for neurons, unseeded, and reports on them only. This
 * project adds: everything is seeded; the epoch that does best on the texts held out is kept, or the last one where none are;
 * targets are divided by their spread, one number for all outputs, and W2 and b2 multiplied by it in the end; and W2 starts at
 * 0 and b2 at the mean of the targets, both taken over the texts that are not held out. Decay falls on biases too. So the start is the best constant prediction, which is
 * static pruning, and training cannot end with a worse one on the texts held out.
 */
import { adamw_step } from '../ops/adamw_step.ts'
import { linear_backward_bias, linear_backward_weight } from '../ops/linear.ts'
import { mse, mse_backward } from '../ops/mse.ts'
import { Random } from '../tensor/random.ts'
import { relu_backward } from '../ops/activations.ts'
import { matrix, result, tensor, zeros, type Tensor } from './plain.ts'
import { run, type Network } from './predictor.ts'

/** The settings of a training. */
export interface TrainingOptions {
  readonly hidden: number // R
  readonly epochs: number
  readonly batch: number // B
  readonly rate: number
  readonly decay: number // d
  readonly heldOut: number // share of the texts, in [0, 1)
  readonly patience: number // epochs without improvement on the texts held out before training ends
  readonly seed: number
}

/** Trains a network. @param f [N, D], the features of N texts @param targets [N, O] */
export function trainNetwork(f: Tensor, targets: Tensor, options: TrainingOptions): Network {
  const { hidden, epochs, rate, decay, patience } = options
  const [N, D] = f.shape
  const random = new Random(options.seed)
  const order = random.permutation(N)
  const held = Math.min(N - 1, Math.round(options.heldOut * N))
  const training = order.subarray(held)
  const { mean, spread } = momentsOf(rowsOf(targets, training))
  const scaled = mapped(targets, (value) => value / spread)
  const B = Math.min(options.batch, training.length)
  const batchesOf = (texts: Int32Array): Batch[] =>
    Array.from({ length: Math.ceil(texts.length / B) }, (_, b) => {
      const chosen = texts.subarray(b * B, (b + 1) * B)
      return [rowsOf(f, chosen), rowsOf(scaled, chosen)]
    })
  const heldOut = batchesOf(order.subarray(0, held))
  const start = startOf(D, hidden, mean, new Random(random.uint32()))
  const zero = start.map((x) => mapped(x, () => 0))
  let state: TrainingState = { step: 0, network: start, mean: zero, square: zero }
  let best = { network: start, loss: lossOf(start, heldOut), epoch: 0 }
  const S = epochs * Math.ceil(training.length / B)
  for (let epoch = 1; epoch <= epochs && epoch - best.epoch <= patience; epoch++) {
    const shuffled = random.permutation(training.length).map((place) => training[place])
    for (const batch of batchesOf(shuffled)) {
      const r = (rate * (1 + Math.cos(Math.PI * (state.step / S)))) / 2
      state = trainStep(state, batch, r, decay)
    }
    const loss = lossOf(state.network, heldOut)
    if (held === 0 || loss < best.loss) best = { network: state.network, loss, epoch }
  }
  const [W1, b1, ...outputs] = best.network
  return [W1, b1, ...outputs.map((x) => mapped(x, (value) => value * spread))]
}

/** B texts: [B, D] and [B, O]. */
type Batch = readonly [f: Tensor, target: Tensor]

/** A network and the two moments of each parameter, after some steps. */
interface TrainingState {
  readonly step: number // n
  readonly network: Network
  readonly mean: Network // m
  readonly square: Network // v
}

/** One step of AdamW, with rate r and decay d. */
function trainStep(state: TrainingState, [f, target]: Batch, r: number, d: number): TrainingState {
  const { hidden, active, y } = run(state.network, f)
  const yGrad = zeros(...y.shape)
  mse_backward(yGrad.data, Float32Array.of(1), y.data, target.data, y.size)
  const hiddenGrad = intoHidden(matrix(state.network[2]).sums(yGrad, null), hidden)
  const grads = [...parameterGradients(hiddenGrad, f), ...parameterGradients(yGrad, active)]
  const copy = (all: Network): Network => all.map(({ data, shape }) => tensor(data.slice(), ...shape))
  const [network, mean, square] = [state.network, state.mean, state.square].map(copy)
  const [n, beta1, beta2, epsilon] = [state.step + 1, 0.9, 0.999, 1e-8]
  network.forEach(({ data: w, size }, p) => {
    const arrays = [w, mean[p].data, square[p].data, grads[p].data] as const
    adamw_step(...arrays, r, beta1, beta2, epsilon, d, 1 - beta1 ** n, 1 - beta2 ** n, size)
  })
  return { step: n, network, mean, square }
}

/** The gradient before relu, from that after it. */
function intoHidden(grad: Tensor, x: Tensor): Tensor {
  return result(x.shape, (y) => relu_backward(y, grad.data, x.data, x.size))
}

/** The gradients of y = x weightᵀ + bias in the weight [O, I] and the bias [O]. */
function parameterGradients(yGrad: Tensor, x: Tensor): Tensor[] {
  const [[T, O], I] = [yGrad.shape, x.shape[1]]
  const [weight, bias] = [zeros(O, I), zeros(O)]
  linear_backward_weight(weight.data, yGrad.data, x.data, null, T, O, I, O)
  linear_backward_bias(bias.data, yGrad.data, null, T, O, O)
  return [weight, bias]
}

/** The mean squared error over some texts; NaN for none. */
function lossOf(network: Network, batches: readonly Batch[]): number {
  const sizes = batches.map(([f]) => f.shape[0])
  const meanOf = ([f, { data, size }]: Batch): number =>
    result([1], (loss) => mse(loss, run(network, f).y.data, data, size)).data[0]
  const total = batches.reduce((sum, batch, b) => sum + meanOf(batch) * sizes[b], 0)
  return total / sizes.reduce((sum, B) => sum + B, 0)
}

/** The mean target [O] over the spread, the root mean square of what is left without the mean. @param targets [N, O] */
function momentsOf({ data, shape: [N, O] }: Tensor) {
  const mean = new Float64Array(O)
  const squares = new Float64Array(O)
  data.forEach((value, i) => (mean[i % O] += value / N))
  data.forEach((value, i) => (squares[i % O] += (value - mean[i % O]) ** 2))
  const deviations = squares.map((total) => Math.sqrt(total / N))
  // Targets that are all alike are left as they are.
  const spread = Math.sqrt(deviations.reduce((sum, deviation) => sum + deviation ** 2, 0) / O) || 1
  return { mean: mapped(tensor(Float32Array.from(mean), O), (value) => value / spread), spread }
}

/** W1 and b1 uniform in ±1/√D, as in PyTorch; W2 zero; b2 given. */
function startOf(D: number, R: number, b2: Tensor, random: Random): Network {
  const uniform = (x: Tensor): Tensor => mapped(x, () => (2 * random.uniform() - 1) * (1 / Math.sqrt(D)))
  return [uniform(zeros(R, D)), uniform(zeros(R)), zeros(b2.size, R), b2]
}

const mapped = ({ data, shape }: Tensor, change: (value: number) => number): Tensor =>
  tensor(data.map(change), ...shape)
const rowsOf = (x: Tensor, rows: Int32Array): Tensor => matrix(x).pick(rows)
