/**
 * The shape of an OPT model, from its Hugging Face config.json.
 *
 * Every field that changes a number is typed and ranged; sizes have no defaults, the rest has those of Hugging Face.
 * What would need arithmetic that is not here (another activation, no biases, plain layer norms) is refused by name.
 * Fields about dropout, training and generation are not ours. Fields that name remote code are never followed;
 * `remoteCodeFields` lists them so that a user can be told.
 */
import { MAX_CONTEXT } from '../ops/attention.ts'
import { InputError } from '../tensor/errors.ts'
import { quote } from '../tensor/quote.ts'

/** The sizes and switches of a model. */
export interface OptConfig {
  readonly layers: number // L
  readonly width: number // D = H * K
  readonly heads: number // H
  readonly headSize: number // K
  readonly neurons: number // F, per layer
  readonly vocabulary: number // V
  /** Width of the token table; where it is not D, project_in and project_out stand between. */
  readonly embeddingWidth: number // E
  /** The longest sequence. The position table has two rows more. */
  readonly positions: number
  /** Layer norm before each branch (all but OPT-350m), or after each residual sum. */
  readonly preNorm: boolean
  /** A layer norm after the last block; never with post-norm. */
  readonly finalNorm: boolean
  /** The lm_head is the token table. */
  readonly tied: boolean
  readonly bosId: number
  readonly eosId: number
  readonly padId: number
}

/** What a configuration made by hand must say; the rest follows or has OPT's usual value. */
export type OptSizes = Pick<
  OptConfig,
  'layers' | 'width' | 'heads' | 'neurons' | 'vocabulary' | 'positions'
> &
  Partial<OptConfig>

/**
 * A configuration from sizes, for models that are made rather than read.
 * @throws InputError CONFIG_HEADS if the heads do not divide the width
 */
export function makeOptConfig(sizes: OptSizes): OptConfig {
  const { width, heads } = sizes
  if (width % heads !== 0)
    throw new InputError(
      'CONFIG_HEADS',
      `num_attention_heads: expected a divisor of hidden_size ${width}, got ${heads}`,
    )
  const preNorm = sizes.preNorm ?? true
  return {
    embeddingWidth: width,
    tied: true,
    bosId: 2,
    eosId: 2,
    padId: 1,
    ...sizes,
    headSize: width / heads,
    preNorm,
    finalNorm: preNorm && (sizes.finalNorm ?? true),
  }
}

const MAX_LAYERS = 1024
const MAX_WIDTH = 2 ** 20
const MAX_VOCABULARY = 2 ** 24

/**
 * Reads a parsed config.json.
 * @throws InputError CONFIG_NOT_OBJECT, CONFIG_MODEL_TYPE, CONFIG_MISSING, CONFIG_TYPE, CONFIG_RANGE, CONFIG_HEADS,
 *   CONFIG_ACTIVATION, CONFIG_UNSUPPORTED
 */
export function parseOptConfig(json: unknown): OptConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new InputError('CONFIG_NOT_OBJECT', `config: expected an object, got ${describe(json)}`)
  const fields = json as Readonly<Record<string, unknown>>
  expectValue(fields, 'model_type', ['opt'], undefined, 'CONFIG_MODEL_TYPE')
  expectValue(fields, 'activation_function', ['relu'], 'relu', 'CONFIG_ACTIVATION')
  expectValue(fields, 'enable_bias', [true], true, 'CONFIG_UNSUPPORTED')
  expectValue(fields, 'layer_norm_elementwise_affine', [true], true, 'CONFIG_UNSUPPORTED')
  const width = readWhole(fields, 'hidden_size', 1, MAX_WIDTH)
  const vocabulary = readWhole(fields, 'vocab_size', 1, MAX_VOCABULARY)
  return makeOptConfig({
    layers: readWhole(fields, 'num_hidden_layers', 1, MAX_LAYERS),
    width,
    heads: readWhole(fields, 'num_attention_heads', 1, width),
    neurons: readWhole(fields, 'ffn_dim', 1, MAX_WIDTH),
    vocabulary,
    embeddingWidth: readWhole(fields, 'word_embed_proj_dim', 1, MAX_WIDTH, width),
    positions: readWhole(fields, 'max_position_embeddings', 1, MAX_CONTEXT),
    preNorm: readFlag(fields, 'do_layer_norm_before', true),
    finalNorm: !readFlag(fields, '_remove_final_layer_norm', false),
    tied: readFlag(fields, 'tie_word_embeddings', true),
    bosId: readWhole(fields, 'bos_token_id', 0, vocabulary - 1, 2),
    eosId: readWhole(fields, 'eos_token_id', 0, vocabulary - 1, 2),
    padId: readWhole(fields, 'pad_token_id', 0, vocabulary - 1, 1),
  })
}

/** Fields of a config.json that would have Hugging Face run code from the repository. Nothing here follows them. */
export function remoteCodeFields(json: unknown): string[] {
  if (typeof json !== 'object' || json === null) return []
  return ['auto_map', 'custom_pipelines', 'trust_remote_code'].filter((name) => Object.hasOwn(json, name))
}

type Fields = Readonly<Record<string, unknown>>

/** A field of the file itself: nothing is inherited, "__proto__" is a name like any other. */
function field(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined
}

function readWhole(fields: Fields, name: string, least: number, most: number, otherwise?: number): number {
  const value = field(fields, name)
  if (value === undefined) {
    if (otherwise === undefined)
      throw new InputError('CONFIG_MISSING', `${name}: expected a whole number, got nothing`)
    if (otherwise >= least && otherwise <= most) return otherwise
    throw outOfRange(name, least, most, `the default ${otherwise}`)
  }
  if (typeof value !== 'number' || !Number.isInteger(value))
    throw new InputError('CONFIG_TYPE', `${name}: expected a whole number, got ${describe(value)}`)
  if (value < least || value > most) throw outOfRange(name, least, most, String(value))
  return value
}

function outOfRange(name: string, least: number, most: number, got: string): InputError {
  return new InputError('CONFIG_RANGE', `${name}: expected ${least} to ${most}, got ${got}`)
}

function readFlag(fields: Fields, name: string, otherwise: boolean): boolean {
  const value = field(fields, name)
  if (value === undefined) return otherwise
  if (typeof value === 'boolean') return value
  throw new InputError('CONFIG_TYPE', `${name}: expected true or false, got ${describe(value)}`)
}

function expectValue(
  fields: Fields,
  name: string,
  allowed: readonly (string | boolean)[],
  otherwise: string | boolean | undefined,
  code: string,
): void {
  const value = field(fields, name) ?? otherwise
  if (!allowed.some((one) => one === value))
    throw new InputError(code, `${name}: expected ${allowed.join(' or ')}, got ${describe(value)}`)
}

/** A short picture of a value for an error message; never more than a few words of it. */
function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'an object'
  return typeof value === 'string' ? quote(value) : String(value)
}
