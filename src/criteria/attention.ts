/**
 * attention: scores units by attention weights. It needs no loss and no backward pass.
 *
 *   head:    mean over queries t >= 1 of the largest weight on a position s >= 1, s <= t
 *   neuron:  sum over tokens t >= 1 of r[t] a[t, j], a after ReLU
 *            r[t] = the share of the next layer's attention, over its heads and queries, on token t
 *
 * A head's score is its confidence (Voita et al. 2019, "Analyzing multi-head self-attention"): a confident
 * head attends to one position. There the end-of-sentence symbol is left out, because inactive heads attend to it. In a
 * decoder the first position has that role (Xiao et al. 2024, "Efficient streaming language models with attention
 * sinks"), so attention to it is ignored here.
 *
 * The output of a neuron at a token is read by the attention of the next layer, so its activation is weighted by the
 * attention that the token receives there. H2O (Zhang et al. 2023) measures the importance of tokens in this way. After the
 * last layer there is no attention; the lm_head reads every token once, so r[t] = 1 / T.
 *
 * The ShadowLLM paper (arXiv 2406.16635) leaves attention scores as a criterion to later work; this definition is ours.
 */
import type { Trace } from '../engine/trace.ts'
import { eachAttention } from './attention_weights.ts'
import type { Criterion } from './criterion.ts'
import { scoreLayers, sumPerUnit } from './unit_scores.ts'

interface LayerAttention {
  readonly confidence: Float64Array // [H]
  readonly received: Float64Array // [T], shares of all attention of the layer
}

function attentionOf(trace: Trace, layer: number): LayerAttention {
  const { heads: H } = trace.model.config
  const T = trace.length
  const confidence = new Float64Array(H)
  const received = new Float64Array(T)
  eachAttention(trace, layer, (head, t, weights) => {
    let largest = 0
    for (let s = 1; s <= t; s++) {
      largest = Math.max(largest, weights[s])
      received[s] += weights[s] / (H * T)
    }
    if (t > 0) confidence[head] += largest / (T - 1)
  })
  return { confidence, received }
}

/** The weights of the last layer, whose output each token's prediction reads: [T]. */
function evenReading(T: number): Float64Array {
  return new Float64Array(T).fill(1 / T).fill(0, 0, 1)
}

/** Confidence of heads; activations by the attention their tokens receive. */
export const attention: Criterion = {
  name: 'attention',
  help: 'Heads that look at one place; neurons of tokens that the next layer looks at. No loss.',
  formula:
    'head: mean_t max_s w[t,s], s >= 1; neuron: sum_t r[t] a[t], r = attention received in the next layer',
  cost: { forward: 0, backward: 0 },
  score: ({ model, trace }) => {
    const { shape } = model
    const { layers, neurons } = shape
    const attentions = Array.from({ length: layers }, (_, layer) => attentionOf(trace, layer))
    return scoreLayers(
      shape,
      (layer) => attentions[layer].confidence,
      (layer) => {
        const reading = layer + 1 < layers ? attentions[layer + 1].received : evenReading(trace.length)
        const activation = trace.fc1Act(layer) // [T, F]
        return sumPerUnit(
          activation.length,
          neurons,
          1,
          (i) => activation[i] * reading[Math.floor(i / neurons)],
        )
      },
    )
  },
}
