/**
 * What the laws of criteria share: texts and masks, drawn.
 */
import type { Text } from '../../criteria/pass.ts'
import type { Data } from '../../testing/seeded_data.ts'
import type { ModelCase } from '../model/cases.ts'

/** The two kinds of units. */
export const kinds = ['heads', 'neurons'] as const
export type Kind = (typeof kinds)[number]

/** Two tokens or more, the last half of which is scored. */
export function textOf(model: ModelCase, data: Data): Text {
  const tokens = data.ids('tokens', data.whole('length', 2, model.positions), model.vocabulary)
  const labels = tokens.slice()
  labels.fill(-100, 0, Math.max(1, labels.length >> 1))
  return { tokens, labels }
}
