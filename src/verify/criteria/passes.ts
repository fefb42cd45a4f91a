/**
 * What laws of gradients and criteria share: a small model's passes over some text.
 */
import type { CriterionInput } from '../../criteria/index.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { backward } from '../../engine/backward.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { traceForward } from '../../engine/trace.ts'
import type { Data } from '../../testing/seeded_data.ts'
import type { ModelCase } from '../model/cases.ts'

/** The two kinds of units. */
export const kinds = ['heads', 'neurons'] as const
export type Kind = (typeof kinds)[number]

/** Tokens and what of them is scored. */
export interface Text {
  readonly tokens: Int32Array
  readonly labels: Int32Array
}

/** How a pass is run. */
export interface PassOptions {
  readonly mask?: UnitMask
  /** Positions the mean of the loss is over. */
  readonly scored?: number
  readonly seed?: number
  /** Also take gradients of every parameter. */
  readonly parameters?: boolean
}

/** Runs a pass and its backward pass, and frees both. */
export function withPass<Result>(
  model: OptModel,
  { tokens, labels }: Text,
  work: (input: CriterionInput) => Result,
  { mask, scored, parameters, seed = 0 }: PassOptions = {},
): Result {
  const trace = traceForward(model, tokens, { mask })
  try {
    const gradients = backward(model, trace, labels, { scored, parameters })
    try {
      return work({ model, tokens, labels, trace, gradients, seed })
    } finally {
      gradients.dispose()
    }
  } finally {
    trace.dispose()
  }
}

/** Two tokens or more, the last half of which is scored. */
export function textOf(model: ModelCase, data: Data): Text {
  const tokens = data.ids(data.integer(2, model.positions), model.vocabulary)
  const labels = tokens.slice()
  labels.fill(-100, 0, Math.max(1, labels.length >> 1))
  return { tokens, labels }
}
