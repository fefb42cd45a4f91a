/**
 * A config.json is read strictly: what is there is honoured or refused by name, nothing is guessed.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeOptConfig, parseOptConfig, remoteCodeFields } from '../../src/model/opt/config.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law } from '../harness/seed.ts'

const opt125m = {
  _remove_final_layer_norm: false,
  activation_dropout: 0.0,
  activation_function: 'relu',
  architectures: ['OPTForCausalLM'],
  bos_token_id: 2,
  do_layer_norm_before: true,
  eos_token_id: 2,
  ffn_dim: 3072,
  hidden_size: 768,
  max_position_embeddings: 2048,
  model_type: 'opt',
  num_attention_heads: 12,
  num_hidden_layers: 12,
  pad_token_id: 1,
  prefix: '</s>',
  vocab_size: 50272,
  word_embed_proj_dim: 768,
}

/** The code a config is refused with. */
function codeOf(json: unknown): string {
  try {
    parseOptConfig(json)
  } catch (error) {
    if (error instanceof InputError) return error.code
    throw error
  }
  return 'accepted'
}

describe('the published models', () => {
  test('OPT-125M', () => {
    expect(parseOptConfig(opt125m)).toEqual({
      layers: 12,
      width: 768,
      heads: 12,
      headSize: 64,
      neurons: 3072,
      vocabulary: 50272,
      embeddingWidth: 768,
      positions: 2048,
      preNorm: true,
      finalNorm: true,
      tied: true,
      bosId: 2,
      eosId: 2,
      padId: 1,
    })
  })

  test('OPT-350M: post-norm has no final norm, its embedding a width of its own', () => {
    const config = parseOptConfig({
      ...opt125m,
      do_layer_norm_before: false,
      word_embed_proj_dim: 512,
      hidden_size: 1024,
      num_attention_heads: 16,
    })
    expect(config).toMatchObject({ preNorm: false, finalNorm: false, embeddingWidth: 512, headSize: 64 })
  })

  test('old fine-tunes without a final norm, and heads of their own', () => {
    const config = parseOptConfig({ ...opt125m, _remove_final_layer_norm: true, tie_word_embeddings: false })
    expect(config).toMatchObject({ preNorm: true, finalNorm: false, tied: false })
  })

  test('what may be left out has the defaults of Hugging Face', () => {
    const { word_embed_proj_dim, pad_token_id, do_layer_norm_before, activation_function, ...short } = opt125m
    expect(parseOptConfig(short)).toEqual(parseOptConfig(opt125m))
    expect([word_embed_proj_dim, pad_token_id, do_layer_norm_before, activation_function]).toEqual([
      768,
      1,
      true,
      'relu',
    ])
  })
})

describe('is refused by name', () => {
  const { hidden_size, ...withoutWidth } = opt125m
  test.each([
    ['not an object', null, 'CONFIG_NOT_OBJECT'],
    ['a list', [], 'CONFIG_NOT_OBJECT'],
    ['another model', { ...opt125m, model_type: 'llama' }, 'CONFIG_MODEL_TYPE'],
    ['no model type', { ...opt125m, model_type: undefined }, 'CONFIG_MODEL_TYPE'],
    ['another activation', { ...opt125m, activation_function: 'gelu' }, 'CONFIG_ACTIVATION'],
    ['no biases', { ...opt125m, enable_bias: false }, 'CONFIG_UNSUPPORTED'],
    ['plain layer norms', { ...opt125m, layer_norm_elementwise_affine: false }, 'CONFIG_UNSUPPORTED'],
    ['no width', withoutWidth, 'CONFIG_MISSING'],
    ['a width in words', { ...opt125m, hidden_size: '768' }, 'CONFIG_TYPE'],
    ['half a layer', { ...opt125m, num_hidden_layers: 1.5 }, 'CONFIG_TYPE'],
    ['null', { ...opt125m, pad_token_id: null }, 'CONFIG_TYPE'],
    ['a flag in words', { ...opt125m, do_layer_norm_before: 'true' }, 'CONFIG_TYPE'],
    ['a billion layers', { ...opt125m, num_hidden_layers: 1e9 }, 'CONFIG_RANGE'],
    ['a negative vocabulary', { ...opt125m, vocab_size: -1 }, 'CONFIG_RANGE'],
    ['padding outside the vocabulary', { ...opt125m, pad_token_id: 50272 }, 'CONFIG_RANGE'],
    ['a default outside the vocabulary', { ...opt125m, vocab_size: 2 }, 'CONFIG_RANGE'],
    ['more positions than a kernel takes', { ...opt125m, max_position_embeddings: 8193 }, 'CONFIG_RANGE'],
    ['heads that do not divide the width', { ...opt125m, num_attention_heads: 13 }, 'CONFIG_HEADS'],
  ])('%s', (_what, json, code) => expect(codeOf(json)).toBe(code))

  test('with the field, what was expected and what was there', () => {
    expect(hidden_size).toBe(768)
    expect(() => parseOptConfig({ ...opt125m, num_hidden_layers: 1e9 })).toThrow(
      'num_hidden_layers: expected 1 to 1024, got 1000000000',
    )
    expect(() => parseOptConfig({ ...opt125m, activation_function: 'x'.repeat(1000) })).toThrow(
      /^activation_function: expected relu, got "x{39}\.\.\.$/,
    )
  })

  law(
    'whatever it is: any JSON value is read or refused with one of these codes',
    [fc.jsonValue()],
    (json) => {
      expect(codeOf(json)).toMatch(/^CONFIG_(NOT_OBJECT|MODEL_TYPE)$/)
    },
  )

  law(
    'whatever one of its fields is',
    [fc.constantFrom(...Object.keys(opt125m)), fc.jsonValue()],
    (name, value) => {
      expect(codeOf({ ...opt125m, [name]: value })).toMatch(/^(accepted|CONFIG_[A-Z_]+)$/)
    },
  )
})

test('fields are the file’s own: nothing is inherited', () => {
  const json: unknown = JSON.parse('{"__proto__": {"model_type": "opt"}}')
  expect(codeOf(json)).toBe('CONFIG_MODEL_TYPE')
  expect(codeOf(Object.create(opt125m))).toBe('CONFIG_MODEL_TYPE')
})

test('fields that name code are reported and not followed', () => {
  const json = { ...opt125m, auto_map: { AutoModel: 'evil.py' }, custom_pipelines: {} }
  expect(parseOptConfig(json)).toEqual(parseOptConfig(opt125m))
  expect(remoteCodeFields(json)).toEqual(['auto_map', 'custom_pipelines'])
  expect(remoteCodeFields(opt125m)).toEqual([])
  expect(remoteCodeFields(null)).toEqual([])
})

test('a configuration from sizes: post-norm never has a final norm', () => {
  const sizes = { layers: 1, width: 6, heads: 3, neurons: 5, vocabulary: 7, positions: 4 }
  expect(makeOptConfig(sizes)).toMatchObject({ headSize: 2, embeddingWidth: 6, finalNorm: true, tied: true })
  expect(makeOptConfig({ ...sizes, preNorm: false, finalNorm: true }).finalNorm).toBe(false)
  expect(() => makeOptConfig({ ...sizes, heads: 4 })).toThrow('expected a divisor of hidden_size 6, got 4')
})
