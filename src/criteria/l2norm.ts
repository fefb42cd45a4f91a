/**
 * l2norm: the norm of a unit's output over the tokens. It does not use the loss.
 *
 *   head:    sqrt( sum over tokens and channels of a[t, h]² )     a = softmax(q kᵀ) v before the output matrix
 *   neuron:  sqrt( sum over tokens of a[t, j]² )                  `l2norm`, a = relu(z), in Llama silu(z) up
 *            sqrt( sum over tokens of z[t, j]² )                  `l2norm-pre`, z = fc1(x), in Llama gate(x)
 *
 * DejaVu (arXiv 2310.17157) ranks heads by the norm of their output and neurons by their value after ReLU; `l2norm` does so
 * over a whole example. The released code of ShadowLLM (abdelfattah-lab/shadow_llm, lm_eval/base.py) takes a neuron's
 * value before ReLU, so that a neuron that never fires can rank high; `l2norm-pre` allows a comparison with it.
 */
import type { Trace } from '../engine/trace.ts'
import type { Criterion } from './criterion.ts'
import { normPerUnit, scoreLayers } from './unit_scores.ts'

function makeNorm(
  words: Pick<Criterion, 'name' | 'help' | 'formula'>,
  neurons: (trace: Trace, layer: number) => Float32Array, // [T, F]
): Criterion {
  return {
    ...words,
    cost: { forward: 0, backward: 0 },
    score: ({ model, trace }) => {
      const { shape, config } = model
      return scoreLayers(
        shape,
        (layer) => normPerUnit(trace.headOut(layer), shape.heads, config.headSize),
        (layer) => normPerUnit(neurons(trace, layer), shape.neurons, 1),
      )
    },
  }
}

/** Neurons after ReLU. */
export const l2norm: Criterion = makeNorm(
  {
    name: 'l2norm',
    help: 'The length of the output over all tokens, without the loss.',
    formula: 'head: sqrt(sum_t |a|²); neuron: sqrt(sum_t a²), after ReLU',
  },
  (trace, layer) => trace.fc1Act(layer),
)

/** Neurons before ReLU, as the released code. */
export const l2normPre: Criterion = makeNorm(
  {
    name: 'l2norm-pre',
    help: 'As l2norm, with neurons before their activation function, as the released code has them.',
    formula: 'head: sqrt(sum_t |a|²); neuron: sqrt(sum_t z²), before ReLU',
  },
  (trace, layer) => trace.fc1Pre(layer),
)
