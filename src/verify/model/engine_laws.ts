/**
 * The engine equals the specification: the laws between `OptModel` and `src/spec`, bit for bit. A backend that owes bounds is
 * held to them call by call.
 */
import fc from 'fast-check'
import { plainact as plainactCriterion } from '../../criteria/plainact.ts'
import { makeBudget } from '../../masks/budget.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { MaskPlanner } from '../../masks/planner.ts'
import { backendTopK, selectMask } from '../../masks/selection.ts'
import { backward } from '../../engine/backward.ts'
import { generateTokens } from '../../engine/generate.ts'
import { traceForward } from '../../engine/trace.ts'
import type { ShadowConfig } from '../../predictor/predictor_config.ts'
import { makePredictorConfig } from '../../predictor/make_predictor_config.ts'
import { mlpParameterNames, type MlpShape } from '../../predictor/mlp.ts'
import { shadowPlanner } from '../../predictor/planners.ts'
import { ShadowPredictor } from '../../predictor/shadow.ts'
import type { Mask, Units } from '../../spec/model.ts'
import { backward as plainBackward, forward } from '../../spec/opt.ts'
import { plainact } from '../../spec/plainact.ts'
import { selectMask as plainSelectMask } from '../../spec/select.ts'
import { generate, plan } from '../../spec/shadowllm.ts'
import { trainNetwork as plainTrainNetwork } from '../../spec/training.ts'
import { trainNetwork } from '../../training/predictor_training.ts'
import { same, sameBits } from '../compare.ts'
import { forAll } from './cases.ts'
import {
  aboutNothing,
  anyBudget,
  anyCache,
  anyMask,
  anyStorage,
  compareUnits,
  cuts,
  engineCase,
  feedInParts,
  heldTo,
  made,
  maskOf,
  modes,
  networkCase,
  networkValues,
  plainNetwork,
  scoreTables,
  trainingCase,
  unitsOf,
  withEngine,
} from './engine_cases.ts'
import { plainModel } from './plain_model.ts'

