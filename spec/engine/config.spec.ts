/**
 * A config.json is read strictly: what is there is honoured or refused by name, nothing is guessed.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeConfig, parseConfig, remoteCodeFields } from '../../src/engine/config.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { opt125m } from '../../fixtures/hostile/config.ts'
import { law } from '../harness/seed.ts'

/** The config.json of SmolLM2-135M-Instruct, as far as it says something about the model. */
const smolLm2 = {
  model_type: 'llama',
  attention_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 576,
  intermediate_size: 1536,
  max_position_embeddings: 8192,
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  rms_norm_eps: 1e-5,
  rope_theta: 100_000,
  rope_scaling: null,
  tie_word_embeddings: true,
  vocab_size: 49152,
}

/** The rotations of Llama 3.2. */
const llama3 = {
  rope_type: 'llama3',
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}

/** The code a config is refused with. */
function codeOf(json: unknown): string {
  try {
    parseConfig(json)
  } catch (error) {
    if (error instanceof InputError) return error.code
    throw error
  }
  return 'accepted'
}

describe('the published models', () => {
  test('OPT-125M', () => {
    expect(parseConfig(opt125m)).toEqual({
      family: 'opt',
      layers: 12,
      width: 768,
      heads: 12,
      keyHeads: 12,
      headSize: 64,
      neurons: 3072,
      vocabulary: 50272,
      embeddingWidth: 768,
      positions: 2048,
      activation: 'relu',
      epsilon: 1e-5,
      preNorm: true,
      finalNorm: true,
      rotary: null,
      gated: false,
      biases: 'all',
      tied: true,
      bosId: 2,
      eosIds: [2],
      padId: 1,
    })
  })

  test('OPT-350M: post-norm has no final norm, its embedding a width of its own', () => {
    const config = parseConfig({
      ...opt125m,
      do_layer_norm_before: false,
      word_embed_proj_dim: 512,
      hidden_size: 1024,
      num_attention_heads: 16,
    })
    expect(config).toMatchObject({ preNorm: false, finalNorm: false, embeddingWidth: 512, headSize: 64 })
  })

  test('old fine-tunes without a final norm, and heads of their own', () => {
    const config = parseConfig({ ...opt125m, _remove_final_layer_norm: true, tie_word_embeddings: false })
    expect(config).toMatchObject({ preNorm: true, finalNorm: false, tied: false })
  })
})

