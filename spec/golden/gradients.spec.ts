/**
 * The gradients Hugging Face has, the engine has: of head outputs, of activations (in OPT on both sides of ReLU), and of
 * every parameter by its own name and layout; and the derivative with respect to a unit's mask.
 *
 * Tests src/engine/backward.ts and src/engine/backward_run.ts.
 */
import { describe, expect, test } from 'vitest'
import { backward, type Gradients } from '../../src/engine/backward.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { contextWidth } from '../../src/engine/config.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward, type Trace } from '../../src/engine/trace.ts'
import { maskGradients } from '../../src/criteria/plainact.ts'
import { overBackends } from '../harness/backends.ts'
import {
  casesOf,
  expectNear,
  expectNearRelative,
  get,
  largestValue,
  readCase,
  tolerance,
  variants,
} from './golden.ts'
import { expectedGradients, labelsOf, layerOf, rowsOf, scoredIn, withGolden, type Rows } from './model.ts'

/** Gradients of a whole case: its sequences add up, activations stay per sequence. */
function eachSequence(
  model: LanguageModel,
  rows: Rows,
  parameters: boolean,
  visit: (gradients: Gradients, index: number, trace: Trace) => void,
): void {
  const scored = scoredIn(rows)
  rows.sequences.forEach((sequence, index) => {
    const trace = traceForward(model, sequence.tokens)
    const gradients = backward(model, trace, labelsOf(rows, sequence), { parameters, scored })
    visit(gradients, index, trace)
    gradients.dispose()
    trace.dispose()
  })
}

function addTo(sum: Float64Array, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) sum[i] += values[i]
}

overBackends((backend) => {
  for (const variant of variants)
    describe(variant, () => {
      for (const name of casesOf[variant]) {
        const tensors = readCase(variant, name)
        const rows = rowsOf(tensors)

        test(`${name}: gradients of every activation, and the loss`, () =>
          withGolden(variant, backend, (model) => {
            const { layers, neurons, gated } = model.config
            const whole = (of: string): Float64Array[] =>
              Array.from({ length: layers }, (_, layer) => layerOf(get(tensors, of).values, layer, layers))
            let loss = 0
            const mine: Record<string, number[][]> = {}
            const expected: Record<string, number[][]> = {}
            eachSequence(model, rows, false, (gradients, index) => {
              loss += gradients.loss
              const read = (of: string, wide: number, found: (layer: number) => Float32Array): void =>
                whole(`${of}_grad`).forEach((values, layer) => {
                  const [own, theirs] = [(mine[of] ??= []), (expected[of] ??= [])]
                  ;(own[layer] ??= []).push(...found(layer))
                  ;(theirs[layer] ??= []).push(...rows.cut(values, rows.sequences[index], wide))
                })
              read('head_out', contextWidth(model.config), (layer) => gradients.headOut(layer))
              read(gated ? 'ffn_act' : 'fc1_act', neurons, (layer) => gradients.fc1Act(layer))
              if (!gated) read('fc1_pre', neurons, (layer) => gradients.fc1Pre(layer))
            })
            for (const of of Object.keys(mine))
              mine[of].forEach((values, layer) =>
                expectNearRelative(values, expected[of][layer], tolerance.gradient, `${of}_grad ${layer}`),
              )
            const expectedLoss = get(tensors, 'loss').values[0]
            expect(Math.abs(loss - expectedLoss) / expectedLoss).toBeLessThanOrEqual(tolerance.loss)
          }))

        test(`${name}: the derivative with respect to each unit's mask`, () =>
          withGolden(variant, backend, (model) => {
            const { layers } = model.config
            const sums = { heads: new Float64Array(), neurons: new Float64Array() }
            eachSequence(model, rows, false, (gradients, _, trace) => {
              const found = maskGradients({ model, trace, gradients })
              for (const kind of ['heads', 'neurons'] as const)
                sums[kind] = Float64Array.from(found[kind], (value, unit) => value + (sums[kind][unit] ?? 0))
            })
            for (const [kind, golden] of [
              ['heads', 'head'],
              ['neurons', 'ffn'],
            ] as const) {
              const { values } = get(tensors, `crit.plainact_${golden}_signed`)
              for (let layer = 0; layer < layers; layer++) {
                const of = (table: Float64Array): Float64Array => layerOf(table, layer, layers)
                expectNearRelative(of(sums[kind]), of(values), tolerance.gradient, `${kind} ${layer}`)
              }
            }
          }))

        if (![...tensors.keys()].some((key) => key.startsWith('grad.'))) continue

        test(`${name}: gradients of every parameter`, () =>
          withGolden(variant, backend, (model) => {
            const sums = new Map<string, Float64Array>()
            eachSequence(model, rows, true, (gradients) => {
              for (const [parameter, values] of gradients.parameters) {
                const sum = sums.get(parameter) ?? new Float64Array(values.length)
                addTo(sum, values)
                sums.set(parameter, sum)
              }
            })
            const gradientOf = expectedGradients(variant, tensors)
            expect([...sums.keys()]).toEqual([...parameterShapes(model.config).keys()])
            for (const [parameter, sum] of sums) {
              const expected = gradientOf(parameter)
              // A key's bias moves all scores of a query alike, so its gradient is 0 but for rounding: its unit is
              // the largest value of the weight beside it.
              const scale = gradientOf(parameter.replace('k_proj.bias', 'k_proj.weight'))
              expectNear(sum, expected, tolerance.gradient * largestValue(scale), parameter)
            }
          }))
      }
    })
})
