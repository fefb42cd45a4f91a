/**
 * Laws of the backward pass (design laws 3 and 6). That it is the backward pass of the specification is a law of
 * engine_laws.ts; the specification has no gradients of parameters.
 */
import { createBackend } from '../../backends/select.ts'
import { LanguageModel } from '../../engine/language_model.ts'
import type { HostTensor } from '../../tensor/memory_source.ts'
import { sameBits } from '../compare.ts'
import { withPass } from '../../criteria/pass.ts'
import { anyData, DrawnData } from '../drawn_data.ts'
import { withLoaded, feedOnce, forAll, roomyModel, withModel, type ModelCase, type Subject } from './cases.ts'
import { anyMask, engineCase, heldTo, made, maskOf } from './engine_cases.ts'
import { tokenTableOf } from './modules.ts'
import {
  awayFromKinks,
  checkGradient,
  lossOf,
  scoredText,
  withoutKinks,
  type Direction,
} from './finite_differences.ts'

/** A model so sharp that a step of 2^-7 sees a slope a third too small. */
const sharpModel: ModelCase = {
  layers: 3,
  heads: 4,
  headSize: 8,
  neurons: 21,
  vocabulary: 11,
  positions: 10,
  embeddingWidth: 20,
  preNorm: true,
  finalNorm: false,
  tied: true,
  seed: -1316397425,
}

/** Tensors a step away. */
function moved(
  tensors: ReadonlyMap<string, HostTensor>,
  direction: Direction,
  step: number,
): Map<string, HostTensor> {
  return new Map(
    [...tensors].map(([name, { shape, values }]) => {
      const by = direction.get(name)
      return [name, { shape, values: by ? values.map((value, i) => value + step * by[i]) : values }]
    }),
  )
}

export const gradientLaws = {
  parameters: forAll(
    'the gradient of every parameter = central finite difference, one tensor at a time and all together',
    { model: roomyModel.map(withoutKinks), data: anyData },
    async (subject, { model, data }) => {
      const text = scoredText(model, data)
      const tensors = awayFromKinks(model)
      const gradientOf = (loaded: LanguageModel): Direction =>
        withPass(loaded, text, ({ gradients }) => new Map(gradients.parameters), { parameters: true })
      const all = await withModel(subject, model, gradientOf, tensors)
      const one = data.oneOf('tensor', [...all.keys()])
      const lossIn = (loaded: LanguageModel): number => lossOf(feedOnce(loaded, text.tokens), text.labels)
      const lossAt = (direction: Direction, step: number): Promise<number> =>
        withModel(subject, model, lossIn, moved(tensors, direction, step))
      await checkGradient('all', all, data, lossAt)
      await checkGradient(one, new Map([[one, all.get(one) as Float32Array]]), data, lossAt)
    },
    {
      runs: 20,
      examples: [{ model: sharpModel, data: new DrawnData({ seed: sharpModel.seed, rules: {} }) }],
    },
  ),

  padding: forAll(
    'the padding id receives no gradient from the embedding',
    { drawn: engineCase },
    async (subject, { drawn }) => {
      const { config, tensors, tokens } = made({
        ...drawn,
        llama: null,
        vocabulary: drawn.vocabulary + 1,
        tied: false,
      })
      if (tokens.length < 2) return
      tokens[0] = 1
      await withLoaded(subject, config, tensors, {}, (model) =>
        withPass(
          model,
          { tokens, labels: tokens },
          ({ gradients }) => {
            const E = config.embeddingWidth
            const table = gradients.parameters.get(tokenTableOf(config)) as Float32Array
            sameBits('row', table.subarray(E, 2 * E), new Float32Array(E))
          },
          { parameters: true },
        ),
      )
    },
    { runs: 30 },
  ),

  agreement: forAll(
    'strict backends give the loss and the gradients of the reference, bit for bit; each call of the others keeps its bound',
    { drawn: engineCase, skip: anyMask },
    async ({ backend, load }, { drawn, skip }) => {
      const { config, tensors, tokens } = made(drawn)
      if (tokens.length < 2) return
      const options = { mask: maskOf(drawn, skip), parameters: true }
      const resultsOf = (subject: Subject): Promise<Map<string, Float32Array>> =>
        withLoaded(subject, config, tensors, {}, (model) =>
          withPass(
            model,
            { tokens, labels: tokens },
            ({ gradients }) => {
              const results = new Map([...gradients.parameters, ['loss', Float32Array.of(gradients.loss)]])
              for (let layer = 0; layer < drawn.layers; layer++) {
                results.set(`headOut ${layer}`, gradients.headOut(layer))
                results.set(`fc1Act ${layer}`, gradients.fc1Act(layer))
              }
              return results
            },
            options,
          ),
        )
      const held = heldTo(backend)
      const expected = await resultsOf({
        backend: await createBackend('reference'),
        load: LanguageModel.load,
      })
      const found = await resultsOf({ load, backend: held.backend })
      for (const [name, values] of expected) held.compare(name, found.get(name) as Float32Array, values)
    },
    { runs: 60 },
  ),
}
