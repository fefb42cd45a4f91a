/**
 * Refuses what is no answer to the question that a planner was asked. An error names the planner, the question and the layer.
 */
import type { ChannelSite } from '../masks/channels.ts'
import { checkTable, type UnitMask, type UnitShape } from '../masks/mask.ts'
import { isDensePrompt, type LayerMask, type MaskPlanner } from '../masks/planner.ts'
import { describeValue, isObject } from '../tensor/arguments.ts'
import { UsageError } from '../tensor/errors.ts'
import { checkMask, checkSwitch, checkSwitches, layerMask } from './unit_lists.ts'

/** What a planner was asked. */
export interface Question {
  readonly planner: MaskPlanner
  readonly name: 'choose' | 'summarize'
  /** Absent where it is asked for the whole model. */
  readonly layer?: number
  readonly site?: ChannelSite
}

/**
 * Refuses an answer that is no mask of the whole model.
 * @param skips whether units are to be skipped by it
 * @throws UsageError MASK_SHAPE, MASK_VALUE; PLANNER_MASK if a layer that has run dense is not dense in it
 */
export function expectModelMask(
  planner: MaskPlanner,
  mask: UnitMask,
  shape: UnitShape,
  skips: boolean,
): void {
  naming({ planner, name: 'choose' }, () => {
    checkMask(mask, shape, skips)
    expectOnes(planner, mask)
  })
}

/** Refuses an answer that is neither the mask of a layer nor null. @throws UsageError MASK_SHAPE, MASK_VALUE */
export function expectLayerMask(
  question: Question,
  mask: LayerMask | null,
  shape: UnitShape,
  skips: boolean,
): void {
  if (mask === null) return
  naming(question, () => {
    if (!isObject(mask))
      throw new UsageError(
        'MASK_SHAPE',
        `mask: expected heads and neurons, or null for a dense layer, got ${describeValue(mask)}`,
      )
    checkTable(mask.heads, 'head mask', 1, shape.heads)
    checkTable(mask.neurons, 'neuron mask', 1, shape.neurons)
    if (skips) checkSwitches(mask)
  })
}

/** Refuses an answer that is no number for each of some units or channels. @throws UsageError MASK_SHAPE, MASK_VALUE */
export function expectRow(
  question: Question,
  mask: Float32Array,
  what: string,
  units: number,
  skips: boolean,
): void {
  naming(question, () => {
    checkTable(mask, what, 1, units)
    if (skips) checkSwitch(what, mask)
  })
}

/** Refuses an answer that is no summary. @param numbers how many it must have; absent: any @throws UsageError SCORE_SHAPE */
export function expectSummary(question: Question, summary: Float32Array, numbers?: number): void {
  naming(question, () => {
    if (numbers !== undefined) checkTable(summary, 'summary', 1, numbers, 'SCORE_SHAPE')
    else if (!(summary instanceof Float32Array))
      throw new UsageError(
        'SCORE_SHAPE',
        `summary: expected numbers in a Float32Array, got ${describeValue(summary)}`,
      )
  })
}

/** Checks an answer; its errors begin with the question. */
function naming({ planner, name, layer, site }: Question, check: () => void): void {
  try {
    check()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    const where = layer === undefined ? '' : ` in layer ${layer}${site === undefined ? '' : `, site ${site}`}`
    throw new UsageError(error.code, `planner ${planner.name}, ${name}${where}, ${error.message}`)
  }
}

/** Refuses a mask that skips units of layers which have run dense when it is decided. */
function expectOnes(planner: MaskPlanner, mask: UnitMask): void {
  // After a dense prompt no later pass has begun when a single decision is made.
  if (planner.by !== 'attention' || (isDensePrompt(planner) && planner.every === undefined)) return
  const { sourceLayer = 0 } = planner
  for (let layer = 0; layer <= sourceLayer; layer++) {
    const { heads, neurons } = layerMask(mask, layer)
    if ([heads, neurons].every((row) => row.every((value) => value === 1))) continue
    throw new UsageError(
      'PLANNER_MASK',
      `mask: expected ones for layers 0 to ${sourceLayer}, which run dense, got others in layer ${layer}`,
    )
  }
}
