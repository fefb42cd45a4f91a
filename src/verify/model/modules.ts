/**
 * The parameters of a layer by what they do, from the order of its steps: laws change some of them, and other engines are given them
 * by other names.
 */
import type { ModelConfig } from '../../engine/config.ts'
import { programOf } from '../../engine/program.ts'
import { stepsOf, type Value } from '../../spec/program.ts'

/** What a layer is made of. In a gated feed-forward network `fc1` is the gate, and `fc2` leads down. */
export type Module = 'attentionNorm' | 'query' | 'key' | 'value' | 'out' | 'ffnNorm' | 'fc1' | 'up' | 'fc2'

/** The operations of each kind, in the order of a layer. */
const inOrder: readonly (readonly [ops: readonly Value['op'][], modules: readonly Module[]])[] = [
  [['linear'], ['query', 'key', 'value', 'fc1', 'up']],
  [['combine'], ['out', 'fc2']],
  [
    ['layerNorm', 'rmsNorm'],
    ['attentionNorm', 'ffnNorm'],
  ],
]

/** The steps of a layer: from one stream to the next. */
function layerSteps(config: ModelConfig, layer: number): Value[] {
  const steps = stepsOf(programOf(config))
  const streamAt = (l: number): number => steps.findIndex(({ tap }) => tap === `stream ${l}`)
  return steps.slice(streamAt(layer) + 1, streamAt(layer + 1) + 1)
}

const moduleOf = (weight: string): string => weight.replace(/\.weight$/, '')

/** The full name of a layer's module: `model.decoder.layers.3.fc1`. It has a `.weight`, and a `.bias` in some models. */
export function moduleName(config: ModelConfig, layer: number, module: Module): string {
  const steps = layerSteps(config, layer)
  // Norms of queries and keys are none of these modules.
  const ofHeads = steps.flatMap((step) => (step.op === 'rotate' || step.op === 'attention' ? step.of : []))
  const own = steps.filter((step) => step.op !== 'rmsNorm' || !ofHeads.includes(step))
  for (const [ops, modules] of inOrder) {
    const step = own.filter(({ op }) => ops.includes(op))[modules.indexOf(module)] as Value | undefined
    if (modules.includes(module) && step && 'weight' in step) return moduleOf(step.weight.name)
  }
  throw new RangeError(`modules: expected layer ${layer} to have ${module}, got none`)
}

/** The names of the modules that make neurons: fc1, or the gate and up. */
export function neuronMakers(config: ModelConfig, layer: number): string[] {
  const products = layerSteps(config, layer).flatMap((step) =>
    step.op === 'linear' ? [moduleOf(step.weight.name)] : [],
  )
  // After query, key and value.
  return products.slice(3)
}

/** The name of the token table. */
export function tokenTableOf(config: ModelConfig): string {
  const [table] = stepsOf(programOf(config)).flatMap((step) =>
    step.op === 'embedding' && step.of[0].op === 'tokens' ? [step.weight.name] : [],
  )
  return table
}
