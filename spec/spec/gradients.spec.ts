/**
 * Derivatives follow from a program: they are difference quotients, for any drawn program. The values of Hugging Face judge those of
 * the families (spec/golden/specification.spec.ts).
 */
import { describe } from 'vitest'
import { gradients } from '../../src/spec/gradients.ts'
import { matrix, zeros, type Tensor, type Weights } from '../../src/spec/plain.ts'
import { gradientsAreSlopes, type GradientsSubject } from '../../src/verify/model/program_laws.ts'
import { killsEach, stateLaw } from '../harness/seed.ts'

stateLaw(gradientsAreSlopes, gradients)

describe('mutants are killed:', () => {
  /** Nothing is passed back through the products of some names. */
  const without =
    (isLost: (name: string) => boolean): GradientsSubject =>
    (program, weights, ...rest) => {
      const lossy: Weights = {
        ...weights,
        matrix: (parameter, isTurned) => {
          const right = weights.matrix(parameter, isTurned)
          return isLost(parameter.name) ? matrix(zeros(right.rows, right.columns)) : right
        },
      }
      return gradients(program, lossy, ...rest)
    }

  killsEach('%s', gradientsAreSlopes, {
    'the mask is forgotten': (program, weights, results, endGrad) =>
      gradients(program, weights, results, endGrad),
    'a derivative is that before the mask': (...all) => {
      const right = gradients(...all)
      return new Map(
        [...right].map(([step, grad]) => [
          step,
          step.op === 'units' ? (right.get(step.of[0]) as Tensor) : grad,
        ]),
      )
    },
    'the second reader of units passes nothing back': without((name) => name.includes('.also.')),
    'keys pass nothing back': without((name) => name.includes('.k.')),
    'gates pass nothing back': without((name) => name.includes('.gate.')),
    'the derivative in the result is taken for 1': (program, weights, results, endGrad, mask) =>
      gradients(program, weights, results, { ...endGrad, data: endGrad.data.map(() => 1) } as Tensor, mask),
  })
})