/** The laws. */
export const engineLaws = {
  engineLogits: forAll(
    'the logits of a masked model, in every storage, mode and cut into feeds, are those of the specification, bit for bit',
    [
      engineCase,
      anyMask,
      anyStorage,
      anyCache,
      modes,
      cuts,
      // Room for the text at once or not, tokens expected, and one memory for the model or one for each layer.
      fc.record({ capacity: fc.integer({ min: 1, max: 12 }), expectedTokens: fc.nat({ max: 500 }) }),
      fc.constantFrom(1, 2 ** 30),
    ],
    async (subject, drawn, skip, storage, cache, mode, parts, room, bytesPerBackend) => {
      const { config, tensors, tokens } = made(drawn)
      const mask = maskOf(drawn, skip)
      const { logits } = forward(plainModel(config, tensors, storage, cache), tokens, unitsOf(mask))
      await withEngine(subject, config, tensors, { storage, bytesPerBackend }, (model, compare) =>
        compare('logits', feedInParts(model, tokens, parts, { mask, mode, cache, ...room }), logits.data),
      )
    },
  ),

  engineSchedule: forAll(
    'where a planner decides again after every so many tokens, each token has the mask that was decided last',
    [
      engineCase,
      fc.array(anyMask, { minLength: 1, maxLength: 12, size: 'max' }),
      fc.integer({ min: 1, max: 5 }),
      anyStorage,
      anyCache,
      modes,
      cuts,
    ],
    async (subject, drawn, skips, every, storage, cache, mode, parts) => {
      const { config, tensors, tokens } = made(drawn)
      const masks = skips.map((skip) => maskOf(drawn, skip, 1))
      const prompt = Math.min(tokens.length, ...parts.map((cut) => 1 + (cut % tokens.length)))
      // The first decision falls on the last token of the prompt, and serves the whole prompt.
      const decided = (t: number): number => Math.max(0, Math.floor((t - (prompt - 1)) / every))
      const units: Mask = Array.from(tokens, (_, t) => unitsOf(masks[decided(t) % masks.length]))
      const { logits, layers } = forward(plainModel(config, tensors, storage, cache), tokens, units)
      const context = layers[0].context.data
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        let asked = 0
        const planner: MaskPlanner = {
          name: 'drawn',
          every,
          afterAttention(view) {
            same('tokens', view.tokens, prompt + asked * every)
            sameBits('ids', view.ids, tokens.subarray(0, view.tokens))
            compare('context', view.context, context.subarray(0, view.tokens * config.width))
            return masks[asked++ % masks.length]
          },
        }
        compare('logits', feedInParts(model, tokens, parts, { planner, mode, cache }), logits.data)
      })
    },
  ),

  engineText: forAll(
    'a text by ShadowLLM is that of the specification: one prediction, one mask, the same tokens',
    [
      engineCase,
      fc.record({
        heads: networkCase,
        neurons: networkCase,
        features: fc.constantFrom('standard', 'min_max'),
      }),
      anyBudget,
      anyStorage,
      anyCache,
      modes,
      fc.nat({ max: 6 }),
    ],
    async (subject, drawn, networks, budget, storage, cache, mode, count) => {
      const { config, tensors, tokens: prompt } = made(drawn, count)
      const plain = plainModel(config, tensors, storage, cache)
      const shapeOf = (kind: keyof Units): MlpShape => ({
        inputs: config.width,
        hidden: networks[kind].hidden,
        outputs: (drawn.layers - 1) * drawn[kind],
      })
      const values = {
        heads: networkValues(shapeOf('heads'), networks.heads.numbers),
        neurons: networkValues(shapeOf('neurons'), networks.neurons.numbers),
      }
      const predictor = {
        features: networks.features,
        heads: plainNetwork(shapeOf('heads'), values.heads),
        neurons: plainNetwork(shapeOf('neurons'), values.neurons),
      }
      const expected = plan(plain, predictor, prompt, budget)
      const text = generate(plain, predictor, prompt, budget, count)
      const predictorConfig = makePredictorConfig(
        'shadow',
        {
          shape: { layers: drawn.layers, heads: drawn.heads, neurons: drawn.neurons },
          width: config.width,
          ...aboutNothing,
        },
        {
          headHidden: networks.heads.hidden,
          neuronHidden: networks.neurons.hidden,
          features: networks.features,
        },
      ) as ShadowConfig
      await withEngine(subject, config, tensors, { storage }, async (model, compare) => {
        const trained = new ShadowPredictor(model.backend, predictorConfig, values)
        try {
          const { sparsity, ...rest } = budget
          const planner = shadowPlanner(trained, makeBudget(sparsity, rest))
          const sequence = model.begin({ planner, mode, cache })
          sequence.feed(prompt)
          const mask = unitsOf(sequence.mask as UnitMask)
          sequence.dispose()
          compareUnits(compare, 'mask', mask, expected)
          const written: number[] = []
          const options = { planner, mode, cache, maxTokens: count, stopIds: [] }
          for await (const { token } of generateTokens(model, prompt, options)) written.push(token)
          compare('text', written, text)
        } finally {
          trained.dispose()
        }
      })
    },
  ),

  engineSelection: forAll(
    'the mask that keeps the best units within a budget is that of the specification',
    [scoreTables, anyBudget],
    ({ backend }, { heads, neurons }, budget) => {
      const [layers, H, F] = [heads.length, heads[0].length, neurons[0].length]
      const flat = (rows: readonly (readonly number[])[]): Float32Array => Float32Array.from(rows.flat())
      const scores = { shape: { layers, heads: H, neurons: F }, heads: flat(heads), neurons: flat(neurons) }
      const { sparsity, ...rest } = budget
      const mask = unitsOf(selectMask(scores, makeBudget(sparsity, rest), backendTopK(backend)))
      const expected = plainSelectMask(
        {
          heads: heads.map((row) => Float32Array.from(row)),
          neurons: neurons.map((row) => Float32Array.from(row)),
        },
        budget,
      )
      compareUnits(sameBits, 'mask', mask, expected)
    },
  ),

  engineTraining: forAll(
    'a trained network is that of the specification, bit for bit, for any batch, epochs and held-out texts',
    [trainingCase],
    async (subject, { rows, targets, ...options }) => {
      const { backend, compare } = heldTo(subject.backend)
      const set = {
        rows: rows.map((row) => Float32Array.from(row)),
        targets: targets.slice(0, rows.length).map((row) => Float32Array.from(row)),
      }
      const shape = { inputs: rows[0].length, hidden: options.hidden, outputs: targets[0].length }
      const { values } = await trainNetwork(backend, shape, set, options.seed, options)
      const expected = plainTrainNetwork(set.rows, set.targets, options)
      mlpParameterNames.forEach((name, p) => compare(name, values[name], expected[p].data))
    },
    { runs: 40 },
  ),

  engineGradients: forAll(
    'the activations of a masked model, their gradients and plainact are those of the specification, bit for bit',
    [engineCase, anyMask, fc.constantFrom('f32', 'bf16', 'f16'), fc.array(fc.boolean(), { minLength: 1 })],
    async (subject, drawn, skip, storage, scored) => {
      const { config, tensors, tokens } = made(drawn)
      const labels = tokens.map((id, t) => (t > 0 && scored[t % scored.length] ? id : -100))
      if (labels.every((label) => label === -100)) return
      const mask = maskOf(drawn, skip)
      const units = unitsOf(mask)
      const plain = plainModel(config, tensors, storage, 'f32')
      const pass = forward(plain, tokens, units)
      const following = labels.map((_, t) => (t + 1 < labels.length ? labels[t + 1] : -100))
      const expected = plainBackward(plain, pass, following, units)
      const scores = plainact(pass.layers, expected, drawn.heads)
      await withEngine(subject, config, tensors, { storage }, (model, compare) => {
        const trace = traceForward(model, tokens, { mask })
        try {
          const gradients = backward(model, trace, labels)
          try {
            for (let l = 0; l < drawn.layers; l++) {
              compare('context', trace.headOut(l), pass.layers[l].context.data)
              compare('activation', trace.fc1Act(l), pass.layers[l].activation.data)
              compare('gradient of context', gradients.maskedHeadOut(l), expected[l].context.data)
              compare('gradient of activation', gradients.maskedFc1Act(l), expected[l].activation.data)
              compare('gradient before relu', gradients.fc1Pre(l), expected[l].preActivation.data)
            }
            const found = unitsOf(plainactCriterion.score({ model, trace, gradients } as never))
            compareUnits(compare, 'scores', found, scores)
          } finally {
            gradients.dispose()
          }
        } finally {
          trace.dispose()
        }
      })
    },
  ),
}
