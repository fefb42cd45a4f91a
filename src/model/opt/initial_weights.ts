/**
 * Weights for a model that was never trained, as OPT initialises them: matrices and tables normal with deviation 0.02,
 * biases 0, layer norms 1 and 0. Benches and training begin here; laws ask for livelier numbers.
 */
import type { HostTensor } from '../../tensor/memory_source.ts'
import { Random } from '../../tensor/random.ts'
import type { OptConfig } from './config.ts'
import { parameterShapes } from './names.ts'

/** How weights are drawn. */
export interface InitialWeightsOptions {
  readonly seed?: number
  /** Deviation of matrices and tables; default 0.02. */
  readonly deviation?: number
  /** Deviation of biases around 0 and of layer norm weights around 1; default 0. */
  readonly biasDeviation?: number
}

/** Every parameter by its Hugging Face name. The same seed gives the same numbers on every engine. */
export function initialWeights(
  config: OptConfig,
  options: InitialWeightsOptions = {},
): Map<string, HostTensor> {
  const { seed = 0, deviation = 0.02, biasDeviation = 0 } = options
  const random = new Random(seed)
  const tensors = new Map<string, HostTensor>()
  for (const [name, shape] of parameterShapes(config)) {
    const spread = shape.length === 1 ? biasDeviation : deviation
    const centre = name.endsWith('norm.weight') ? 1 : 0
    const length = shape.reduce((product, size) => product * size, 1)
    const draw = spread === 0 ? () => centre : () => centre + spread * random.normal()
    tensors.set(name, { shape, values: Float32Array.from({ length }, draw) })
  }
  return tensors
}
