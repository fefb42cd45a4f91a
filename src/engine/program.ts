/**
 * The program of a model, and what follows from it: how it is laid out, and its parameters.
 */
import type { Rotary } from '../ops/rotary.ts'
import { newerFamilies } from '../spec/families.ts'
import { llama, type LlamaConfig } from '../spec/llama.ts'
import { opt, type OptConfig } from '../spec/opt.ts'
import { stepsOf, type Value } from '../spec/program.ts'
import { needsOf } from './needs.ts'
import { planOf, type ModelParameter, type Plan } from './plan.ts'
import { remembered } from '../tensor/records.ts'

/** What programs read of a configuration; only OPT has no rotations. */
type ProgramConfig = OptConfig &
  Omit<LlamaConfig, 'rotary'> & { readonly family: keyof typeof programs; readonly rotary: Rotary | null }

/** The program of each family. */
const programs = { opt, llama, ...newerFamilies } as const

/** The program of a model: its last value is the logits [T, V]. */
export function programOf(config: ProgramConfig): Value {
  return programs[config.family](config as ProgramConfig & { rotary: Rotary })
}

/** Whether a layer norms queries or keys over several heads: a part of what such a norm gives is needed, and all that it reads. */
export function normsAllHeads(config: ProgramConfig): boolean {
  const program = programOf({ ...config, layers: 1 })
  const needs = needsOf(program)
  return stepsOf(program).some((step) => step.op === 'rmsNorm' && needs.has(step) && !needs.has(step.of[0]))
}

const plans = new WeakMap<ProgramConfig, Plan>()

/** The program of a model, laid out. */
export function modelPlan(config: ProgramConfig): Plan {
  return remembered(plans, config, () => planOf(programOf(config)))
}

/** Every parameter of a model by its Hugging Face name, in the order of the forward pass. */
export function modelParameters(config: ProgramConfig): ReadonlyMap<string, ModelParameter> {
  return modelPlan(config).parameters
}

/** Their shapes as Hugging Face stores them. */
export function parameterShapes(config: ProgramConfig): Map<string, readonly number[]> {
  return new Map([...modelParameters(config)].map(([name, { shape }]) => [name, shape]))
}
