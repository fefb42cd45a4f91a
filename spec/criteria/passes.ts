/**
 * Passes over small models for laws of criteria: those of src/verify, and what finite differences of second order need.
 */
import { countScored } from '../../src/engine/loss.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import type { Criterion } from '../../src/criteria/index.ts'
import { withPass, type Text } from '../../src/criteria/pass.ts'
import { scoreLayers } from '../../src/criteria/unit_scores.ts'
import { denseMask, makeMask, type UnitKind, type UnitMask } from '../../src/masks/mask.ts'
import type { Data } from '../../src/testing/seeded_data.ts'
import { tensorsOf, type ModelCase } from '../../src/verify/model/cases.ts'

export * from '../../src/criteria/pass.ts'
export { unitKinds, type UnitKind } from '../../src/masks/mask.ts'
export { textOf } from '../../src/verify/model/cases.ts'

/** One unit of a model. */
export interface Unit {
  readonly kind: UnitKind
  readonly index: number
}

/** A mask, by default all ones, moved by `by` along a direction. */
export function movedMask(
  direction: Pick<UnitMask, 'shape' | 'heads' | 'neurons'>,
  by: number,
  from: UnitMask = denseMask(direction.shape),
): UnitMask {
  const move = (kind: UnitKind): Float32Array => direction[kind].map((value, i) => from[kind][i] + by * value)
  return makeMask(direction.shape, move('heads'), move('neurons'))
}

/** A mask that skips about a third of the units. */
export function someMask(model: LanguageModel, data: Data): UnitMask {
  const { shape, heads, neurons } = denseMask(model.shape)
  const draw = (ones: Float32Array): Float32Array => ones.map(() => (data.integer(0, 2) === 0 ? 0 : 1))
  return makeMask(shape, draw(heads), draw(neurons))
}

/** The direction that moves one unit's mask alone. */
export function alone(model: LanguageModel, unit: Unit): UnitMask {
  const { shape, heads, neurons } = denseMask(model.shape)
  const direction = makeMask(shape, heads.fill(0), neurons.fill(0))
  direction[unit.kind][unit.index] = 1
  return direction
}

/** The loss of a model under a mask, in float64 from its float32 parts. */
export function lossUnder(model: LanguageModel, text: Text, mask: UnitMask): number {
  const nll = withPass(model, text, ({ gradients }) => gradients.nll, { mask })
  return nll.reduce((total, term) => total + term, 0) / countScored(text.labels)
}

type Score = Criterion['score']

/** The scores of a criterion, with other ones for the units of one kind, layer by layer. */
export function withUnits(
  base: Criterion,
  kind: UnitKind,
  scoresOf: (input: Parameters<Score>[0], layer: number) => ArrayLike<number>,
): Score {
  return (input) => {
    const { shape } = input.model
    const of = (one: UnitKind) => (layer: number) =>
      one === kind ? scoresOf(input, layer) : new Float32Array(shape[one])
    return { ...base.score(input), [kind]: scoreLayers(shape, of('heads'), of('neurons'))[kind] }
  }
}

/** Whether every one of these masks leaves each neuron on the side of ReLU it is on without: no kink lies among them. */
export function sameSides(model: LanguageModel, text: Text, masks: readonly UnitMask[]): boolean {
  const sides = (mask?: UnitMask): string =>
    withPass(
      model,
      text,
      ({ trace }) =>
        Array.from({ length: model.shape.layers }, (_, layer) =>
          Array.from(trace.fc1Pre(layer), (value) => (value > 0 ? 1 : 0)).join(''),
        ).join(),
      { mask },
    )
  const dense = sides()
  return masks.every((mask) => sides(mask) === dense)
}

/** Weights whose neurons fire for every token or for none, as far as biases of 6 can see to it: few kinks. */
export function smoothTensors(model: ModelCase): ReturnType<typeof tensorsOf> {
  const tensors = tensorsOf(model)
  for (const [name, { values }] of tensors)
    if (name.endsWith('fc1.bias')) values.forEach((value, i) => (values[i] = value < -0.2 ? -6 : 6))
  return tensors
}
