/**
 * What the tensors of a checkpoint may be called.
 *
 * Canonical names are those of the programs of `src/spec`, which are Hugging Face's: `model.decoder.*` of OPT, `model.*` of the
 * Llama family, `lm_head.weight`. A checkpoint may leave out `model.` or `model.decoder.`; one of OPT may use the names of
 * metaseq: `layer_norm` for the decoder's `final_layer_norm`, `project_in_dim`, `project_out_dim`, `output_projection` for the
 * lm_head. One of the Llama family may hold matrices that read the same as rows of one, as Phi-3 does. `version`,
 * `rotary_emb.inv_freq` and the like are left unread. Shapes are compared before any value is read.
 */
import { InputError } from '../tensor/errors.ts'
import { shownName } from '../tensor/quote.ts'
import type { TensorInfo } from '../tensor/tensor_source.ts'
import type { ModelConfig } from './config.ts'
import { modelParameters, parameterShapes } from './program.ts'

/** Metaseq's words for OPT and ours. */
const METASEQ: ReadonlyMap<string, string> = new Map([
  ['layer_norm.weight', 'final_layer_norm.weight'],
  ['layer_norm.bias', 'final_layer_norm.bias'],
  ['project_in_dim.weight', 'project_in.weight'],
  ['project_out_dim.weight', 'project_out.weight'],
])

/** Matrices whose rows stand in one, in their order. */
const FUSED: ReadonlyMap<string, readonly string[]> = new Map([
  ['self_attn.qkv_proj', ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']],
  ['mlp.gate_up_proj', ['mlp.gate_proj', 'mlp.up_proj']],
])

/** The canonical names of the parameters whose rows a tensor has: one, or those that are fused in it. */
function partsOf(canonical: string): readonly string[] {
  const [, layer, module, part] = /^(model\.layers\.\d+\.)(.+)(\.\w+)$/.exec(canonical) ?? []
  return FUSED.get(module)?.map((one) => layer + one + part) ?? [canonical]
}

/** The Hugging Face name of a tensor, whichever of the accepted names it has; unknown names get one too. */
export function canonicalName(config: ModelConfig, name: string): string {
  const inside = name.replace(/^(model\.)?(decoder\.)?/, '')
  if (inside === 'lm_head.weight' || inside === 'output_projection.weight') return 'lm_head.weight'
  const isInModel = modelParameters(config).has('model.embed_tokens.weight')
  return isInModel ? `model.${inside}` : `model.decoder.${METASEQ.get(inside) ?? inside}`
}

/** Where a checkpoint has a parameter: in these rows of a tensor. */
export interface StoredParameter {
  readonly name: string
  readonly first: number
  readonly rows: number
}

/** How a checkpoint's tensors serve a model. */
export interface CheckpointNames {
  /** By canonical name, for every parameter of the model, in the order of the forward pass. */
  readonly stored: ReadonlyMap<string, StoredParameter>
  /** Tensors of the checkpoint that this model does not use (a tied lm_head among them). */
  readonly unused: readonly string[]
}

/**
 * Finds every parameter of a model among a checkpoint's tensors and compares shapes. Reads no values.
 * @throws InputError TENSOR_MISSING, TENSOR_SHAPE, TENSOR_DUPLICATE (two names for one parameter), TENSOR_EXTRA (a
 *   block beyond the last: the config belongs to a smaller model)
 */
export function matchTensors(config: ModelConfig, tensors: ReadonlyMap<string, TensorInfo>): CheckpointNames {
  const found = new Map<string, StoredParameter>()
  const shapes = parameterShapes(config)
  const unused: string[] = []
  for (const name of tensors.keys()) {
    const canonical = canonicalName(config, name)
    refuseExtraBlock(config, name, canonical)
    const parts = partsOf(canonical)
    if (!parts.every((part) => shapes.has(part))) {
      unused.push(name)
      continue
    }
    let first = 0
    for (const part of parts) {
      const other = found.get(part)
      if (other !== undefined)
        throw new InputError(
          'TENSOR_DUPLICATE',
          `${shownName(part)}: expected one tensor, got ${shownName(other.name)} and ${shownName(name)}`,
          {
            tensor: name,
          },
        )
      const [rows] = shapes.get(part) as readonly number[]
      found.set(part, { name, first, rows })
      first += rows
    }
  }
  const wholeRows = new Map<string, number>()
  for (const { name, first, rows } of found.values()) wholeRows.set(name, first + rows)
  const stored = new Map<string, StoredParameter>()
  for (const [canonical, shape] of shapes) {
    const parameter = found.get(canonical)
    if (parameter === undefined)
      throw new InputError(
        'TENSOR_MISSING',
        `${canonical}: expected [${shape.join(', ')}], got no such tensor`,
        {
          tensor: canonical,
        },
      )
    const { name } = parameter
    checkShape(tensors.get(name) as TensorInfo, [wholeRows.get(name) as number, ...shape.slice(1)])
    stored.set(canonical, parameter)
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

/** The layer a tensor says it belongs to; null for one outside the layers. */
function layerOf(name: string): number | null {
  const layer = /^model\.(?:decoder\.)?layers\.(\d+)\./.exec(name)
  return layer && Number(layer[1])
}

function checkShape(info: TensorInfo, shape: readonly number[]): void {
  if (info.shape.length === shape.length && info.shape.every((size, axis) => size === shape[axis])) return
  throw new InputError(
    'TENSOR_SHAPE',
    `${info.name}: expected [${shape.join(', ')}], got [${info.shape.join(', ')}]`,
    { tensor: info.name },
  )
}
