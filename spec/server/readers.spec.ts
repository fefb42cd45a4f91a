/**
 * Threads that read requests: deadlines, lanes, places in the queue, clients that leave, and the end.
 *
 * Tests src/server/reading_thread.ts too.
 */
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { createTokenizer } from '../../src/io/tokenizer.ts'
import { parseTokenizerJson } from '../../src/io/tokenizer_json.ts'
import { amounts, READ_AT_ONCE, READ_SOON } from '../../src/server/amounts.ts'
import { Readers } from '../../src/server/readers.ts'
import { RequestReader, type ReadingModel } from '../../src/server/reading.ts'
import { RequestError } from '../../src/server/request_error.ts'
import { Scheduler } from '../../src/server/scheduler.ts'

const smollm = new URL('../../fixtures/tokenizers/smollm.tokenizer.json', import.meta.url)
const tokenizer = createTokenizer(parseTokenizerJson(readFileSync(smollm)))

/** A template that takes a while where a message says so. */
const template = `{% for message in messages %}{{ message.content }}
{%- set rounds = { 'slowly': 3, 'for long': 9 }[message.content] or 0 %}
{%- for a in range(10000 if rounds else 0) %}{% for b in range(rounds) %}{% endfor %}{% endfor %}{% endfor %}`
const model: ReadingModel = {
  tokenizer,
  chatTemplate: { source: template, bosToken: null, eosToken: '<|im_end|>' },
  names: ['tiny'],
  vocabulary: tokenizer.vocabularySize,
  positions: 4096,
}
const here = new RequestReader(model)
const client = new AbortController().signal

const bytesOf = (body: object): Uint8Array => new TextEncoder().encode(JSON.stringify(body))
const chat = (content: string): Uint8Array => bytesOf({ messages: [{ role: 'user', content }] })
/** A body to be tokenized of so many bytes. */
const sized = (bytes: number): Uint8Array =>
  bytesOf({ prompt: 'so it was '.repeat(bytes).slice(0, bytes - bytesOf({ prompt: '' }).length) })
const codeOf = (reading: Promise<unknown>): Promise<unknown> =>
  reading.then(
    () => 'read',
    (error: unknown) => (error instanceof RequestError ? error.code : error),
  )

const made: Readers[] = []
afterAll(() => made.forEach((readers) => readers.end(new Error('the end'))))
function readersOf({ deadline = 60_000, queue = 8 } = {}): { readers: Readers; scheduler: Scheduler } {
  const scheduler = new Scheduler({ seats: 1, queue })
  const readers = new Readers(model, scheduler, deadline)
  made.push(readers)
  return { readers, scheduler }
}

describe('a body is read as on this thread', () => {
  const { readers } = readersOf()
  test.each([
    ['at once', READ_AT_ONCE],
    ['before longer ones', READ_AT_ONCE + 1],
    ['before longer ones, at the limit', READ_SOON],
    ['beside shorter ones', READ_SOON + 1],
    ['of many bytes', 2 ** 17],
  ])('%s', async (_, size) => {
    const bytes = sized(size)
    expect(bytes.length).toBe(size)
    expect(await readers.read('tokenize', bytes, client)).toEqual(here.read('tokenize', bytes, true))
  })

  test('a chat', async () => {
    expect(await readers.read('chat', chat('so it was'), client)).toEqual(
      here.read('chat', chat('so it was'), true),
    )
  })

  test('a refusal, with its status and its code', async () => {
    const prompt = 'a'.repeat(amounts.characters.most + 1)
    await expect(readers.read('tokenize', bytesOf({ prompt }), client)).rejects.toMatchObject({
      name: 'RequestError',
      status: 400,
      code: 'TEXT_LENGTH',
    })
    const other = bytesOf({ prompt: 'a'.repeat(READ_SOON), model: 'other' })
    await expect(readers.read('tokenize', other, client)).rejects.toMatchObject({
      status: 404,
      code: 'MODEL',
    })
  })
})

describe('a body that takes too long', () => {
  test('is refused, and the next one is read by another thread', async () => {
    const { readers } = readersOf({ deadline: 40 })
    expect(await codeOf(readers.read('chat', chat('for long'), client))).toBe('READING')
    // On a busy machine a short one may take too long as well, but not each time.
    const codes: unknown[] = []
    while (codes.at(-1) !== 'read' && codes.length < 50)
      codes.push(await codeOf(readers.read('chat', chat('so it was'), client)))
    expect(codes.at(-1)).toBe('read')
  })

  test('holds up neither this thread nor a body of another size', async () => {
    const { readers } = readersOf()
    const order: string[] = []
    await readers.read('chat', chat('warm'), client)
    await Promise.all([
      readers.read('chat', chat('slowly'), client).then(() => order.push('slow')),
      readers.read('tokenize', sized(READ_SOON + 1), client).then(() => order.push('long')),
      readers.read('tokenize', sized(100), client).then(() => order.push('short')),
    ])
    expect(order[0]).toBe('short')
    expect(order).toHaveLength(3)
  })
})

describe('those that wait', () => {
  test('have places in the queue, and give them back', async () => {
    const { readers, scheduler } = readersOf({ queue: 2 })
    const reading = Array.from({ length: 4 }, () => codeOf(readers.read('chat', chat('slowly'), client)))
    expect(scheduler.queued).toBe(2)
    expect(await Promise.all(reading)).toEqual(['read', 'read', 'read', 'QUEUE_FULL'])
    expect(scheduler.queued).toBe(0)
  })

  test('share the queue with those that wait for a seat', async () => {
    const { readers, scheduler } = readersOf({ queue: 1 })
    const first = codeOf(readers.read('chat', chat('slowly'), client))
    const second = codeOf(readers.read('chat', chat('a'), client))
    const seat = await scheduler.enter(client)
    expect(await codeOf(scheduler.enter(client))).toBe('QUEUE_FULL')
    expect(await Promise.all([first, second])).toEqual(['read', 'read'])
    seat.leave()
    const held = await scheduler.enter(client)
    held.leave()
  })

  test('leave with their client', async () => {
    const { readers, scheduler } = readersOf()
    const left = new AbortController()
    const first = codeOf(readers.read('chat', chat('slowly'), client))
    const second = codeOf(readers.read('chat', chat('a'), left.signal))
    left.abort('left')
    expect(await second).toBe('left')
    expect(scheduler.queued).toBe(0)
    expect(await first).toBe('read')
  })

  test('are refused at the end, as is what is being read', async () => {
    const { readers, scheduler } = readersOf()
    const reading = Array.from({ length: 3 }, () => codeOf(readers.read('chat', chat('slowly'), client)))
    readers.end(scheduler.ending())
    expect(await Promise.all(reading)).toEqual(['DRAINING', 'DRAINING', 'DRAINING'])
    expect(scheduler.queued).toBe(0)
  })
})
