/**
 * ShadowLLM (Akhauri et al. 2024, arXiv 2406.16635), the whole method.
 *
 *   calibrate   run texts forward, and back from the loss after the prompt; plainact scores each unit by how much this loss needs it
 *   train       teach a small predictor those scores from the context of layer 0: what its heads give out, before the matrix `out` mixes them
 *   plan        run layer 0 over a prompt; predict; keep the best units within the budget
 *   generate    write text under this one mask
 *
 * The predictor is asked once per sequence, and sees the prompt only. The released code (abdelfattah-lab/shadow_llm at
 * bdc5ad5, lm_eval/models/opt.py) asks it once per scored text too, at the last token of the text: it has seen the answer.
 */
import { NOT_SCORED } from '../ops/cross_entropy.ts'
import { tensor, type Mask, type Tensor, type Units } from './plain.ts'
import type { Model } from './model.ts'
import type { UnitKind } from './program.ts'
import { plainact } from './plainact.ts'
import { features, predict, targets } from './predictor.ts'
import type { FeatureScaling, Network, Predictor, TargetScaling } from './predictor.ts'
import { selectMask, type Budget } from './select.ts'
import { trainNetwork, type TrainingOptions } from './training.ts'

/** What one text teaches. */
export interface Example {
  readonly context: Tensor // [P, H K], layer 0 over the prompt
  readonly scores: Units // summed over all tokens of the text, by the loss of those after the prompt
}

/** Scores a text [T] whose first tokens are the prompt: the loss is that of the tokens after it. */
export function calibrate(model: Model, text: Int32Array, promptLength: number): Example {
  const labels = new Int32Array(text.length).fill(NOT_SCORED)
  labels.set(text.subarray(promptLength), promptLength - 1)
  const pass = model.forward(text, null)
  const scores = plainact(pass.layers, pass.backward(labels), model.heads)
  return { context: model.contextOf(text.slice(0, promptLength)), scores }
}

/** What a predictor sees and learns, and how each of its networks is trained. */
export interface PredictorOptions extends Readonly<Record<UnitKind, TrainingOptions>> {
  readonly features: FeatureScaling
  readonly targets: TargetScaling
}

/** Trains a predictor on examples, one network for heads and one for neurons. */
export function train(examples: readonly Example[], options: PredictorOptions): Predictor {
  const rows = stack(examples.map(({ context }) => features(context, options.features).data))
  const network = (kind: UnitKind): Network => {
    const wanted = stack(examples.map(({ scores }) => targets(scores[kind], options.targets)))
    return trainNetwork(rows, wanted, options[kind])
  }
  return { features: options.features, heads: network('heads'), neurons: network('neurons') }
}

/** Rows of equal length, one under the other. */
function stack(rows: readonly Float32Array[]): Tensor {
  return tensor(Float32Array.from(rows.flatMap((row) => [...row])), rows.length, rows[0].length)
}

/** The mask for a prompt [P]. Only layer 0 has run over it then: the layers above run under the mask. */
export function plan(model: Model, predictor: Predictor, prompt: Int32Array, budget: Budget): Units {
  const scores = predict(predictor, model.contextOf(prompt), model.heads, model.neurons)
  return selectMask(scores, budget)
}

/** The most likely next tokens after a prompt [P]: [count]. The mask holds for the prompt's own tokens too, and for all that follow. */
export function generate(model: Model, prompt: Int32Array, mask: Mask, count: number): Int32Array {
  let text = prompt
  while (text.length < prompt.length + count)
    text = Int32Array.of(...text, mostLikely(model.forward(text, mask).logits))
  return text.slice(prompt.length)
}

/** The token with the highest logit in the last row [T, V]; the lower id of equal ones. */
function mostLikely({ data, shape: [T, V] }: Tensor): number {
  const last = data.subarray((T - 1) * V)
  return last.indexOf(last.reduce((most, logit) => Math.max(most, logit)))
}
