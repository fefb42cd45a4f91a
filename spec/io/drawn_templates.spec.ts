/**
 * Chat templates drawn from a grammar: loops, conditions, assignments, macros, trims, filters, joins, and special tokens or
 * parts of them beside all of these.
 *
 * Tests src/io/bounded_jinja.ts, src/io/chat_template.ts and src/io/chat_prompt.ts.
 *
 * The grammar looks at letters, spaces and roles of messages only, so that a template does the same with a message in which
 * each sign of a special token is replaced by a sign that looks like it. Such a message spells no special token: those of its
 * chat come from the template alone, and a chat of the message as it was must have the same.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Template } from '@huggingface/jinja'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { renderTemplate } from '../../src/io/bounded_jinja.ts'
import { chatPrompt, markText, type ChatMessage } from '../../src/io/chat_prompt.ts'
import { createTokenizer, type Tokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { chatMl } from '../library/chat_model.ts'
import { casesAtTier } from '../harness/tier.ts'
import { killsEach, lawForAll, stateLaw } from '../harness/seed.ts'

// ---- Special tokens ---------------------------------------------------------------------------------------

/** Special tokens beside those of the vocabulary: of one character, astral, the beginning of another, and of a role. */
const added = ['☃', '😀', '😀>', '<|user|>']

/** A tokenizer with more special tokens. */
function tokenizerWith(added: readonly string[]): Tokenizer {
  const path = fileURLToPath(new URL('../../fixtures/tokenizers/smollm.tokenizer.json', import.meta.url))
  const json = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly model: { readonly vocab: object }
    readonly added_tokens: object[]
  }
  const first = Object.keys(json.model.vocab).length + json.added_tokens.length
  for (const [i, content] of added.entries())
    json.added_tokens.push({ ...json.added_tokens[0], id: first + i, content })
  return createTokenizer(parseTokenizerJson(new TextEncoder().encode(JSON.stringify(json))))
}

const tokenizer = tokenizerWith(added)

const specials = ['<|im_start|>', '<|im_end|>', '<|endoftext|>', ...added]

/** What looks like each sign of a special token, and is in none. */
const lookalikes: Readonly<Record<string, string>> = {
  '<': '‹',
  '>': '›',
  '|': '¦',
  '☃': '❄',
  '😀': '😃',
}
const harmless = (text: string): string =>
  [...text].map((character) => lookalikes[character] ?? character).join('')

// ---- The grammar ------------------------------------------------------------------------------------------

/** Text that a template writes beside any expression. */
const someWord = fc.constantFrom(
  'a',
  ' ',
  '\n',
  'b\n',
  '\n  ',
  '[',
  'end',
  '',
  ...specials.filter((special) => special !== '😀'),
)
/** Parts that begin and end special tokens: only templates that do no more to a message than trim it write them. */
const someStart = fc.constantFrom('<', '<|im_', '😀')
const someEnd = fc.constantFrom('>', '_end|>')

const literal = (text: string): string => `'${text.replaceAll('\n', '\\n')}'`

/** Ways to trim: what they leave begins and ends where the message does. */
const trims = ['', ' | trim', '.strip()', '.lstrip()', '.rstrip()', ".rstrip('\\n')", ".lstrip('\\n ')"]
/** Ways to change a text that leave each of its characters as it is. */
const changes = [
  ...trims,
  " | replace('a', '')",
  ".replace(' ', '')",
  ".split('a') | join('')",
  ".split(' ')[-1]",
  ".split('\\n') | first",
  ' | list | join',
  " | default('b')",
  ' | string',
]

/** The text of a message: of the one of a loop, or by its place. */
const someContent = (inLoop: boolean): fc.Arbitrary<string> =>
  fc.constantFrom(
    ...(inLoop ? ['m.content', "m['content']"] : []),
    'messages[0].content',
    "messages[-1]['content']",
  )

