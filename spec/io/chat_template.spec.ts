/**
 * Chat templates and the ids that end a text, as the folders of models hold them.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openChatTemplate, openStopIds } from '../../src/io/chat_template.ts'

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
    expect(await openStopIds(folder)).toEqual([])
    for (const [config, ids] of [
      [{}, []],
      [{ eos_token_id: null }, []],
      [{ eos_token_id: 7, temperature: 0.6 }, [7]],
      [{ eos_token_id: [128001, 128008, 128009] }, [128001, 128008, 128009]],
    ]) {
      write('generation_config.json', config)
      expect(await openStopIds(folder)).toEqual(ids)
    }
  })

  test.each([{ eos_token_id: 'x' }, { eos_token_id: -1 }, { eos_token_id: [1.5] }, 5])(
    'of another form are refused: %j',
    async (config) => {
      write('generation_config.json', config)
      await expect(openStopIds(folder)).rejects.toThrow(
        expect.objectContaining({ code: 'GENERATION_CONFIG' }),
      )
    },
  )
})
