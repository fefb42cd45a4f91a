/**
 * The models whose cost is counted: sizes alone, from the configurations on Hugging Face. None of them is loaded.
 *
 * `70b-like` has the sizes of Llama-2-70B. The paper gives results for Llama-2 without saying what its units are; here
 * neuron j is row j of the gate and up projections and column j of the down projection, and a head is a query head with
 * its channels of the output projection. Keys and values belong to groups of heads.
 */
import { makeConfig, type ModelConfig } from '../../engine/config.ts'
import { POSITION_OFFSET } from '../../engine/names.ts'
import { UsageError } from '../../tensor/errors.ts'

/** The sizes of a decoder that costs depend on. */
export interface Architecture {
  readonly name: string
  readonly layers: number // L
  readonly width: number // D
  readonly heads: number // H
  /** Fewer than `heads` where several heads share keys and values. */
  readonly keyHeads: number
  readonly headSize: number // K
  readonly neurons: number // F
  readonly vocabulary: number // V
  /** Width of the token table; projected to D and back where it differs. */
  readonly embeddingWidth: number // E
  /** Rows of the position table; 0 for rotary positions. */
  readonly positionRows: number
  /** Three matrices per neuron (gate, up, down) in the place of two. */
  readonly gated: boolean
  /** Which linear layers have biases; norms have them where all do. */
  readonly biases: ModelConfig['biases']
  readonly finalNorm: boolean
  /** The lm_head is the token table. */
  readonly tied: boolean
}

/** A model by its configuration. */
export function architectureOf(name: string, config: ModelConfig): Architecture {
  const { layers, width, heads, keyHeads, headSize, neurons, vocabulary, embeddingWidth } = config
  const { finalNorm, tied, gated } = config
  const sizes = { layers, width, heads, keyHeads, headSize, neurons, vocabulary, embeddingWidth }
  return {
    name,
    ...sizes,
    positionRows: config.rotary ? 0 : config.positions + POSITION_OFFSET,
    gated,
    biases: config.biases,
    finalNorm,
    tied,
  }
}

/** The context of a model of the Llama family whose weights are random. */
const LLAMA_POSITIONS = 2048

/**
 * The configuration of a model by its sizes: one with rotary positions is of the Llama family, the others are OPT's. Of the
 * OPT models all but opt-350m have a norm after the last block, and those are the ones with a norm before each branch.
 */
export function configOf(model: Architecture): ModelConfig {
  const { layers, width, heads, keyHeads, headSize, neurons, vocabulary, embeddingWidth, tied } = model
  const sizes = { layers, width, heads, keyHeads, headSize, neurons, vocabulary, embeddingWidth, tied }
  if (model.positionRows === 0) return makeConfig({ ...sizes, family: 'llama', positions: LLAMA_POSITIONS })
  const positions = model.positionRows - POSITION_OFFSET
  return makeConfig({ ...sizes, positions, preNorm: model.finalNorm })
}

function opt(
  name: string,
  layers: number,
  width: number,
  heads: number,
  more: Partial<Architecture> = {},
): Architecture {
  return {
    name,
    layers,
    width,
    heads,
    keyHeads: heads,
    headSize: width / heads,
    neurons: 4 * width,
    vocabulary: 50272,
    embeddingWidth: width,
    positionRows: 2048 + POSITION_OFFSET,
    gated: false,
    biases: 'all',
    finalNorm: true,
    tied: true,
    ...more,
  }
}

/** A model of the Llama family: rotary positions, gated blocks, no biases. */
function llama(
  name: string,
  layers: number,
  width: number,
  heads: number,
  more: Partial<Architecture>,
): Architecture {
  const usual = { vocabulary: 32000, positionRows: 0, gated: true, biases: 'none', tied: false } as const
  return opt(name, layers, width, heads, { ...usual, ...more })
}

/** Every model that can be asked for. */
export const architectures: readonly Architecture[] = [
  opt('opt-125m', 12, 768, 12),
  opt('opt-350m', 24, 1024, 16, { embeddingWidth: 512, finalNorm: false }),
  llama('smollm2-135m', 30, 576, 9, { keyHeads: 3, neurons: 1536, vocabulary: 49152, tied: true }),
  llama('tinyllama-1.1b', 22, 2048, 32, { keyHeads: 4, neurons: 5632 }),
  opt('opt-1.3b', 24, 2048, 32),
  opt('opt-2.7b', 32, 2560, 32),
  opt('opt-6.7b', 32, 4096, 32),
  opt('opt-13b', 40, 5120, 40),
  opt('opt-30b', 48, 7168, 56),
  opt('opt-66b', 64, 9216, 72),
  llama('70b-like', 80, 8192, 64, { keyHeads: 8, neurons: 28672 }),
  opt('opt-175b', 96, 12288, 96),
]

/** A model by its name. @throws UsageError COST_MODEL */
export function architectureByName(name: string): Architecture {
  const found = architectures.find((one) => one.name === name)
  if (found) return found
  const names = architectures.map((one) => one.name).join(', ')
  throw new UsageError('COST_MODEL', `model: expected one of ${names}, got ${name}`)
}

/** How many numbers a model is made of, tied ones counted once. */
export function countParameters(model: Architecture): number {
  const { layers: L, width: D, headSize: K, vocabulary: V, embeddingWidth: E, gated, biases, tied } = model
  const linear = (inputs: number, outputs: number, hasBias = biases === 'all'): number =>
    inputs * outputs + (hasBias ? outputs : 0)
  const norm = biases === 'all' ? 2 * D : D
  const channels = model.heads * K
  const attention = linear(D, channels + 2 * model.keyHeads * K, biases !== 'none') + linear(channels, D)
  const ffn = (gated ? 2 : 1) * linear(D, model.neurons) + linear(model.neurons, D)
  const tables = (tied ? 1 : 2) * V * E + model.positionRows * D + (E === D ? 0 : 2 * D * E)
  return tables + L * (attention + ffn + 2 * norm) + (model.finalNorm ? norm : 0)
}
