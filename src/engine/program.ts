/**
 * The program of a model, and what follows from it: how it is laid out, and its parameters.
 */
import type { Rotary } from '../ops/rotary.ts'
import { newerFamilies } from '../spec/families.ts'
import { llama } from '../spec/llama.ts'
import { opt } from '../spec/opt.ts'
import type { Value } from '../spec/program.ts'
import type { Family, ModelConfig } from './config.ts'
import { planOf, type ModelParameter, type Plan } from './plan.ts'

/** The program of each family; only OPT has no rotations. */
const programs: Readonly<Record<Family, (config: ModelConfig & { rotary: Rotary }) => Value>> = {
  opt,
  llama,
  ...newerFamilies,
}

/** The program of a model: its last value is the logits [T, V]. */
export function programOf(config: ModelConfig): Value {
  return programs[config.family](config as ModelConfig & { rotary: Rotary })
}

const plans = new WeakMap<ModelConfig, Plan>()

/** The program of a model, laid out. */
export function modelPlan(config: ModelConfig): Plan {
  const plan = plans.get(config) ?? planOf(programOf(config))
  plans.set(config, plan)
  return plan
}

/** Every parameter of a model by its Hugging Face name, in the order of the forward pass. */
export function modelParameters(config: ModelConfig): ReadonlyMap<string, ModelParameter> {
  return modelPlan(config).parameters
}

/** Their shapes as Hugging Face stores them. */
export function parameterShapes(config: ModelConfig): Map<string, readonly number[]> {
  return new Map([...modelParameters(config)].map(([name, { shape }]) => [name, shape]))
}
