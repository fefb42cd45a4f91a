/**
 * Requests that bring much: every field of every body, long, many, large and deep; and what they cost everybody else.
 *
 * The fields are those of the schemas, so that a new one enters by itself.
 */
import * as v from 'valibot'
import { amounts, type AmountName } from '../../src/server/amounts.ts'
import { bodies, type BodyName } from '../../src/server/requests.ts'

/** A request that brings much. */
export interface Much {
  /** `completion prompt: a text of 4 MiB`. */
  readonly name: string
  readonly path: string
  readonly body: string
}

/** A path and a body that is answered, for each schema. */
const routes: Readonly<Record<BodyName, readonly [path: string, body: Readonly<Record<string, unknown>>]>> = {
  completion: ['/v1/completions', { prompt: 'a', max_tokens: 1 }],
  chat: ['/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }], max_tokens: 1 }],
  tokenize: ['/tokenize', { prompt: 'a' }],
  detokenize: ['/detokenize', { tokens: [3] }],
}

/** Bytes of a body beside its value. */
const BESIDE = 256
const MOST = amounts.bytes.most - BESIDE

/** JSON of a list of so many equal items. */
const list = (item: string, count: number): string => `[${Array.from({ length: count }, () => item).join()}]`

/** A text of so many letters that repeat no word. */
function letters(count: number): string {
  let state = 1
  const text = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    text[i] = 97 + ((state >>> 16) % 26)
  }
  return Buffer.from(text).toString()
}

/** Values for a field whose lengths have this limit, as JSON. */
function* valuesFor(limit: number): Generator<readonly [name: string, json: string]> {
  const counts: readonly (readonly [string, number])[] = [
    ['at the limit', limit],
    ['past the limit', limit + 1],
  ]
  for (const [where, count] of counts) {
    yield [`a text ${where}`, `"${'a'.repeat(Math.min(count, MOST))}"`]
    for (const item of ['0', '""', '{}', '{"role":"user","content":"a"}'])
      yield [`a list of ${item} ${where}`, list(item, Math.min(count, Math.floor(MOST / (item.length + 1))))]
  }
  yield ['a text of 4 MiB', `"${letters(MOST)}"`]
  yield ['a text of 4 MiB of spaces', `"${' '.repeat(MOST)}"`]
  yield ['a text of marks', `"a${'\u0301\u0316'.repeat(MOST / 4 - 1)}"`]
  yield ['a text of private use', `"${privateUse.repeat(MOST / privateUseBytes)}"`]
  for (const item of ['0', '"a"', '[0]', '{}', '{"role":"user","content":"a"}', '{"type":"text","text":"a"}'])
    yield [`a list of ${item} of 4 MiB`, list(item, Math.floor(MOST / (item.length + 1)))]
  yield ['a map of 100,000 keys', `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join()}}`]
  for (const number of ['0', '-1', '2147483648', '9007199254740992', '1e308'])
    yield [`the number ${number}`, number]
  yield ['a list in 100,000 others', `${'['.repeat(100_000)}${']'.repeat(100_000)}`]
}
const privateUse = String.fromCharCode(...Array.from({ length: 6400 }, (_, i) => 0xe000 + i))
const privateUseBytes = 3 * 6400

/** Every field of every body with every value. */
export function* everyMuch(): Generator<Much> {
  for (const [schema, { entries }] of Object.entries(bodies) as [BodyName, (typeof bodies)[BodyName]][]) {
    const [path, right] = routes[schema]
    for (const [field, entry] of Object.entries(entries)) {
      const { amount } = v.getMetadata(entry as v.GenericSchema) as { readonly amount?: AmountName }
      const limit = amount === undefined || amount === 'bytes' ? 2 ** 14 : amounts[amount].most
      const rest = JSON.stringify({ ...right, [field]: undefined })
      const before = rest === '{}' ? '{' : `${rest.slice(0, -1)},`
      for (const [what, value] of valuesFor(limit))
        yield { name: `${schema} ${field}: ${what}`, path, body: `${before}"${field}":${value}}` }
    }
    yield { name: `${schema} a name of 4 MiB`, path, body: `{"${letters(MOST)}":0}` }
    yield {
      name: `${schema} 100,000 names`,
      path,
      body: `{${Array.from({ length: 100_000 }, (_, i) => `"name${i}":0`).join()}}`,
    }
  }
  for (const schema of ['chat', 'tokenize'] as const)
    for (const [what, message] of Object.entries(longMessages))
      yield {
        name: `${schema} messages: ${what}`,
        path: routes[schema][0],
        body: JSON.stringify({ messages: message() }),
      }
}

/** What is long inside messages. */
const longMessages: Readonly<Record<string, () => unknown[]>> = {
  'a content of 2 MiB': () => [{ role: 'user', content: letters(2 ** 21) }],
  'a content of special tokens': () => [{ role: 'user', content: '<|im_start|>'.repeat(2 ** 18) }],
  'a role of 2 MiB': () => [{ role: letters(2 ** 21), content: 'a' }],
  '30,000 parts': () => [
    { role: 'user', content: Array.from({ length: 30_000 }, () => ({ type: 'text', text: 'a' })) },
  ],
  '8,000 contents of 400 letters': () =>
    Array.from({ length: 8000 }, () => ({ role: 'user', content: letters(400) })),
}

/** A server that is asked. */
export type Ask = (path: string, body?: string) => Promise<{ readonly status: number; readonly text: string }>

/** What a request cost. */
export interface Cost {
  readonly name: string
  readonly status: number
  /** The code of a refusal. */
  readonly code: string | null
  /** Milliseconds until it was answered. */
  readonly took: number
  /** The longest that somebody else waited meanwhile, in milliseconds. */
  readonly waited: number
}

/** Asks for much, while somebody else asks for the health and for the tokens of a word. */
export async function costOf(ask: Ask, { name, path, body }: Much): Promise<Cost> {
  const over = new AbortController()
  let waited = 0
  const other = async (): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) {
      const start = performance.now()
      await (i % 2 === 0 ? ask('/health') : ask('/tokenize', '{"prompt":"a"}'))
      waited = Math.max(waited, performance.now() - start)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const others = other()
  const start = performance.now()
  const { status, text } = await ask(path, body)
  const took = performance.now() - start
  over.abort()
  await others
  const refusal = status === 200 ? null : (JSON.parse(text) as { error: { code: string } }).error.code
  return { name, status, code: refusal, took, waited }
}
