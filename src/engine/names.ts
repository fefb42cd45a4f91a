/**
 * What the tensors of a checkpoint may be called.
 *
 * Canonical names are those of the programs of `src/spec`, which are Hugging Face's: `model.decoder.*` of OPT, `model.*` of the
 * Llama family, `lm_head.weight`. A checkpoint may leave out `model.` or `model.decoder.`; one of OPT may use the names of
 * metaseq: `layer_norm` for the decoder's `final_layer_norm`, `project_in_dim`, `project_out_dim`, `output_projection` for the
 * lm_head. `version`, `rotary_emb.inv_freq` and the like are left unread. Shapes are compared before any value is read.
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

/** The Hugging Face name of a tensor, whichever of the accepted names it has; unknown names get one too. */
export function canonicalName(config: ModelConfig, name: string): string {
  const inside = name.replace(/^(model\.)?(decoder\.)?/, '')
  if (inside === 'lm_head.weight' || inside === 'output_projection.weight') return 'lm_head.weight'
  const isInModel = modelParameters(config).has('model.embed_tokens.weight')
  return isInModel ? `model.${inside}` : `model.decoder.${METASEQ.get(inside) ?? inside}`
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
