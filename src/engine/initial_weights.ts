/**
 * Weights for a model that was never trained, as OPT and Llama initialise them: matrices and tables normal with deviation
 * 0.02, biases 0, norms 1 and 0 (offset and weight together). Benches and training begin here; laws ask for livelier numbers.
 *
 * The matrices out and fc2 add to the stream once per layer and half. They are drawn smaller by 1/sqrt(2 L) (GPT-2, Radford
 * et al. 2019), so that the stream is as wide at the last layer of a deep model as of a shallow one.
 */
import type { HostTensor } from '../tensor/memory_source.ts'
import { Random } from '../tensor/random.ts'
import type { ModelConfig } from './config.ts'
import { modelParameters } from './program.ts'

/** How weights are drawn. */
export interface InitialWeightsOptions {
  readonly seed?: number
  /** Deviation of matrices and tables; default 0.02. */
  readonly deviation?: number
  /** What the deviation of out_proj and fc2 is multiplied by; default 1. `residualScale` is what training takes. */
  readonly residual?: number
  /** Deviation of biases around 0 and of layer norm weights around 1; default 0. */
  readonly biasDeviation?: number
}

/**
 * Random weights for a model that is to be trained or tried: every parameter by its Hugging Face name, for `memorySource`. The same seed
 * gives the same numbers on every engine.
 */
export function initialWeights(
  config: ModelConfig,
  options: InitialWeightsOptions = {},
): Map<string, HostTensor> {
  const { seed = 0, deviation = 0.02, residual = 1, biasDeviation = 0 } = options
  const random = new Random(seed)
  const tensors = new Map<string, HostTensor>()
  for (const [name, { shape, isTurned, offset = 0 }] of modelParameters(config)) {
    const spread = shape.length === 1 ? biasDeviation : deviation * (isTurned ? residual : 1)
    const centre = name.endsWith('norm.weight') ? 1 - offset : 0
    const length = shape.reduce((product, size) => product * size, 1)
    const draw = spread === 0 ? () => centre : () => centre + spread * random.normal()
    tensors.set(name, { shape, values: Float32Array.from({ length }, draw) })
  }
  return tensors
}

/** By how much smaller the matrices are drawn that add to the stream: 1/sqrt(2 L). */
export function residualScale(config: ModelConfig): number {
  return 1 / Math.sqrt(2 * config.layers)
}