describe('the Llama family', () => {
  test('SmolLM2-135M: groups of three heads, a tied head, the context it was trained for', () => {
    expect(parseConfig(smolLm2)).toEqual({
      family: 'llama',
      layers: 30,
      width: 576,
      heads: 9,
      keyHeads: 3,
      headSize: 64,
      neurons: 1536,
      vocabulary: 49152,
      embeddingWidth: 576,
      positions: 8192,
      activation: 'silu',
      epsilon: 1e-5,
      preNorm: true,
      finalNorm: true,
      rotary: { base: 100_000, scaling: null },
      gated: true,
      biases: 'none',
      tied: true,
      bosId: 1,
      eosIds: [2],
      padId: 2,
    })
  })

  test('what transformers 5 writes is read as what most of the hub has', () => {
    const { rope_theta, rope_scaling, ...rest } = smolLm2
    const old = { ...rest, rope_theta, rope_scaling: llama3 }
    const rope_parameters = { ...llama3, rope_theta }
    expect(parseConfig({ ...rest, rope_parameters })).toEqual(parseConfig(old))
    expect(rope_scaling).toBeNull()
    expect(parseConfig(old).rotary).toEqual({
      base: 100_000,
      scaling: {
        kind: 'llama3',
        factor: 32,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalPositions: 8192,
      },
    })
  })

  test('linear scaling, under its old name and its new one', () => {
    for (const name of ['type', 'rope_type'])
      expect(parseConfig({ ...smolLm2, rope_scaling: { [name]: 'linear', factor: 4 } }).rotary).toEqual({
        base: 100_000,
        scaling: { kind: 'linear', factor: 4 },
      })
  })

  test('a factor for each frequency, as GGUF files have them', () => {
    const factors = Array.from({ length: 32 }, (_, i) => 1 + i)
    const scaled = (list: unknown): unknown =>
      parseConfig({ ...smolLm2, rope_scaling: { rope_type: 'factors', factors: list } })
    expect(scaled(factors)).toMatchObject({
      rotary: { base: 100_000, scaling: { kind: 'factors', factors } },
    })
    const refused: [unknown, string][] = [
      [factors.slice(1), 'rope_scaling factors: expected 32 for heads of 64, got 31'],
      [7, 'factors: expected a list of numbers, got 7'],
      [factors.with(3, 0), 'factors[3]: expected 0.000001 to 1000000, got 0'],
      [factors.with(3, NaN), 'factors[3]: expected 0.000001 to 1000000, got NaN'],
      [['x', ...factors], 'factors[0]: expected a number, got "x"'],
    ]
    for (const [list, message] of refused) expect(() => scaled(list)).toThrow(message)
  })

  test('several tokens may end a text, and no token pads', () => {
    const config = parseConfig({ ...smolLm2, eos_token_id: [7, 9], pad_token_id: null })
    expect(config).toMatchObject({ eosIds: [7, 9], padId: null })
    expect(parseConfig({ ...smolLm2, pad_token_id: -1 }).padId).toBeNull()
  })

  test('Qwen2 without a first token begins with its last one', () => {
    const { bos_token_id: _, ...qwen } = { ...smolLm2, model_type: 'qwen2', eos_token_id: [7, 9] }
    expect(parseConfig(qwen).bosId).toBe(7)
    expect(parseConfig({ ...qwen, bos_token_id: 3 }).bosId).toBe(3)
    expect(parseConfig({ ...qwen, model_type: 'llama' }).bosId).toBe(1)
  })

  test('a context longer than the kernels take ends there', () => {
    expect(parseConfig({ ...smolLm2, max_position_embeddings: 131_072 }).positions).toBe(32_768)
  })

  test('every layer of Mistral has a window, and of Qwen2 and Qwen3 those that the file says', () => {
    const five = { ...smolLm2, num_hidden_layers: 5, sliding_window: 4096 }
    const windows = (fields: object): unknown => parseConfig({ ...five, ...fields }).layerWindow
    const all = Array<number>(5).fill(4096)
    const mistral = { model_type: 'mistral' }
    expect(windows(mistral)).toEqual(all)
    expect(parseConfig({ ...five, ...mistral }).positions).toBe(8192)
    expect(windows({ ...mistral, sliding_window: null })).toBeUndefined()
    // As long as the context.
    expect(windows({ ...mistral, sliding_window: 8192 })).toBeUndefined()
    expect(windows({ ...mistral, sliding_window_pattern: 2 })).toEqual([4096, null, 4096, null, 4096])
    expect(windows({ model_type: 'llama' })).toBeUndefined()
    for (const model_type of ['qwen2', 'qwen3']) {
      expect(windows({ model_type })).toBeUndefined()
      const slides = { model_type, use_sliding_window: true }
      expect(windows(slides)).toBeUndefined()
      expect(windows({ ...slides, max_window_layers: 0 })).toEqual(all)
      expect(windows({ ...slides, max_window_layers: 3 })).toEqual([null, null, null, 4096, 4096])
      const [full, sliding] = ['full_attention', 'sliding_attention']
      const layer_types = [sliding, full, full, full, sliding]
      expect(windows({ ...slides, max_window_layers: 3, layer_types })).toEqual([
        4096,
        null,
        null,
        null,
        4096,
      ])
      expect(() => windows({ ...slides, layer_types: [full] })).toThrow(
        'layer_types: expected a list for 5 layers, got one of 1',
      )
      expect(codeOf({ ...five, ...slides, layer_types: ['linear_attention', full, full, full, full] })).toBe(
        'CONFIG_UNSUPPORTED',
      )
    }
  })

  test('Qwen3 has the fields of Qwen2, no biases, and heads of 128 numbers where nothing else is said', () => {
    const qwen3 = { ...smolLm2, model_type: 'qwen3', layer_types: null, sliding_window: null }
    expect(parseConfig(qwen3)).toEqual({ ...parseConfig(smolLm2), family: 'qwen3', headSize: 128 })
    expect(parseConfig({ ...qwen3, head_dim: 64 }).headSize).toBe(64)
    expect(codeOf({ ...qwen3, attention_bias: true })).toBe('CONFIG_UNSUPPORTED')
  })

  test('SmolLM3 rotates in the layers that say so, and without a list in three of four', () => {
    const smolLm3 = { ...smolLm2, model_type: 'smollm3', num_hidden_layers: 5 }
    const rotated = (fields: object): boolean[] | undefined =>
      parseConfig({ ...smolLm3, ...fields }).layerRotary?.map((rotary) => rotary !== null)
    expect(rotated({})).toEqual([true, true, true, false, true])
    expect(rotated({ no_rope_layers: null, no_rope_layer_interval: 2 })).toEqual([
      true,
      false,
      true,
      false,
      true,
    ])
    expect(rotated({ no_rope_layers: [0, 1, 1, 1, 0] })).toEqual([false, true, true, true, false])
    const refused: [unknown, string][] = [
      [[1, 1], 'no_rope_layers: expected a list for 5 layers, got one of 2'],
      [1, 'no_rope_layers: expected a list for 5 layers, got 1'],
      [[1, 1, 2, 1, 1], 'no_rope_layers[2]: expected 0 or 1, got 2'],
    ]
    for (const [no_rope_layers, message] of refused)
      expect(() => rotated({ no_rope_layers })).toThrow(message)
  })

  test('Phi-3 rotates a part of each head, and its context ends with that of its short factors', () => {
    const phi3 = { ...smolLm2, model_type: 'phi3', sliding_window: null }
    expect(parseConfig(phi3)).toEqual(parseConfig(smolLm2))
    expect(parseConfig({ ...phi3, sliding_window: 2047 }).layerWindow?.[0]).toBe(2047)
    const part = { base: 100_000, scaling: null, size: 48 }
    expect(parseConfig({ ...phi3, partial_rotary_factor: 0.75 }).rotary).toEqual(part)
    const rope_parameters = { rope_type: 'default', rope_theta: 100_000, partial_rotary_factor: 0.75 }
    expect(parseConfig({ ...phi3, rope_parameters }).rotary).toEqual(part)
    expect(() => parseConfig({ ...phi3, partial_rotary_factor: 0.7 })).not.toThrow()
    expect(() => parseConfig({ ...phi3, partial_rotary_factor: 0.71 })).toThrow(
      'partial_rotary_factor: expected an even part of 64 numbers, got 45',
    )
    const factors = Array.from({ length: 32 }, (_, i) => 1 + i)
    const rope_scaling = { type: 'longrope', short_factor: factors, long_factor: factors }
    const long = { ...phi3, rope_scaling, max_position_embeddings: 131_072 }
    // sqrt(1 + ln 32 / ln 4096)
    const magnitude = expect.closeTo(1.190238, 6) as number
    expect(parseConfig({ ...long, original_max_position_embeddings: 4096 })).toMatchObject({
      positions: 4096,
      rotary: { base: 100_000, scaling: { kind: 'factors', factors, magnitude } },
    })
    expect(() => parseConfig(long)).toThrow(
      'original_max_position_embeddings: expected a whole number, got nothing',
    )
    expect(codeOf({ ...long, model_type: 'llama' })).toBe('CONFIG_UNSUPPORTED')
  })

  const gemma3 = {
    model_type: 'gemma3_text',
    hidden_size: 640,
    num_hidden_layers: 18,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    intermediate_size: 2048,
    vocab_size: 262_144,
    max_position_embeddings: 32_768,
    sliding_window: 512,
  }

  test('Gemma 3: five layers of six slide and rotate by the local base, embeddings times √D, norms by 1 + w', () => {
    const config = parseConfig(gemma3)
    expect(config).toMatchObject({
      family: 'gemma3',
      keyHeads: 1,
      headSize: 256,
      embeddingScale: Math.fround(Math.sqrt(640)),
      normOffset: 1,
      scoreScale: 1 / 16,
      activation: 'gelu_tanh',
      tied: true,
      bosId: 2,
      eosIds: [1],
      padId: 0,
    })
    expect([config.scoreCap, config.logitCap]).toEqual([undefined, undefined])
    const isFull = Array.from({ length: 18 }, (_, l) => l % 6 === 5)
    expect(config.layerWindow).toEqual(isFull.map((full) => (full ? null : 512)))
    expect(config.layerRotary).toEqual(isFull.map((full) => ({ base: full ? 1e6 : 10_000, scaling: null })))
    // A window as wide as the context is none, and its layers rotate by the local base all the same.
    const wide = parseConfig({ ...gemma3, sliding_window: 100_000 })
    expect([wide.layerWindow, wide.layerRotary]).toEqual([undefined, config.layerRotary])
  })

  test('Gemma 2: every other layer slides, from the first on; scores and logits are capped', () => {
    const config = parseConfig({ ...gemma3, model_type: 'gemma2', query_pre_attn_scalar: 144 })
    expect(config).toMatchObject({ scoreCap: 50, logitCap: 30, scoreScale: 1 / 12, normOffset: 1 })
    expect(config.layerWindow?.slice(0, 4)).toEqual([512, null, 512, null])
    expect(config.layerRotary).toBeUndefined()
    const capless = { ...gemma3, model_type: 'gemma2', attn_logit_softcapping: null }
    expect(parseConfig({ ...capless, final_logit_softcapping: 3 })).toMatchObject({ logitCap: 3 })
  })

  test.each([
    ['layer_types', ['full_attention'], 'layer_types: expected a list for 18 layers, got one of 1'],
    ['use_bidirectional_attention', true, 'use_bidirectional_attention: expected false, got true'],
    ['hidden_activation', 'gelu', 'hidden_act: expected silu or relu or gelu_pytorch_tanh, got "gelu"'],
    ['query_pre_attn_scalar', 0, 'query_pre_attn_scalar: expected 0.000001 to 1000000, got 0'],
    ['rms_norm_offset', 2, 'rms_norm_offset: expected 0 to 1, got 2'],
    ['attention_bias', true, 'attention_bias: expected false, got true'],
    ['model_type', 'gemma3n_text', /^model_type: expected opt or .*gemma3_text.*, got "gemma3n_text"$/],
    ['model_type', 'gemma3', /^model_type: expected opt or .*, got "gemma3"$/],
  ])('%s = %j of Gemma is refused by name', (name, value, message) => {
    expect(() => parseConfig({ ...gemma3, [name]: value })).toThrow(message)
  })

  test('heads may have a size of their own', () => {
    expect(parseConfig({ ...smolLm2, head_dim: 80 })).toMatchObject({ width: 576, heads: 9, headSize: 80 })
    expect(parseConfig({ ...smolLm2, head_dim: null }).headSize).toBe(64)
  })

  test.each([
    ['attention_bias', true, 'attention_bias: expected false, got true'],
    ['mlp_bias', true, 'mlp_bias: expected false, got true'],
    ['hidden_act', 'gelu', 'hidden_act: expected silu or relu or gelu_pytorch_tanh, got "gelu"'],
    ['num_key_value_heads', 2, 'num_key_value_heads: expected a divisor of num_attention_heads 9, got 2'],
    ['head_dim', 63, 'head_dim: expected an even number to rotate, got 63'],
    [
      'rope_scaling',
      { rope_type: 'yarn' },
      'rope_type: expected default or linear or llama3 or factors, got "yarn"',
    ],
    ['rope_scaling', { type: 'linear' }, 'factor: expected a number, got nothing'],
    ['rope_scaling', 'linear', 'rope_scaling: expected an object, got "linear"'],
    ['rope_parameters', { partial_rotary_factor: 0.5 }, 'partial_rotary_factor: expected 1, got 0.5'],
    ['quantization_config', { bits: 4 }, 'quantization_config: expected nothing, got an object'],
    ['eos_token_id', [], 'eos_token_id: expected at least one id, got none'],
    ['eos_token_id', [7, 1e9], 'eos_token_id[1]: expected 0 to 49151, got 1000000000'],
    ['model_type', 'gemma', /^model_type: expected opt or llama or mistral or qwen2.*, got "gemma"$/],
  ])('%s = %j is refused by name', (name, value, message) => {
    expect(() => parseConfig({ ...smolLm2, [name]: value })).toThrow(message)
  })
})

