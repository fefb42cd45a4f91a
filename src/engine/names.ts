/**
 * What the tensors of an OPT checkpoint are called, and what shape each has.
 *
 * Canonical names are Hugging Face's: `model.decoder.*` and `lm_head.weight`. A checkpoint may leave out `model.` or
 * `model.decoder.`, and may use the names of metaseq: `layer_norm` for the decoder's `final_layer_norm`,
 * `project_in_dim`, `project_out_dim`, `output_projection` for the lm_head. `version` and the like are left unread.
 * Shapes are compared before any value is read.
 */
import { InputError } from '../tensor/errors.ts'
import { shownName } from '../tensor/quote.ts'
import type { TensorInfo } from '../tensor/tensor_source.ts'
import type { OptConfig } from './config.ts'

/** Rows of the position table before position 0: an inheritance of fairseq's padding index. */
export const POSITION_OFFSET = 2

const DECODER = 'model.decoder.'

/** Names of the parameters that are held outside the blocks. */
export const names = {
  tokenTable: `${DECODER}embed_tokens.weight`, // [V, E]
  positionTable: `${DECODER}embed_positions.weight`, // [positions + 2, D]
  projectIn: `${DECODER}project_in.weight`, // [D, E]
  projectOut: `${DECODER}project_out.weight`, // [E, D]
  finalNorm: `${DECODER}final_layer_norm`, // [D]
  head: 'lm_head.weight', // [V, E]
} as const

/** The modules of a block; each has a `.weight` and a `.bias`. */
export const modules = {
  attentionNorm: 'self_attn_layer_norm', // [D]
  query: 'self_attn.q_proj', // [D, D]
  key: 'self_attn.k_proj', // [D, D]
  value: 'self_attn.v_proj', // [D, D]
  out: 'self_attn.out_proj', // [D, D]
  ffnNorm: 'final_layer_norm', // [D]
  fc1: 'fc1', // [F, D]
  fc2: 'fc2', // [D, F]
} as const

/** The full name of a block's module: `model.decoder.layers.3.fc1`. */
export function moduleName(layer: number, module: keyof typeof modules): string {
  return `${DECODER}layers.${layer}.${modules[module]}`
}

/** The block a parameter belongs to; null for one outside the blocks. */
export function layerOf(name: string): number | null {
  const block = /^model\.decoder\.layers\.(\d+)\./.exec(name)
  return block && Number(block[1])
}

/** Every parameter of a model with its shape as Hugging Face stores it, in the order of the forward pass. */
export function parameterShapes(config: OptConfig): Map<string, readonly number[]> {
  const { width: D, neurons: F, vocabulary: V, embeddingWidth: E } = config
  const shapes = new Map<string, readonly number[]>()
  const both = (name: string, weight: readonly number[]): void => {
    shapes.set(`${name}.weight`, weight)
    shapes.set(`${name}.bias`, [weight[0]])
  }
  shapes.set(names.tokenTable, [V, E])
  if (E !== D) shapes.set(names.projectIn, [D, E])
  shapes.set(names.positionTable, [config.positions + POSITION_OFFSET, D])
  for (let layer = 0; layer < config.layers; layer++) {
    both(moduleName(layer, 'attentionNorm'), [D])
    for (const module of ['query', 'key', 'value', 'out'] as const) both(moduleName(layer, module), [D, D])
    both(moduleName(layer, 'ffnNorm'), [D])
    both(moduleName(layer, 'fc1'), [F, D])
    both(moduleName(layer, 'fc2'), [D, F])
  }
  if (config.finalNorm) both(names.finalNorm, [D])
  if (E !== D) shapes.set(names.projectOut, [E, D])
  if (!config.tied) shapes.set(names.head, [V, E])
  return shapes
}

/** Metaseq's words and ours. */
const METASEQ: ReadonlyMap<string, string> = new Map([
  ['layer_norm.weight', 'final_layer_norm.weight'],
  ['layer_norm.bias', 'final_layer_norm.bias'],
  ['project_in_dim.weight', 'project_in.weight'],
  ['project_out_dim.weight', 'project_out.weight'],
])

/** The Hugging Face name of a tensor, whichever of the accepted names it has; unknown names get one too. */
export function canonicalName(name: string): string {
  const inside = name.replace(/^(model\.)?(decoder\.)?/, '')
  if (inside === 'lm_head.weight' || inside === 'output_projection.weight') return names.head
  return DECODER + (METASEQ.get(inside) ?? inside)
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
export function matchTensors(config: OptConfig, tensors: ReadonlyMap<string, TensorInfo>): CheckpointNames {
  const byCanonicalName = new Map<string, string>()
  const shapes = parameterShapes(config)
  const unused: string[] = []
  for (const name of tensors.keys()) {
    const canonical = canonicalName(name)
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

function refuseExtraBlock(config: OptConfig, name: string, canonical: string): void {
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
