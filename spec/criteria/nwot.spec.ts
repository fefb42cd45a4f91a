/**
 * nwot is the determinant of its definition, taken here from the whole kernel over tokens, and for a neuron its closed
 * form.
 */
import { expect } from 'vitest'
import { nwot } from '../../src/criteria/nwot.ts'
import type { Criterion } from '../../src/criteria/index.ts'
import { sumPerUnit } from '../../src/criteria/unit_scores.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { killsEach, lawForAll, lawOf, stateLaw } from '../harness/seed.ts'
import { anyModel, withModel, type Subject } from '../engine/cases.ts'
import { textOf, withPass, withUnits } from './passes.ts'
import { determinant } from './determinant.ts'

type Score = Criterion['score']

/** ln det(I + K_H) of one unit, from the kernel over tokens. */
function fromKernel(values: Float32Array, unit: number, units: number, K: number): number {
  const T = values.length / (units * K)
  const on = (t: number, k: number): boolean => values[(t * units + unit) * K + k] > 0
  const kernel = new Float64Array(T * T)
  for (let s = 0; s < T; s++)
    for (let t = 0; t < T; t++) {
      let same = 0
      for (let k = 0; k < K; k++) if (on(s, k) === on(t, k)) same++
      kernel[s * T + t] = same + (s === t ? 1 : 0)
    }
  return Math.log(determinant(kernel, T))
}

const isTheKernelsDeterminant = lawForAll(
  'nwot = the log-determinant of the kernel of signs over tokens',
  { model: anyModel },
  (subject: Subject & { score: Score }, { model }) =>
    withModel(subject, model, (loaded) => {
      withPass(loaded, textOf(model, new Data(model.seed)), (input) => {
        const scores = subject.score(input)
        const data = new Data(model.seed)
        for (let layer = 0; layer < model.layers; layer++) {
          const context = input.trace.headOut(layer)
          const pre = input.trace.fc1Pre(layer)
          for (let head = 0; head < model.heads; head++)
            expect(scores.heads[layer * model.heads + head]).toBeCloseTo(
              fromKernel(context, head, model.heads, loaded.config.headSize),
              3,
            )
          const neuron = data.integer(0, model.neurons - 1)
          expect(scores.neurons[layer * model.neurons + neuron]).toBeCloseTo(
            fromKernel(pre, neuron, model.neurons, 1),
            3,
          )
        }
      })
    }),
  { runs: 40 },
)

overQuickBackends((backend) => {
  stateLaw(isTheKernelsDeterminant, { backend, load: LanguageModel.load, score: nwot.score })
})

killsEach(
  'nwot by %s: killed',
  lawOf(isTheKernelsDeterminant, (score: Score) => ({
    backend: new ReferenceBackend(),
    load: LanguageModel.load,
    score,
  })),
  {
    'the share of what is off, as the released code': withUnits(
      nwot,
      'neurons',
      ({ trace, model }, layer) => {
        const z = trace.fc1Pre(layer)
        const shares = sumPerUnit(z.length, model.shape.neurons, 1, (i) => (z[i] <= 0 ? 1 / trace.length : 0))
        return shares.map(Math.log)
      },
    ),
    'heads by the sum over their channels, each on its own': withUnits(
      nwot,
      'heads',
      ({ trace, model }, layer) => {
        const { heads, headSize } = model.config
        const a = trace.headOut(layer)
        const on = sumPerUnit(a.length, heads * headSize, 1, (i) => (a[i] > 0 ? 1 : 0))
        const counted = (i: number): number => Math.log((1 + on[i]) * (1 + trace.length - on[i]))
        return sumPerUnit(on.length, heads, headSize, counted)
      },
    ),
  },
)
