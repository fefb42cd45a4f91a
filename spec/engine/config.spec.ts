/**
 * A config.json is read strictly: what is there is honoured or refused by name, nothing is guessed.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeOptConfig, parseOptConfig, remoteCodeFields } from '../../src/engine/config.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { opt125m } from '../../fixtures/hostile/config.ts'
import { law } from '../harness/seed.ts'

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
  test('with the field, what was expected and what was there', () => {
    expect(() => parseOptConfig({ ...opt125m, num_hidden_layers: 1e9 })).toThrow(
      'num_hidden_layers: expected 1 to 1024, got 1000000000',
    )
    expect(() => parseOptConfig({ ...opt125m, activation_function: 'x'.repeat(1000) })).toThrow(
      /^activation_function: expected relu, got "x{80}…"$/,
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
