/**
 * What the tensors of a checkpoint are called, and what shape each has.
 *
 * Canonical names are Hugging Face's: `model.decoder.*` of OPT, `model.*` of the Llama family, `lm_head.weight`. A
 * checkpoint may leave out `model.` or `model.decoder.`; one of OPT may use the names of metaseq: `layer_norm` for the
 * decoder's `final_layer_norm`, `project_in_dim`, `project_out_dim`, `output_projection` for the lm_head. `version`,
 * `rotary_emb.inv_freq` and the like are left unread. Shapes are compared before any value is read.
 */
import { InputError } from '../tensor/errors.ts'
import { shownName } from '../tensor/quote.ts'
import type { TensorInfo } from '../tensor/tensor_source.ts'
import type { Family, ModelConfig } from './config.ts'
import { parametersOf, programOf } from './program.ts'

/** Rows of the position table before position 0: an inheritance of fairseq's padding index. */
export const POSITION_OFFSET = 2

/** What a layer is made of, as Hugging Face stores it. In a gated feed-forward block `fc1` is the gate, and `fc2` leads down. */
const modules = [
  'attentionNorm', // [D]
  'query', // [H K, D]
  'key', // [G K, D]
  'value', // [G K, D]
  'out', // [D, H K]
  'ffnNorm', // [D]
  'fc1', // [F, D]
  'up', // [F, D], of a gated block only
  'fc2', // [D, F]
] as const
export type Module = (typeof modules)[number]

/** The names of one family. */
interface Names {
  readonly tokenTable: string // [V, E]
  readonly finalNorm: string // [D]
  readonly head: string // [V, E]
  readonly layers: string
  readonly modules: Readonly<Record<Module, string>>
}

const namesOfFamily: Readonly<Record<Family, Names>> = {
  opt: {
    tokenTable: 'model.decoder.embed_tokens.weight',
    finalNorm: 'model.decoder.final_layer_norm',
    head: 'lm_head.weight',
    layers: 'model.decoder.layers',
    modules: {
      attentionNorm: 'self_attn_layer_norm',
      query: 'self_attn.q_proj',
      key: 'self_attn.k_proj',
      value: 'self_attn.v_proj',
      out: 'self_attn.out_proj',
      ffnNorm: 'final_layer_norm',
      fc1: 'fc1',
      up: '', // it has none
      fc2: 'fc2',
    },
  },
  llama: {
    tokenTable: 'model.embed_tokens.weight',
    finalNorm: 'model.norm',
    head: 'lm_head.weight',
    layers: 'model.layers',
    modules: {
      attentionNorm: 'input_layernorm',
      query: 'self_attn.q_proj',
      key: 'self_attn.k_proj',
      value: 'self_attn.v_proj',
      out: 'self_attn.o_proj',
      ffnNorm: 'post_attention_layernorm',
      fc1: 'mlp.gate_proj',
      up: 'mlp.up_proj',
      fc2: 'mlp.down_proj',
    },
  },
}

/** Parameters that only OPT has. */
const POSITION_TABLE = 'model.decoder.embed_positions.weight' // [positions + 2, D]
const PROJECT_IN = 'model.decoder.project_in.weight' // [D, E]
const PROJECT_OUT = 'model.decoder.project_out.weight' // [E, D]

/** Names of the parameters outside the layers. */
export function namesOf({ family }: Pick<ModelConfig, 'family'>) {
  const { tokenTable, finalNorm, head } = namesOfFamily[family]
  return {
    tokenTable,
    positionTable: POSITION_TABLE,
    projectIn: PROJECT_IN,
    projectOut: PROJECT_OUT,
    finalNorm,
    head,
  }
}

/** The full name of a layer's module: `model.decoder.layers.3.fc1`. It has a `.weight`, and a `.bias` in some models. */
export function moduleName({ family }: Pick<ModelConfig, 'family'>, layer: number, module: Module): string {
  const names = namesOfFamily[family]
  return `${names.layers}.${layer}.${names.modules[module]}`
}

/** Whether a matrix reads units: its columns are theirs, and it is held one row per input. */
export function readsUnits(name: string): boolean {
  return Object.values(namesOfFamily).some(({ modules: { out, fc2 } }) =>
    [out, fc2].some((module) => name.endsWith(`.${module}.weight`)),
  )
}

