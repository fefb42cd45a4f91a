/**
 * Passes over small models for laws of criteria: those of src/verify, and what finite differences of second order need.
 */
import type { UnitMask } from '../../src/masks/mask.ts'
import type { OptModel } from '../../src/engine/opt_model.ts'
import { withPass, type Text } from '../../src/criteria/pass.ts'
import { tensorsOf, type ModelCase } from '../../src/verify/model/cases.ts'

export * from '../../src/criteria/pass.ts'
export * from '../../src/verify/criteria/passes.ts'

/** Whether every one of these masks leaves each neuron on the side of ReLU it is on without: no kink lies among them. */
export function sameSides(model: OptModel, text: Text, masks: readonly UnitMask[]): boolean {
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