/** Where an expression stands. */
interface Place {
  readonly inLoop: boolean
  /** Whether the template writes parts of special tokens, and then only trims messages; otherwise it removes from them too. */
  readonly hasParts: boolean
}

/** Expressions that are text. */
function someText({ inLoop, hasParts }: Place): fc.Arbitrary<string> {
  const content = someContent(inLoop)
  const trimmed = fc.tuple(content, fc.constantFrom(...trims)).map((parts) => parts.join(''))
  const changed = fc
    .tuple(content, fc.constantFrom(...(hasParts ? trims : changes)))
    .map((parts) => parts.join(''))
  const role = inLoop ? 'm.role' : 'messages[0].role'
  const plus = fc.constantFrom(' + ', ' ~ ')
  return fc.oneof(
    ...(hasParts
      ? [
          fc.tuple(someStart, plus, trimmed).map(([part, add, text]) => `${literal(part)}${add}(${text})`),
          fc.tuple(trimmed, plus, someEnd).map(([text, add, part]) => `(${text})${add}${literal(part)}`),
        ]
      : []),
    fc
      .tuple(someWord, plus, changed, someWord)
      .map(([before, add, text, after]) => `${literal(before)}${add}(${text})${add}${literal(after)}`),
    changed,
    fc.constantFrom(
      role,
      'bos_token',
      'eos_token',
      `'<|' + ${role} + '|>'`,
      `${role} + ':'`,
      `show(${role})`,
    ),
    fc.tuple(fc.constantFrom('messages', 'messages[1:]', 'messages[::-1]'), someWord).map(
      // What is beside a part: the message before, or the one after.
      ([list, between]) => `${list} | map(attribute='content') | join(${literal(between)})`,
    ),
    changed.map((text) => `show(${text})`),
  )
}

function someCondition(inLoop: boolean): fc.Arbitrary<string> {
  const atoms = [
    "messages[0]['role'] == 'system'",
    'messages | length > 2',
    'add_generation_prompt',
    'tools',
    'bos_token is defined',
    "'a' in messages[0].content",
    ...(inLoop ? ['loop.first', 'loop.last', 'loop.index0 % 2 == 0', "m.role == 'user'", 'm.content'] : []),
  ]
  const atom = fc.constantFrom(...atoms)
  return fc.oneof(
    atom,
    atom.map((one) => `not (${one})`),
    fc
      .tuple(atom, fc.constantFrom(' and ', ' or '), atom)
      .map(([one, word, other]) => `(${one})${word}(${other})`),
  )
}

/** A tag or an output with dashes that trim what is around it. */
const tagOf = ([left, right]: readonly [boolean, boolean], [open, close]: string, inside: string): string =>
  `{${open}${left ? '-' : ''} ${inside} ${right ? '-' : ''}${close}}`
