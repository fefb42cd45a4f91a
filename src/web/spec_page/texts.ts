/**
 * Whole texts: written and scored by the specification, or by the engine on its strict kernels. The laws between both
 * (`src/verify/model/engine_laws.ts`) say that the bits are equal; the page's spec compares them on its steps.
 */
import { createBackend } from '../../backends/select.ts'
import { plainact } from '../../criteria/plainact.ts'
import type { ModelConfig } from '../../engine/config.ts'
import { LanguageModel, withSequence } from '../../engine/language_model.ts'
import { argmax } from '../../engine/sampling.ts'
import { makeMask, unitKinds, type UnitMask } from '../../masks/mask.ts'
import { scoreContinuation } from '../../planners/prompt_plainact.ts'
import type { Model } from '../../spec/model.ts'
import type { Units } from '../../spec/plain.ts'
import { calibrate, generate } from '../../spec/shadowllm.ts'
import { recordOf } from '../../tensor/records.ts'
import type { TensorSource } from '../../tensor/tensor_source.ts'

/** What computes texts. */
export interface Texts {
  /** The logits [V] after a prompt [P] under a mask, and the likeliest tokens that follow: [count]. */
  write(
    prompt: Int32Array,
    mask: Units | null,
    count: number,
  ): { readonly logits: Float32Array; readonly ids: Int32Array }
  /** The logits [W, V] under a mask along a text that goes on from a prompt [P] by W tokens: those before each of its tokens. */
  follow(prompt: Int32Array, written: Int32Array, mask: Units | null): Float32Array
  /** plainact of every unit for a text [T], by the loss of the tokens after its prompt. */
  score(text: Int32Array, promptLength: number): Units
}

/** By the specification. */
export function specTexts(model: Model): Texts {
  return {
    write(prompt, mask, count) {
      const { data, shape } = model.forward(prompt, mask).logits
      return { logits: data.slice((shape[0] - 1) * shape[1]), ids: generate(model, prompt, mask, count) }
    },
    follow(prompt, written, mask) {
      const { data, shape } = model.forward(along(prompt, written), mask).logits
      return data.slice((prompt.length - 1) * shape[1])
    },
    score: (text, promptLength) => calibrate(model, text, promptLength).scores,
  }
}

/** What is read to foretell each written token: all but the last. */
function along(prompt: Int32Array, written: Int32Array): Int32Array {
  return Int32Array.of(...prompt, ...written.subarray(0, -1))
}

/** By the engine. @throws InputError as `LanguageModel.load` */
export async function engineTexts(config: ModelConfig, source: TensorSource): Promise<Texts> {
  const model = await LanguageModel.load(config, source, await createBackend('wasm'))
  const { shape } = model
  const flat = (rows: readonly Float32Array[]): Float32Array =>
    Float32Array.from(rows.flatMap((row) => [...row]))
  const maskOf = (mask: Units | null): UnitMask | null =>
    mask && makeMask(shape, flat(mask.heads), flat(mask.neurons))
  return {
    write(prompt, mask, count) {
      return withSequence(model, { mask: maskOf(mask), capacity: prompt.length + count }, (sequence) => {
        let logits = sequence.feed(prompt, 'last')
        const first = logits.slice()
        const ids = new Int32Array(count)
        for (let i = 0; i < count; i++) {
          if (i > 0) logits = sequence.feed(ids.subarray(i - 1, i), 'last')
          ids[i] = argmax(logits)
        }
        return { logits: first, ids }
      })
    },
    follow(prompt, written, mask) {
      const text = along(prompt, written)
      return withSequence(model, { mask: maskOf(mask), capacity: text.length }, (sequence) =>
        sequence.feed(text, 'all').slice((prompt.length - 1) * config.vocabulary),
      )
    },
    score(text, promptLength) {
      const prompt = text.subarray(0, promptLength)
      const scores = scoreContinuation(model, prompt, text.subarray(promptLength), plainact)
      return recordOf(unitKinds, (kind) =>
        Array.from({ length: shape.layers }, (_, l) =>
          scores[kind].slice(l * shape[kind], (l + 1) * shape[kind]),
        ),
      )
    },
  }
}
