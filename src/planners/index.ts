/**
 * The planners, in the order of a table. A new one is a file with its record, and a line of this list.
 *
 * What differs between them is the source of their scores and when they decide; each file begins with its formula.
 */
import { ways, type Prefill } from '../masks/planner.ts'
import { expectOption, nameOption, type NameOption } from '../tensor/option.ts'
import { catsRecord } from './cats.ts'
import { coreinferRecord } from './coreinfer.ts'
import { dejavuRecord } from './dejavu.ts'
import { dejavuStyleRecord } from './dejavu_style.ts'
import { denseRecord } from './dense.ts'
import { glassRecord } from './glass.ts'
import { griffinRecord } from './griffin.ts'
import { griffinStaticRecord } from './griffin_static.ts'
import { oracleRecord } from './oracle.ts'
import { promptPlainactRecord } from './prompt_plainact.ts'
import { promptStaticRecord } from './prompt_static.ts'
import { randomRecord } from './random.ts'
import type { Predictors } from './predictors.ts'
import type { Need, PlannerRecord } from './record.ts'
import { shadowRecord } from './shadow.ts'
import { staticRecord } from './static.ts'
import { tealRecord } from './teal.ts'
import { winaRecord } from './wina.ts'

const list = [
  denseRecord,
  staticRecord,
  randomRecord,
  oracleRecord,
  promptPlainactRecord,
  promptStaticRecord,
  griffinRecord,
  coreinferRecord,
  glassRecord,
  griffinStaticRecord,
  shadowRecord,
  dejavuStyleRecord,
  dejavuRecord,
  catsRecord,
  tealRecord,
  winaRecord,
] as const

/** The name of a planner. */
export type PlannerName = (typeof list)[number]['name']

/** The record of every planner. */
export const planners: readonly PlannerRecord<PlannerName>[] = list

/** Their names, in the order of a table. */
export const plannerNames: readonly PlannerName[] = planners.map(({ name }) => name)
export const plannerOption: NameOption<PlannerName> = nameOption('PLANNER', plannerNames)

/** The names of the planners of which something holds. */
export function plannersThat(holds: (planner: PlannerRecord<PlannerName>) => boolean): PlannerName[] {
  return planners.filter(holds).map(({ name }) => name)
}

const records = new Map(planners.map((record) => [record.name, record]))

/** The record of a name. @throws UsageError PLANNER for a name of none */
export function plannerOf(name: PlannerName): PlannerRecord<PlannerName> {
  expectOption('planner', name, plannerOption)
  return records.get(name) as PlannerRecord<PlannerName>
}

/** Whether a planner decides by something. */
export function needs(name: PlannerName, need: Need): boolean {
  return plannerOf(name).needs.includes(need)
}

/** The kind of predictor that a planner asks; null where it asks none. */
export function predictorKindOf(name: PlannerName): keyof Predictors | null {
  return needs(name, 'predictor') ? (name as keyof Predictors) : null
}

/** The kinds of predictor that planners ask, each once. */
export function kindsNeeded(names: readonly PlannerName[]): (keyof Predictors)[] {
  return plannersThat(
    (planner) => names.includes(planner.name) && planner.needs.includes('predictor'),
  ) as (keyof Predictors)[]
}

/** Whether a planner decides about neurons or input channels only; all heads are computed. */
export function keepsHeads(name: PlannerName): boolean {
  return ['neurons', 'channels'].includes(plannerOf(name).skips)
}

/** When a planner decides: `once`, in the prompt, or again after every so many tokens, or where attention shifts (`auto`). */
export type Every = 'once' | 'auto' | number

/** When a planner decides by default. */
export function defaultEvery(name: PlannerName): Every {
  const { by } = plannerOf(name)
  return by === 'layer' || by === 'gate' || by === 'channels' ? 1 : 'once'
}

/** How the prompt runs by default: dense where nothing is skipped or the planner is shown what it computes, else under the mask. */
export function defaultPrefill(name: PlannerName): Prefill {
  const { by } = plannerOf(name)
  return by === null || ways[by].seesPrompt ? 'dense' : 'masked'
}