/** Whether this is the position table. */
export function isPositionTable(name: string): boolean {
  return name === POSITION_TABLE
}

/** The layer a parameter belongs to; null for one outside the layers. */
export function layerOf(name: string): number | null {
  const layer = /^model\.(?:decoder\.)?layers\.(\d+)\./.exec(name)
  return layer && Number(layer[1])
}

/** Every parameter of a model with its shape as Hugging Face stores it, in the order of the forward pass. */
export function parameterShapes(config: ModelConfig): Map<string, readonly number[]> {
  return new Map(parametersOf(programOf(config)).map(({ name, shape }) => [name, shape]))
}

/** Metaseq's words for OPT and ours. */
const METASEQ: ReadonlyMap<string, string> = new Map([
  ['layer_norm.weight', 'final_layer_norm.weight'],
  ['layer_norm.bias', 'final_layer_norm.bias'],
  ['project_in_dim.weight', 'project_in.weight'],
  ['project_out_dim.weight', 'project_out.weight'],
])

/** The Hugging Face name of a tensor, whichever of the accepted names it has; unknown names get one too. */
export function canonicalName({ family }: Pick<ModelConfig, 'family'>, name: string): string {
  const inside = name.replace(/^(model\.)?(decoder\.)?/, '')
  if (inside === 'lm_head.weight' || inside === 'output_projection.weight') return namesOfFamily[family].head
  return family === 'opt' ? `model.decoder.${METASEQ.get(inside) ?? inside}` : `model.${inside}`
}

/** How a checkpoint's tensors serve a model. */
export interface CheckpointNames {
  /** Canonical name -> name in the checkpoint, for every parameter of the model, in the order of the forward pass. */
  readonly stored: ReadonlyMap<string, string>
  /** Tensors of the checkpoint that this model does not use (a tied lm_head among them). */
  readonly unused: readonly string[]
}

/**
 * Finds every parameter of a model among a checkpoint's tensors and compares shapes. Reads no values.
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DUPLICATE (two names for one parameter), TENSOR_EXTRA (a
 *   block beyond the last: the config belongs to a smaller model)
 */
export function matchTensors(config: ModelConfig, tensors: ReadonlyMap<string, TensorInfo>): CheckpointNames {
  const byCanonicalName = new Map<string, string>()
  const shapes = parameterShapes(config)
  const unused: string[] = []
  for (const name of tensors.keys()) {
    const canonical = canonicalName(config, name)
    refuseExtraBlock(config, name, canonical)
    if (!shapes.has(canonical)) {
      unused.push(name)
      continue
    }
    const other = byCanonicalName.get(canonical)
    if (other !== undefined)
      throw new InputError(
        'TENSOR_DUPLICATE',
        `${shownName(canonical)}: expected one tensor, got ${shownName(other)} and ${shownName(name)}`,
        {
          tensor: name,
        },
      )
    byCanonicalName.set(canonical, name)
  }
  const stored = new Map<string, string>()
  for (const [canonical, shape] of shapes) {
    const name = byCanonicalName.get(canonical)
    if (name === undefined)
      throw new InputError(
        'TENSOR_MISSING',
        `${canonical}: expected [${shape.join(', ')}], got no such tensor`,
        {
          tensor: canonical,
        },
      )
    checkShape(tensors.get(name) as TensorInfo, shape)
    stored.set(canonical, name)
  }
  return { stored, unused }
}

function refuseExtraBlock(config: ModelConfig, name: string, canonical: string): void {
  const layer = layerOf(canonical)
  if (layer !== null && layer >= config.layers)
    throw new InputError(
      'TENSOR_EXTRA',
      `${shownName(name)}: expected blocks 0 to ${config.layers - 1}, got block ${layer}`,
      {
        tensor: name,
      },
    )
}

function checkShape(info: TensorInfo, shape: readonly number[]): void {
  if (info.shape.length === shape.length && info.shape.every((size, axis) => size === shape[axis])) return
  throw new InputError(
    'TENSOR_SHAPE',
    `${info.name}: expected [${shape.join(', ')}], got [${info.shape.join(', ')}]`,
    { tensor: info.name },
  )
}
