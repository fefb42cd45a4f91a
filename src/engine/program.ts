/**
 * The program of a model, and what follows from it: its parameters.
 */
import type { Rotary } from '../ops/rotary_table.ts'
import { llama } from '../spec/llama.ts'
import { opt } from '../spec/opt.ts'
import { stepsOf, type Parameter, type Value } from '../spec/program.ts'
import type { ModelConfig } from './config.ts'

/** The program of a model: its last value is the logits [T, V]. */
export function programOf(config: ModelConfig): Value {
  if (config.family === 'opt') return opt(config)
  return llama({ ...config, rotary: config.rotary as Rotary, activation: 'silu' })
}

/** Every parameter that a program reads, once, in the order in which it is first read. */
export function parametersOf(program: Value): Parameter[] {
  const found = new Map<string, Parameter>()
  for (const step of stepsOf(program))
    for (const parameter of [
      ('weight' in step && step.weight) || null,
      ('bias' in step && step.bias) || null,
    ])
      if (parameter !== null && !found.has(parameter.name)) found.set(parameter.name, parameter)
  return [...found.values()]
}
