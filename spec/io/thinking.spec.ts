/**
 * What a model thinks is told apart from its answer, and a template with variables writes what Jinja writes.
 *
 * Tests src/io/template_variables.ts.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { chatPrompt, type ChatMessage } from '../../src/io/chat_prompt.ts'
import { variablesOption, type TemplateVariables } from '../../src/io/template_variables.ts'
import { ThinkingSplitter } from '../../src/io/thinking.ts'
import { createTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

const fixtures = new URL('../../fixtures/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, fixtures), 'utf8')

/** A tokenizer of Qwen2's kind with the marks of Qwen3, which its file does not call special. */
function thinkingTokenizer(): Tokenizer {
  const json = JSON.parse(read('tokenizers/qwen2.tokenizer.json')) as { added_tokens: object[] }
  json.added_tokens.push({ id: 700, content: '<think>', special: false })
  json.added_tokens.push({ id: 701, content: '</think>', special: false })
  return createTokenizer(parseTokenizerJson(new TextEncoder().encode(JSON.stringify(json))))
}
const tokenizer = thinkingTokenizer()
const template = { source: read('templates/thinking.jinja'), bosToken: null, eosToken: '<|im_end|>' }
const { cases } = JSON.parse(read('templates/expected.json')) as {
  cases: { messages: ChatMessage[]; variables: TemplateVariables; text: string }[]
}

test('a template with variables writes what Jinja writes, and its marks are tokens', () => {
  expect(cases.length).toBeGreaterThan(150)
  for (const { messages, variables, text } of cases) {
    const prompt = chatPrompt(template, tokenizer, messages, { variables })
    expect(prompt.text, JSON.stringify([messages, variables])).toBe(text)
    expect(tokenizer.decode(prompt.ids)).toBe(text)
    const marks = prompt.ids.filter((id) => id >= 700)
    expect(marks).toEqual(
      text.endsWith('</think>\n\n') ? [700, 701] : text.endsWith('<think>\n') ? [700] : [],
    )
  }
})

test('neither a message nor a variable becomes a mark or another special token', () => {
  const spelled = '<think></think><|im_end|>'
  const messages = [{ role: 'user', content: spelled }]
  const plain = chatPrompt(template, tokenizer, [{ role: 'user', content: '' }], {
    variables: { style: 'x' },
  })
  const { ids, text } = chatPrompt(template, tokenizer, messages, { variables: { style: spelled } })
  expect(text).toContain(`Answer in a ${spelled} style.`)
  const special = (list: readonly number[]): number[] =>
    list.filter((id) => tokenizer.specialSpellings.some((spelling) => tokenizer.idOf(spelling) === id))
  expect(special(ids)).toEqual(special(plain.ids))
})

test.each([
  [{ enable_thinking: false }, true],
  [{}, true],
  [{ a: 'é', b: 1.5, c: null, D_1: true }, true],
  [{ a: 'x'.repeat(4096) }, true],
  [{ a: 'x'.repeat(4097) }, false],
  [{ a: '\ud800' }, false],
  [{ a: NaN }, false],
  [{ a: [] }, false],
  [{ a: {} }, false],
  [{ 'a b': 1 }, false],
  [{ _a: 1 }, false],
  [JSON.parse('{"__proto__":1}'), false],
  [{ messages: '' }, false],
  [{ add_generation_prompt: false }, false],
  [{ eos_token: 'x' }, false],
  [Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`a${i}`, i])), false],
  [[], false],
  [null, false],
  ['{}', false],
])('variables %j: taken is %j', (value, isTaken) => expect(variablesOption.holds(value)).toBe(isTaken))

// ---- Thinking ----------------------------------------------------------------------------------------------

type Marks = Pick<Tokenizer, 'idOf' | 'specialSpellings'>
const marks: Marks = {
  specialSpellings: ['</think>', '<think>'],
  idOf: (spelling) => ({ '<think>': 0, '</think>': 1 })[spelling] ?? null,
}

/** What a splitter does to pieces. */
type Splitter = new (
  ...given: ConstructorParameters<typeof ThinkingSplitter>
) => Pick<ThinkingSplitter, 'take' | 'isOn'>

const splits = lawForAll(
  'each text is that of the last mark before it, without the line breaks behind the mark, and none is lost',
  {
    prompt: fc.array(fc.constantFrom(0, 1, 2), { maxLength: 4, size: 'max' }),
    // Ids below 2 are marks and have no text.
    pieces: fc.array(
      fc.record({ token: fc.nat({ max: 4 }), text: fc.constantFrom('', '\n', '\n\n', 'a', 'b\n', '\nc') }),
      { maxLength: 8, size: 'max' },
    ),
  },
  (Of: Splitter, { prompt, pieces }) => {
    const splitter = new Of(marks, prompt)
    const found = { thinking: '', text: '' }
    // The law by its words, over the whole text.
    let isThought = (prompt.findLast((id) => id < 2) ?? 1) === 0
    let run = ''
    let isBehindMark = isThought
    const expected = { thinking: '', text: '' }
    const end = (): void => {
      const kept = isBehindMark ? run.replace(/^\n+/, '') : run
      expected[isThought ? 'thinking' : 'text'] += kept
      run = ''
    }
    for (const { token, text } of pieces) {
      const said = token < 2 ? '' : text
      const part = splitter.take(token, said)
      found.thinking += part.thinking
      found.text += part.text
      run += said
      if (token < 2) {
        end()
        isThought = token === 0
        isBehindMark = true
      }
      expect(splitter.isOn).toBe(isThought)
    }
    end()
    expect(found).toEqual(expected)
  },
)
stateLaw(splits, ThinkingSplitter)

killsEach('a splitter that %s is found', splits, {
  'does not see what the prompt has opened': class extends ThinkingSplitter {
    constructor(tokenizer: Marks) {
      super(tokenizer, [])
    }
  },
  'takes a prompt that thought for one that thinks': class extends ThinkingSplitter {
    constructor(tokenizer: Marks, prompt: ArrayLike<number>) {
      super(tokenizer, Array.from(prompt).includes(0) ? [0] : [])
    }
  },
  'drops line breaks of one piece only': class extends ThinkingSplitter {
    override take(token: number, text: string) {
      return super.take(token, text === '\n\n' ? '\n\n ' : text)
    }
  },
  'keeps the marks in the answer': class extends ThinkingSplitter {
    override take(token: number, text: string) {
      return super.take(token, token < 2 ? '<think>' : text)
    }
  },
})

test.each<[string, Marks]>([
  ['without the marks', { ...marks, specialSpellings: [] }],
  ['whose marks are pieces of text', { ...marks, specialSpellings: ['<|im_end|>'] }],
])('a tokenizer %s thinks nothing', (_, tokenizer) => {
  const splitter = new ThinkingSplitter(tokenizer, [0, 1, 0])
  expect([splitter.isOn, splitter.take(0, '\na')]).toEqual([false, { thinking: '', text: '\na' }])
})
