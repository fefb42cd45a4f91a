/**
 * What the laws of criteria share: texts and masks, drawn, and losses under masks.
 */
import { withPass, type Text } from '../../criteria/pass.ts'
import { denseMask, makeMask, type UnitMask } from '../../masks/mask.ts'
import { countScored } from '../../engine/loss.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import type { Data } from '../../testing/seeded_data.ts'
import type { ModelCase } from '../model/cases.ts'

/** The two kinds of units. */
export const kinds = ['heads', 'neurons'] as const
export type Kind = (typeof kinds)[number]

/** One unit of a model. */
export interface Unit {
  readonly kind: Kind
  readonly index: number
}

/** Two tokens or more, the last half of which is scored. */
export function textOf(model: ModelCase, data: Data): Text {
  const tokens = data.ids(data.integer(2, model.positions), model.vocabulary)
  const labels = tokens.slice()
  labels.fill(-100, 0, Math.max(1, labels.length >> 1))
  return { tokens, labels }
}

/** A mask, by default all ones, moved by `by` along a direction. */
export function movedMask(
  direction: Pick<UnitMask, 'shape' | 'heads' | 'neurons'>,
  by: number,
  from: UnitMask = denseMask(direction.shape),
): UnitMask {
  const move = (kind: Kind): Float32Array => direction[kind].map((value, i) => from[kind][i] + by * value)
  return makeMask(direction.shape, move('heads'), move('neurons'))
}

/** A mask that skips about a third of the units. */
export function someMask(model: OptModel, data: Data): UnitMask {
  const { shape, heads, neurons } = denseMask(model.shape)
  const draw = (ones: Float32Array): Float32Array => ones.map(() => (data.integer(0, 2) === 0 ? 0 : 1))
  return makeMask(shape, draw(heads), draw(neurons))
}

/** The direction that moves one unit's mask alone. */
export function alone(model: OptModel, unit: Unit): UnitMask {
  const { shape, heads, neurons } = denseMask(model.shape)
  const direction = makeMask(shape, heads.fill(0), neurons.fill(0))
  direction[unit.kind][unit.index] = 1
  return direction
}

/** The loss of a model under a mask, in float64 from its float32 parts. */
export function lossUnder(model: OptModel, text: Text, mask: UnitMask): number {
  const nll = withPass(model, text, ({ gradients }) => gradients.nll, { mask })
  return nll.reduce((total, term) => total + term, 0) / countScored(text.labels)
}