describe('is refused by name', () => {
  test('with the field, what was expected and what was there', () => {
    expect(() => parseConfig({ ...opt125m, num_hidden_layers: 1e9 })).toThrow(
      'num_hidden_layers: expected 1 to 1024, got 1000000000',
    )
    expect(() => parseConfig({ ...opt125m, activation_function: 'x'.repeat(1000) })).toThrow(
      /^activation_function: expected relu, got "x{80}…"$/,
    )
  })

  law(
    'whatever it is: any JSON value is read or refused with one of these codes',
    { json: fc.jsonValue() },
    ({ json }) => {
      expect(codeOf(json)).toMatch(/^CONFIG_(NOT_OBJECT|MODEL_TYPE)$/)
    },
  )

  const fields = [
    ...Object.keys(opt125m).map((name) => ({ base: opt125m, name })),
    ...[...Object.keys(smolLm2), 'head_dim', 'rope_parameters', 'sliding_window'].map((name) => ({
      base: smolLm2,
      name,
    })),
  ]
  law(
    'whatever one of its fields is, in both families: it is read or refused with a code',
    { field: fc.constantFrom(...fields), value: fc.jsonValue() },
    ({ field: { base, name }, value }) => {
      expect(codeOf({ ...base, [name]: value })).toMatch(/^(accepted|CONFIG_[A-Z_]+)$/)
    },
    { runs: 200 },
  )
})

