/**
 * The golden Llamas of fixtures/golden-llama as models of `src/spec`, and their cases.
 */
import { readFileSync } from 'node:fs'
import type { Rotary } from '../../src/ops/rotary_table.ts'
import { transpose } from '../../src/ops/transpose.ts'
import { store, tensor, zeros, type Matrix, type Tensor } from '../../src/spec/arrays.ts'
import type { LlamaLayer, LlamaModel } from '../../src/spec/llama.ts'
import type { Linear, Units } from '../../src/spec/model.ts'
import { fixtures, get, getFloats, readTensors, rowsIn, type Case } from './golden.ts'

/** The models: heads in groups, each head for itself, scaled rotations, and Mistral's name. */
export const llamaVariants = ['llama_gqa', 'llama_mha', 'llama3_rope', 'mistral'] as const
export type LlamaVariant = (typeof llamaVariants)[number]

/** The cases each variant has, besides `greedy`. */
export function llamaCases(variant: LlamaVariant): string[] {
  return ['single', ...(variant === 'llama_gqa' ? ['batch'] : []), 'rightpad', 'leftpad', 'continuation']
}

/** A file of a variant. */
const pathOf = (variant: LlamaVariant, file: string): string => `${fixtures}golden-llama/${variant}/${file}`

/** One case of one variant. */
export function readLlamaCase(variant: LlamaVariant, name: string): Case {
  return readTensors(pathOf(variant, `cases/${name}.safetensors`))
}

/** The mask of a case. */
export function unitsIn(tensors: Case): Units {
  const rows = (name: string): Float32Array[] => rowsIn(getFloats(tensors, name), get(tensors, name).shape[1])
  return { heads: rows('head_mask'), neurons: rows('ffn_mask') }
}

/** The fields of `rope_scaling` and `rope_parameters`. */
interface RopeFields {
  readonly rope_type: 'default' | 'llama3'
  readonly rope_theta: number
  readonly factor: number
  readonly low_freq_factor: number
  readonly high_freq_factor: number
  readonly original_max_position_embeddings: number
}

/** The fields of a config that a model follows from. */
interface Config {
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly hidden_size: number
  readonly head_dim?: number
  readonly rms_norm_eps: number
  readonly tie_word_embeddings: boolean
  readonly rope_theta?: number // with rope_scaling
  readonly rope_scaling?: RopeFields | null
  readonly rope_parameters?: RopeFields // instead of both
}

function rotaryOf({ rope_theta, rope_scaling, rope_parameters }: Config): Rotary {
  const scaling = rope_parameters ?? rope_scaling
  return {
    base: rope_parameters?.rope_theta ?? (rope_theta as number),
    scaling:
      scaling?.rope_type === 'llama3'
        ? {
            kind: 'llama3',
            factor: scaling.factor,
            lowFrequencyFactor: scaling.low_freq_factor,
            highFrequencyFactor: scaling.high_freq_factor,
            originalPositions: scaling.original_max_position_embeddings,
          }
        : null,
  }
}

/** A variant, as the first of its two configs or as the other describes it. */
export function goldenLlama(variant: LlamaVariant, file = 'config.json'): LlamaModel {
  const config = JSON.parse(readFileSync(pathOf(variant, file), 'utf8')) as Config
  const tensors = readTensors(pathOf(variant, 'model.safetensors'))
  const find = (name: string): Tensor => {
    const { shape, values } = get(tensors, name)
    return tensor(Float32Array.from(values), ...shape)
  }
  const matrix = (name: string): Matrix => store(find(name), 'f32')
  const layer = (l: number): LlamaLayer => {
    const prefix = `model.layers.${l}`
    const linear = (name: string): Linear => ({
      weight: matrix(`${prefix}.self_attn.${name}.weight`),
      bias: null,
    })
    return {
      attentionNorm: find(`${prefix}.input_layernorm.weight`),
      query: linear('q_proj'),
      key: linear('k_proj'),
      value: linear('v_proj'),
      out: store(transposed(find(`${prefix}.self_attn.o_proj.weight`)), 'f32'),
      ffnNorm: find(`${prefix}.post_attention_layernorm.weight`),
      gate: matrix(`${prefix}.mlp.gate_proj.weight`),
      up: matrix(`${prefix}.mlp.up_proj.weight`),
      down: store(transposed(find(`${prefix}.mlp.down_proj.weight`)), 'f32'),
    }
  }
  const tokenTable = matrix('model.embed_tokens.weight')
  return {
    heads: config.num_attention_heads,
    headSize: config.head_dim ?? config.hidden_size / config.num_attention_heads,
    epsilon: config.rms_norm_eps,
    rotary: rotaryOf(config),
    cache: 'f32',
    tokenTable,
    layers: Array.from({ length: config.num_hidden_layers }, (_, l) => layer(l)),
    finalNorm: find('model.norm.weight'),
    head: config.tie_word_embeddings ? tokenTable : matrix('lm_head.weight'),
  }
}

/** [O, I] to [I, O]. */
function transposed({ data, shape: [O, I] }: Tensor): Tensor {
  const y = zeros(I, O)
  transpose(y.data, data, O, I)
  return y
}
