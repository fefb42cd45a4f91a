/**
 * What Hugging Face computes of OPT, Llama and Mistral, the engine computes: every activation and every score of the
 * golden cases, within the tolerances of fixtures/golden/README.md and fixtures/golden-llama/README.md, on every backend.
 *
 * Values at padded positions are implementation-defined there and 0 here; only real tokens are compared. So is the score
 * of a left-padded sequence's first token, which padding would have to predict.
 *
 * Tests src/engine/loss.ts.
 */
import { describe, test } from 'vitest'
import { forwardBatch } from '../../src/engine/batch.ts'
import { negativeLogLikelihood } from '../../src/engine/loss.ts'
import { contextWidth } from '../../src/engine/config.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward, type Trace } from '../../src/engine/trace.ts'
import { softmax } from '../../src/ops/softmax.ts'
import { overEveryBackend } from '../harness/backends.ts'
import { casesOf, expectNear, get, getIds, readCase, tolerance, variants, type Case } from './golden.ts'
import { expectLogits, expectLoss, layerOf, rowsOf, withGolden, type LogitsOf, type Rows } from './model.ts'

/** Activations are held to the tolerance of the logits. */
const { logits: near } = tolerance

overEveryBackend((backend) => {
  for (const variant of variants)
    describe(variant, () => {
      for (const name of casesOf[variant]) {
        const tensors = readCase(variant, name)
        const rows = rowsOf(tensors)

        test(`${name}: every activation and the logits`, () =>
          withGolden(variant, backend, (model) => {
            for (const sequence of rows.sequences) {
              const trace = traceForward(model, sequence.tokens)
              const at = (expected: Float64Array, width: number): Float64Array =>
                rows.cut(expected, sequence, width)
              compareStreams(model, trace, tensors, at)
              compareUnits(model, trace, tensors, at)
              if (tensors.has('attn.0')) compareAttention(model, trace, tensors, rows, sequence)
              trace.dispose()
            }
          }))

        test(`${name}: the batch's logits, negative log-likelihoods and loss`, () =>
          withGolden(variant, backend, (model) => {
            const { B, T } = rows
            const ids = getIds(tensors, 'input_ids')
            const logits = forwardBatch(model, ids, getIds(tensors, 'attention_mask'), B, T)
            const logitsOf: LogitsOf = (sequence) => rows.cut(logits, sequence, model.config.vocabulary)
            expectLogits(tensors, 'logits', logitsOf)
            expectLoss(backend, tensors, 'loss', logitsOf)
            for (const sequence of rows.sequences) {
              const nll = negativeLogLikelihood(backend, logitsOf(sequence), sequence.tokens)
              const expected = rows.cut(get(tensors, 'nll').values, sequence, 1)
              expectNear(nll.subarray(1), expected.subarray(1), near, 'nll')
            }
          }))
      }
    })
})

type At = (expected: Float64Array, width: number) => Float64Array

function compareStreams(model: LanguageModel, trace: Trace, tensors: Case, at: At): void {
  const { layers, width, vocabulary } = model.config
  const embeddings = tensors.get('embeddings')
  if (embeddings) expectNear(trace.hidden(0), at(embeddings.values, width), near, 'embeddings')
  for (let index = 0; index <= layers; index++) {
    const expected = get(tensors, `hidden.${index}`)
    const wide = expected.shape[2]
    expectNear(trace.hidden(index), at(expected.values, wide), near, `hidden.${index}`)
  }
  expectNear(trace.logits(), at(get(tensors, 'logits').values, vocabulary), near, 'logits')
}

function compareUnits(model: LanguageModel, trace: Trace, tensors: Case, at: At): void {
  const { config } = model
  const { layers, neurons } = config
  const isGated = config.gated
  for (let layer = 0; layer < layers; layer++) {
    const expected = (name: string, wide: number): Float64Array =>
      at(layerOf(get(tensors, name).values, layer, layers), wide)
    expectNear(trace.headOut(layer), expected('head_out', contextWidth(config)), near, `head_out ${layer}`)
    const activation = isGated ? 'ffn_act' : 'fc1_act'
    expectNear(trace.fc1Act(layer), expected(activation, neurons), near, `${activation} ${layer}`)
    if (!isGated) expectNear(trace.fc1Pre(layer), expected('fc1_pre', neurons), near, `fc1_pre ${layer}`)
  }
}

/** Attention weights are never stored; here they are formed from the queries and keys, as the definition says. */
function compareAttention(
  model: LanguageModel,
  trace: Trace,
  tensors: Case,
  { T }: Rows,
  { row, start }: { row: number; start: number },
): void {
  const { layers, heads: H, headSize: K } = model.config
  const length = trace.length
  for (let layer = 0; layer < layers; layer++) {
    const { values } = get(tensors, `attn.${layer}`) // [B, H, T, T]
    const query = trace.query(layer) // [T, H, K]
    const key = trace.key(layer) // [H, T, K]
    for (let h = 0; h < H; h++)
      for (let t = 0; t < length; t++) {
        const scores = Float32Array.from({ length: t + 1 }, (_, s) => {
          let score = 0
          for (let k = 0; k < K; k++) score += query[(t * H + h) * K + k] * key[(h * length + s) * K + k]
          return score * K ** -0.5
        })
        const weights = new Float32Array(t + 1)
        softmax(weights, scores, 1, t + 1)
        const from = ((row * H + h) * T + start + t) * T + start
        expectNear(weights, values.subarray(from, from + t + 1), near, `attn.${layer}`)
      }
  }
}