test('fields are the file’s own: nothing is inherited', () => {
  const json: unknown = JSON.parse('{"__proto__": {"model_type": "opt"}}')
  expect(codeOf(json)).toBe('CONFIG_MODEL_TYPE')
  expect(codeOf(Object.create(opt125m))).toBe('CONFIG_MODEL_TYPE')
})

test('a refusal names the file that was read', () => {
  const bert = { model_type: 'bert' }
  expect(() => parseConfig(bert)).toThrow(/^model_type: expected opt or /)
  expect(() => parseConfig(bert, 'bert/config.json')).toThrow(
    /^bert\/config\.json model_type: expected opt or /,
  )
})

test('fields that name code are reported and not followed', () => {
  const json = { ...opt125m, auto_map: { AutoModel: 'evil.py' }, custom_pipelines: {} }
  expect(parseConfig(json)).toEqual(parseConfig(opt125m))
  expect(remoteCodeFields(json)).toEqual(['auto_map', 'custom_pipelines'])
  expect(remoteCodeFields(opt125m)).toEqual([])
  expect(remoteCodeFields(null)).toEqual([])
})

test('a configuration from sizes: post-norm never has a final norm', () => {
  const sizes = { layers: 1, width: 6, heads: 3, neurons: 5, vocabulary: 7, positions: 4 }
  expect(makeConfig(sizes)).toMatchObject({ headSize: 2, embeddingWidth: 6, finalNorm: true, tied: true })
  expect(makeConfig({ ...sizes, preNorm: false, finalNorm: true }).finalNorm).toBe(false)
  expect(() => makeConfig({ ...sizes, heads: 4 })).toThrow('expected a divisor of hidden_size 6, got 4')
})
