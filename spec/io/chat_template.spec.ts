/**
 * Chat templates and the ids that end a text, as the folders of models hold them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openChatTemplate, openGenerationConfig } from '../../src/io/chat_template.ts'

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'shadowllm-chat-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const write = (name: string, content: unknown): void =>
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
const tokens = { bosToken: null, eosToken: null }

describe('a chat template', () => {
  test('is a file of its own, a text of tokenizer_config.json, or the default of its list, in this order', async () => {
    expect(await openChatTemplate(folder)).toBeNull()
    write('tokenizer_config.json', { bos_token: '<s>' })
    expect(await openChatTemplate(folder)).toBeNull()
    const list = [
      { name: 'tool_use', template: 'a' },
      { name: 'default', template: 'b' },
    ]
    write('tokenizer_config.json', { chat_template: list })
    expect(await openChatTemplate(folder)).toEqual({ source: 'b', ...tokens })
    write('tokenizer_config.json', { chat_template: 'c' })
    expect(await openChatTemplate(folder)).toEqual({ source: 'c', ...tokens })
    write('chat_template.jinja', 'd')
    expect(await openChatTemplate(folder)).toEqual({ source: 'd', ...tokens })
  })

  test('has the tokens of tokenizer_config.json, as text or objects; large numbers are no obstacle', async () => {
    write('chat_template.jinja', 'x')
    const config = '"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}'
    write('tokenizer_config.json', `{${config}, "model_max_length": 1000000000000000019884624838656}`)
    expect(await openChatTemplate(folder)).toEqual({ source: 'x', bosToken: '<s>', eosToken: '</s>' })
  })

  test.each<[string, string, unknown]>([
    ['CHAT_TEMPLATE_CONFIG', 'text, or a list of names and templates', { chat_template: 5 }],
    ['CHAT_TEMPLATE_CONFIG', 'tokenizer_config.json eos_token', { eos_token: 2 }],
    ['CHAT_TEMPLATE_CONFIG', 'tokenizer_config.json', []],
    [
      'CHAT_TEMPLATE_NAME',
      'expected a template "default", got "rag"',
      { chat_template: [{ name: 'rag', template: '' }] },
    ],
    ['CHAT_TEMPLATE_LIMIT', 'at most 65536 characters', { chat_template: 'x'.repeat(70_000) }],
    ['JSON_SYNTAX', 'tokenizer_config.json', '{'],
  ])('of another form is refused: %s, %s', async (code, words, config) => {
    write('tokenizer_config.json', config)
    await expect(openChatTemplate(folder)).rejects.toThrow(expect.objectContaining({ code, exitCode: 3 }))
    await expect(openChatTemplate(folder)).rejects.toThrow(words)
  })

  test('that is too large a file is not read', async () => {
    write('chat_template.jinja', 'x'.repeat(300_000))
    await expect(openChatTemplate(folder)).rejects.toThrow(expect.objectContaining({ code: 'FILE_LIMIT' }))
    write('chat_template.jinja', 'x'.repeat(70_000))
    await expect(openChatTemplate(folder)).rejects.toThrow(
      expect.objectContaining({ code: 'CHAT_TEMPLATE_LIMIT' }),
    )
  })
})

describe('the ids that end a text', () => {
  test('are one, several or none', async () => {
    expect(await openGenerationConfig(folder)).toEqual({ stopIds: [], sampling: {} })
    for (const [config, ids] of [
      [{}, []],
      [{ eos_token_id: null }, []],
      [{ eos_token_id: 7, temperature: 0.6 }, [7]],
      [{ eos_token_id: [128001, 128008, 128009] }, [128001, 128008, 128009]],
    ]) {
      write('generation_config.json', config)
      expect((await openGenerationConfig(folder)).stopIds).toEqual(ids)
    }
  })

  test.each([{ eos_token_id: 'x' }, { eos_token_id: -1 }, { eos_token_id: [1.5] }, 5])(
    'of another form are refused: %j',
    async (config) => {
      write('generation_config.json', config)
      await expect(openGenerationConfig(folder)).rejects.toThrow(
        expect.objectContaining({ code: 'GENERATION_CONFIG' }),
      )
    },
  )
})

describe('how the makers of a model draw tokens', () => {
  test.each([
    [{}, {}],
    [
      { do_sample: true, temperature: 0.6, top_p: 0.9 },
      { temperature: 0.6, topP: 0.9 },
    ],
    [
      { temperature: 0.7, top_k: 20, top_p: 0.8, min_p: 0.05, repetition_penalty: 1.05 },
      { temperature: 0.7, topK: 20, topP: 0.8, minP: 0.05, repetitionPenalty: 1.05 },
    ],
    // transformers has these for all tokens.
    [{ top_k: 0, top_p: 0 }, {}],
    [{ temperature: null, top_k: null, do_sample: null }, {}],
    // transformers then chooses the likeliest token, whatever else is there.
    [{ do_sample: false, temperature: 0.6, top_p: 0.9, repetition_penalty: 1.2 }, { temperature: 0 }],
  ])('%j is read', async (config, sampling) => {
    write('generation_config.json', config)
    expect((await openGenerationConfig(folder)).sampling).toEqual(sampling)
  })

  test.each([
    { temperature: -1 },
    { temperature: '1' },
    { top_k: 1.5 },
    { top_p: 1.1 },
    { min_p: 2 },
    { repetition_penalty: 0 },
    { do_sample: 1 },
  ])('of another form is refused by name: %j', async (config) => {
    write('generation_config.json', config)
    const [name] = Object.keys(config)
    await expect(openGenerationConfig(folder)).rejects.toThrow(
      expect.objectContaining({
        code: 'GENERATION_CONFIG',
        message: expect.stringContaining(`generation_config.json ${name}: expected `) as unknown,
      }),
    )
  })
})