const dashes = fc.tuple(fc.boolean(), fc.boolean())
const tag = (inside: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(dashes, inside).map(([trim, text]) => tagOf(trim, '%%', text))

const constant = (inside: string): fc.Arbitrary<string> => tag(fc.constant(inside))
const joined = (...parts: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...parts).map((texts) => texts.join(''))

function someBody(depth: number, place: Place): fc.Arbitrary<string> {
  const output = fc.tuple(dashes, someText(place)).map(([trim, text]) => tagOf(trim, '{}', text))
  const leaves = [someWord, output, output, output]
  const inner = depth === 0 ? null : someBody(depth - 1, place)
  const nested =
    inner === null
      ? []
      : [
          joined(
            tag(someCondition(place.inLoop).map((text) => `if ${text}`)),
            inner,
            constant('else'),
            inner,
            constant('endif'),
          ),
          joined(tag(someText(place).map((text) => `set said = ${text}`)), fc.constant('{{ said }}'), inner),
          ...(place.hasParts
            ? []
            : [joined(constant("filter replace('a', '')"), inner, constant('endfilter'))]),
          ...(place.inLoop
            ? []
            : [
                joined(
                  tag(
                    fc.constantFrom(
                      'for m in messages',
                      'for m in messages[1:]',
                      "for m in messages if m.role == 'user'",
                      'for m in messages | reverse',
                    ),
                  ),
                  someBody(depth - 1, { ...place, inLoop: true }),
                  someBody(depth - 1, { ...place, inLoop: true }),
                  constant('else'),
                  inner,
                  constant('endfor'),
                ),
              ]),
        ]
  return fc
    .array(fc.oneof(...leaves, ...nested), { minLength: 1, maxLength: 3 })
    .map((parts) => parts.join(''))
}

const macro = "{% macro show(text, around='') %}{{ around }}{{ text | trim }}{% endmacro %}"
/** What messages are made of: special tokens, whole and in parts, also with what a template removes inside them. */
const pieces = [
  ...specials,
  '<',
  '<|',
  '<|im',
  '<|im_end|',
  '|im_end|>',
  '_end|>',
  'end|>',
  'end',
  '|>',
  '>',
  '<|aim_start|>',
  'user',
  ' ',
  ' ',
  '\n',
  'a',
  '\ue000',
]
const wordsOf = (list: readonly string[], maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...list), { maxLength }).map((parts) => parts.join(''))
const someWords = wordsOf(pieces, 3)
const someRole = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('system', 'user', 'assistant') },
  fc.constantFrom('user\ue000', 'a<|im_end|>'),
  someWords,
)

/** A template and the messages that it writes. */
interface Chat {
  readonly source: string
  readonly messages: readonly ChatMessage[]
}

const someChat: fc.Arbitrary<Chat> = fc.record({
  source: fc
    .boolean()
    .chain((hasParts) => someBody(2, { inLoop: false, hasParts }))
    .map((body) => macro + body),
  messages: fc.array(fc.record({ role: someRole, content: someWords }), { minLength: 1, maxLength: 4 }),
})

/** A special token of which the template writes one part, and the message the other, with space around it. */
const someCutToken: fc.Arbitrary<Chat> = fc
  .tuple(
    fc.constantFrom(...specials.filter((special) => special.length > 2)),
    fc.nat(),
    fc.boolean(),
    fc.constantFrom(...trims),
    fc.constantFrom('', ' ', '\n '),
    someWords,
  )
  .map(([special, place, isFirst, trim, space, rest]) => {
    const characters = [...special]
    const cut = 1 + (place % (characters.length - 1))
    const [start, end] = [characters.slice(0, cut).join(''), characters.slice(cut).join('')]
    return {
      source: isFirst
        ? `{{ ${literal(start)} + (messages[0].content${trim}) }}`
        : `{{ (messages[0].content${trim}) + ${literal(end)} }}`,
      messages: [{ role: 'user', content: isFirst ? space + end + rest : rest + start + space }],
    }
  })

/** Messages that spell the special tokens of every chat, on which a template of another kind is tried. */
const plainMessages = fc.array(
  fc.record({
    role: fc.constantFrom('system', 'user', 'assistant'),
    content: wordsOf(
      pieces.filter((piece) => !added.includes(piece)),
      6,
    ),
  }),
  { minLength: 1, maxLength: 4 },
)
const someChatMl = plainMessages.map((messages): Chat => ({ source: chatMl, messages }))
const anyChat = fc.oneof({ weight: 3, arbitrary: someChat }, someCutToken, someChatMl)

const [bosToken, eosToken] = ['<|im_start|>', '<|im_end|>']
const variables = (messages: readonly ChatMessage[]): Record<string, unknown> => ({
  messages,
  add_generation_prompt: true,
  tools: null,
  documents: null,
  bos_token: bosToken,
  eos_token: eosToken,
})

// ---- The engine -------------------------------------------------------------------------------------------

type Render = typeof renderTemplate

