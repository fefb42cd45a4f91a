/**
 * The models whose cost is counted: sizes alone, from the configurations on Hugging Face. None of them is loaded.
 *
 * `70b-like` has the sizes of Llama-2-70B. The paper gives results for Llama-2 without saying what its units are; here
 * neuron j is row j of the gate and up projections and column j of the down projection, and a head is a query head with
 * its channels of the output projection. Keys and values belong to groups of heads.
 */
import { makeConfig, type ModelConfig, type ModelSizes } from '../engine/config.ts'
import { modelParameters } from '../engine/program.ts'
import { expectOption, nameOption, type NameOption } from '../tensor/option.ts'

/** A model whose costs are counted: its configuration and a name. */
export interface Architecture extends ModelConfig {
  readonly name: string
}

/** A model by its configuration. */
export function architectureOf(name: string, config: ModelConfig): Architecture {
  return { ...config, name }
}

function opt(
  name: string,
  layers: number,
  width: number,
  heads: number,
  more: Partial<ModelSizes> = {},
): Architecture {
  const sizes = { layers, width, heads, neurons: 4 * width, vocabulary: 50272, positions: 2048 }
  return architectureOf(name, makeConfig({ ...sizes, ...more }))
}

/** A model of the Llama family. */
function llama(
  name: string,
  layers: number,
  width: number,
  heads: number,
  more: Partial<ModelSizes>,
): Architecture {
  return opt(name, layers, width, heads, { family: 'llama', vocabulary: 32000, ...more })
}

/** The layers of Gemma 3: five that see a window of the text, with rotations of their own, to each that sees all of it. */
function gemma3Layers(layers: number, window: number): Pick<ModelSizes, 'layerRotary' | 'layerWindow'> {
  const seesAll = Array.from({ length: layers }, (_, l) => (l + 1) % 6 === 0)
  const [all, local] = [1e6, 1e4].map((base) => ({ base, scaling: null }))
  return {
    layerRotary: seesAll.map((one) => (one ? all : local)),
    layerWindow: seesAll.map((one) => (one ? null : window)),
  }
}

/** Every model that can be asked for. */
export const architectures: readonly Architecture[] = [
  opt('opt-125m', 12, 768, 12),
  opt('opt-350m', 24, 1024, 16, { embeddingWidth: 512, preNorm: false }),
  llama('gemma-3-270m', 18, 640, 4, {
    family: 'gemma3',
    keyHeads: 1,
    headSize: 256,
    neurons: 2048,
    vocabulary: 262_144,
    positions: 32_768,
    rotary: { base: 1e6, scaling: null },
    ...gemma3Layers(18, 512),
    embeddingScale: Math.fround(Math.sqrt(640)),
  }),
  llama('smollm2-135m', 30, 576, 9, { keyHeads: 3, neurons: 1536, vocabulary: 49152, tied: true }),
  llama('qwen3-0.6b', 28, 1024, 16, {
    family: 'qwen3',
    keyHeads: 8,
    headSize: 128,
    neurons: 3072,
    vocabulary: 151_936,
    positions: 32_768,
    rotary: { base: 1e6, scaling: null },
    tied: true,
  }),
  llama('tinyllama-1.1b', 22, 2048, 32, { keyHeads: 4, neurons: 5632 }),
  llama('llama-3.2-1b', 16, 2048, 32, {
    keyHeads: 8,
    neurons: 8192,
    vocabulary: 128_256,
    positions: 32_768,
    rotary: { base: 5e5, scaling: null },
    tied: true,
  }),
  opt('opt-1.3b', 24, 2048, 32),
  opt('opt-2.7b', 32, 2560, 32),
  opt('opt-6.7b', 32, 4096, 32),
  opt('opt-13b', 40, 5120, 40),
  opt('opt-30b', 48, 7168, 56),
  opt('opt-66b', 64, 9216, 72),
  llama('70b-like', 80, 8192, 64, { keyHeads: 8, neurons: 28672 }),
  opt('opt-175b', 96, 12288, 96),
]

/** The name of one. */
export const architectureOption: NameOption<string> = nameOption(
  'COST_MODEL',
  architectures.map(({ name }) => name),
)

/** A model by its name. @throws UsageError COST_MODEL */
export function architectureByName(name: string): Architecture {
  expectOption('model', name, architectureOption)
  return architectures.find((one) => one.name === name) as Architecture
}

/** How many numbers a model is made of, tied ones counted once. */
export function countParameters(model: ModelConfig): number {
  let count = 0
  for (const { shape } of modelParameters(model).values()) count += shape.reduce((size, n) => size * n, 1)
  return count
}