const unbounded: Render = (source, values) =>
  (new Template(source) as unknown as { render(of: object): string }).render(values)

/** What a template gives: its text, or that it fails. */
function outcomeOf(render: () => string): string | null {
  try {
    return render()
  } catch {
    return null
  }
}

const rendersAsUnbounded = lawForAll(
  'a drawn template gives what the engine without bounds gives',
  { chat: anyChat },
  (of: Render, { chat: { source: drawn, messages } }) => {
    // The library strips white space whatever it is given.
    const source = drawn.replaceAll(/strip\('[^']*'\)/g, 'strip()')
    const expected = outcomeOf(() => unbounded(source, variables(messages)))
    expect(outcomeOf(() => of(source, variables(messages)))).toBe(expected)
  },
  { runs: casesAtTier(200, 2000) },
)
stateLaw(rendersAsUnbounded, renderTemplate)

killsEach('a renderer that %s is found', rendersAsUnbounded, {
  'takes a trim for nothing': (source, values) => renderTemplate(source.replaceAll(' | trim', ''), values),
  'does not trim at a dash': (source, values) => renderTemplate(source.replaceAll('-%}', '%}'), values),
  'joins with a space': (source, values) =>
    renderTemplate(source.replaceAll("join('')", "join(' ')"), values),
  'forgets the last message': (source, values) =>
    renderTemplate(source, { ...values, messages: (values.messages as ChatMessage[]).slice(0, -1) }),
})

// ---- Special tokens come from the template ----------------------------------------------------------------

type Write = typeof chatPrompt

/** Any special token; of two at a place the longer one. */
const anySpecial = new RegExp(
  specials
    .toSorted((a, b) => b.length - a.length)
    .map((special) => special.replaceAll('|', '\\|'))
    .join('|'),
  'g',
)

const specialsOf = (ids: readonly number[]): string[] =>
  ids
    .filter((id) => specials.some((spelling) => tokenizer.idOf(spelling) === id))
    .map((id) => tokenizer.decode([id]))

const onlyTheTemplateIsSpecial = lawForAll(
  'the special tokens of a drawn template are those that it writes, and the text is the rendered one',
  { chat: anyChat },
  (of: Write, { chat: { source, messages } }) => {
    const template = { source, bosToken, eosToken }
    const text = outcomeOf(() => renderTemplate(source, variables(messages)))
    if (text === null) return
    const prompt = of(template, tokenizer, messages)
    expect(prompt.text).toBe(text)
    expect(tokenizer.decode(prompt.ids)).toBe(text)
    const others = messages.map(({ role, content }) => ({ role: harmless(role), content: harmless(content) }))
    const written = renderTemplate(source, variables(others))
    expect(specialsOf(prompt.ids)).toEqual(written.match(anySpecial) ?? [])
  },
  { runs: casesAtTier(200, 2000) },
)
stateLaw(onlyTheTemplateIsSpecial, chatPrompt)

type Mark = (text: string, spellings: readonly string[], mark: string) => string

/** Writes a chat with another way to mark texts. */
const marking =
  (change: Mark, ofRoles: Mark = change): Write =>
  ({ source }, { specialSpellings }, messages) => {
    const mark = '\uf000'
    const marked = messages.map(({ role, content }) => ({
      role: /^\w*$/.test(role) ? role : ofRoles(role, specialSpellings, mark),
      content: change(content, specialSpellings, mark),
    }))
    const text = renderTemplate(source, variables(marked))
    return {
      text: text.replaceAll(mark, ''),
      ids: tokenizer.encode(text, { prefix: false, special: { mark } }),
    }
  }

/** Marks each message as if there were text around it. */
const unendedMarks = marking((text, spellings, mark) => markText(`x${text}x`, spellings, mark).slice(1, -1))

/** Writes a chat with the contents of its messages changed. */
const saying =
  (change: (content: string) => string): Write =>
  (template, tokenizer, messages) =>
    chatPrompt(
      template,
      tokenizer,
      messages.map(({ role, content }) => ({ role, content: change(content) })),
    )

test('a chat that is written by marking as the module marks is the chat of the module', () => {
  for (const { source, messages } of fc.sample(anyChat, 50)) {
    const template = { source, bosToken, eosToken }
    const written = (write: Write): string | null =>
      outcomeOf(() => JSON.stringify(write(template, tokenizer, messages)))
    expect(written(marking(markText))).toBe(written(chatPrompt))
  }
})

killsEach('a writer of chats that %s is found', onlyTheTemplateIsSpecial, {
  'marks nothing': marking((text) => text),
  'marks no part where the message has space before it': marking((text, spellings, mark) =>
    /^\s/.test(text)
      ? text[0] + markText(`x${text.slice(1)}`, spellings, mark).slice(1)
      : markText(text, spellings, mark),
  ),
  'marks no part where the message has space after it': marking((text, spellings, mark) =>
    /\s$/.test(text) ? markText(`${text}x`, spellings, mark).slice(0, -1) : markText(text, spellings, mark),
  ),
  'marks whole special tokens only where they are in one piece': marking((text, spellings, mark) =>
    markText(
      text,
      spellings.filter((spelling) => text.includes(spelling)),
      mark,
    ),
  ),
  'marks no special token of one character': marking((text, spellings, mark) =>
    markText(
      text,
      spellings.filter((spelling) => [...spelling].length > 1),
      mark,
    ),
  ),
  'marks no role': marking(markText, (text) => text),
  'marks the first special token only': marking((text, [first], mark) => markText(text, [first], mark)),
  'marks a special token at its end': marking((text, spellings, mark) =>
    spellings.reduce((marked, spelling) => marked.replaceAll(spelling, `${spelling}${mark}`), text),
  ),
  'does not look at the ends of a message': unendedMarks,
  'keeps the marks': saying((content) => markText(content, ['<|im_end|>'], '\uf000')),
  'lets no token be special': (template, tokenizer, messages) => {
    const { text } = chatPrompt(template, tokenizer, messages)
    return { text, ids: [2, ...tokenizer.encode(text, { prefix: false })] }
  },
  'drops what is like its mark from messages': saying((content) => content.replaceAll('\ue000', '')),
})

/** A template that cuts messages, and puts them next to parts of special tokens. A cut may take a mark with it. */
const cutting =
  "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.content | trim + '<|im_end|>' + m.content[1:] + '|' + m.content.split(' ')[-1] + '>' }}{{ '<|im' + m.content + '_end|' + m.content }}{% endfor %}"

const cutTextStaysText = lawForAll(
  'messages that a template cuts give no special tokens',
  { messages: plainMessages },
  (of: Write, { messages }) => {
    const template = { source: cutting, bosToken, eosToken }
    const prompt = of(template, tokenizer, messages)
    const others = messages.map(({ role }) => ({ role, content: 'x' }))
    expect(specialsOf(prompt.ids)).toEqual(specialsOf(of(template, tokenizer, others).ids))
    expect(tokenizer.decode(prompt.ids)).toBe(prompt.text)
  },
)
stateLaw(cutTextStaysText, chatPrompt)

killsEach('a chat of cut messages that %s is found', cutTextStaysText, {
  'marks nothing': marking((text) => text),
  'does not look at the ends of a message': unendedMarks,
})

test('a role of letters may be the beginning of a special token, which the template then writes', () => {
  const source = "{{ messages[0].role + '>' + messages[0].content }}"
  const other = tokenizerWith(['user>'])
  const count = (role: string): number => {
    const { ids } = chatPrompt({ source, bosToken, eosToken }, other, [{ role, content: 'user>' }])
    return ids.filter((id) => id === other.idOf('user>')).length
  }
  expect(count('user')).toBe(1)
  expect(count('a user')).toBe(0)
})
