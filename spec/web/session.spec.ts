/**
 * What the page holds, over an engine that is played: one model at a time, one text at a time, and nothing is told of a text
 * that was ended.
 */
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import type { StudyEnd, StudyEvent, StudyOptions } from '../../src/web/engine/study_types.ts'
import { denseMask } from '../../src/masks/mask.ts'
import { emptyTrace, type Trace, type TraceSettings } from '../../src/web/trace/trace.ts'

/** What the engine was asked, in order. */
const asked: string[] = []
const patiently = { timeout: 20_000, interval: 1 }
/** What waits, by name, until it is let. */
const waiting = new Map<string, () => void>()
const untilLet = (name: string): Promise<void> => new Promise((resolve) => waiting.set(name, resolve))
const letGo = async (name: string): Promise<void> => {
  await vi.waitUntil(() => waiting.has(name), patiently)
  waiting.get(name)?.()
  waiting.delete(name)
}

interface Signalled {
  readonly signal?: AbortSignal
}

const config = { layers: 2, heads: 3, neurons: 5, width: 7 }
const rpc = {
  async call(name: string, args: readonly unknown[], { signal }: Signalled = {}): Promise<unknown> {
    asked.push(`${name} ${JSON.stringify(args)}`)
    if (name === 'next') {
      const { length } = args[1] as Int32Array
      await untilLet(`next ${length}`)
      return [{ id: length, text: '', shares: [1] }]
    }
    if (name !== 'open') return { id: args[0] }
    const [source] = args
    if (source === 'broken') throw new Error('broken')
    if (source === 'slow') await untilLet('slow')
    signal?.throwIfAborted()
    return { name: typeof source === 'string' ? source : 'files', config, handle: source }
  },
  /** A text of two tokens, each of which waits until it is let. That of `strict` throws when stopped, as the engine does. */
  async *iterate(
    name: string,
    [, prompt, options]: readonly unknown[],
    { signal }: Signalled = {},
  ): AsyncGenerator<StudyEvent, StudyEnd> {
    asked.push(`${name} ${String(prompt)}`)
    yield {
      kind: 'start',
      prompt: Int32Array.of(2),
      pieces: ['a'],
      ranks: null,
      denseLayers: 1,
      switches: (options as StudyOptions).switches ?? [],
    }
    for (const index of [0, 1]) {
      await untilLet(`${String(prompt)} ${index}`)
      if (prompt === 'strict') signal?.throwIfAborted()
      if (prompt === 'broken') throw new Error('broken')
      yield { kind: 'step', index, token: index, text: `${index}`, scores: null }
    }
    return { rounds: { sparse: [5], dense: [] } }
  },
}

vi.resetModules()
vi.doMock('../../src/web/engine/start_engine.ts', () => ({ startEngine: () => ({ rpc }) }))
const { NextTokens } = await import('../../src/web/next_tokens.ts')
const { lineOf, messageOf, Session } = await import('../../src/web/session.ts')
// The same modules as those of the session.
const { HubError, UsageError } = await import('../../src/tensor/errors.ts')
afterAll(() => {
  vi.doUnmock('../../src/web/engine/start_engine.ts')
  vi.resetModules()
})
beforeEach(() => {
  asked.length = 0
  waiting.clear()
})

const settings: TraceSettings = {
  sparsity: 0.5,
  scope: 'global',
  planner: 'random',
  criterion: 'plainact',
  decides: 'once',
  temperature: 0,
  seed: 1,
}
const opened = async (name = 'one'): Promise<InstanceType<typeof Session>> => {
  const session = new Session()
  await session.open(name, 'shown', 'f32', () => {})
  return session
}

test('a text is asked for under the switches, which its trace has', async () => {
  const session = await opened()
  const switches = [{ unit: { kind: 'heads', layer: 1, index: 2 }, on: false }] as const
  const traces: Trace[] = []
  const written = session.write('a', settings, (trace) => traces.push(trace), switches)
  await letGo('a 0')
  await letGo('a 1')
  await written
  expect(traces.map((trace) => trace.switches)).toEqual(traces.map(() => switches))
})

test('next tokens are shown where they are those of the last request, and none while it waits', async () => {
  const told: number[][] = []
  const next = new NextTokens(await opened(), () => told.push(shown()))
  const shown = (): number[] => next.shown?.map(({ id }) => id) ?? [NaN]
  const shape = { layers: 2, heads: 3, neurons: 5 }
  const column = { token: 0, text: '', dense: null, kl: null }
  const empty = emptyTrace({ name: 'one', shape, width: 7 }, settings)
  const trace: Trace = { ...empty, prompt: Int32Array.of(2), columns: [column, column] }
  const mask = denseMask(shape)
  expect(shown()).toEqual([NaN])
  next.ask(trace, 0, mask, null)
  expect(shown()).toEqual([])
  await letGo('next 1')
  await vi.waitUntil(() => shown().length > 0, patiently)
  expect(shown()).toEqual([1])
  next.ask(trace, 1, mask, null)
  expect(shown()).toEqual([])
  // Asked before the answer to the last one is there: that answer is not shown.
  next.ask(trace, 2, mask, null)
  await letGo('next 2')
  await letGo('next 3')
  await vi.waitUntil(() => shown().length > 0, patiently)
  expect(shown()).toEqual([3])
  expect(told).toEqual([[1], [], [3]])
  next.ask(null, 0, mask, null)
  expect(shown()).toEqual([NaN])
})

test('a text is reported token by token, then its end', async () => {
  const session = await opened()
  const traces: Trace[] = []
  const written = session.write('a', settings, (trace) => traces.push(trace))
  expect(session.isWriting).toBe(true)
  await letGo('a 0')
  await letGo('a 1')
  await written
  expect(traces.map(({ columns }) => columns.length)).toEqual([0, 1, 2, 2])
  expect(traces.at(-1)).toMatchObject({
    model: { name: 'one', shape: { layers: 2, heads: 3, neurons: 5 }, width: 7 },
    settings,
    rounds: { sparse: [5] },
  })
  expect(session.isWriting).toBe(false)
})

test('a stopped or replaced text is not reported any more', async () => {
  const session = await opened()
  const told: string[] = []
  const write = (prompt: string): Promise<void> =>
    session.write(prompt, settings, ({ columns }) => told.push(`${prompt} ${columns.length}`))
  const first = write('a')
  await letGo('a 0')
  await vi.waitUntil(() => waiting.has('a 1'), patiently)
  const second = write('b')
  await letGo('a 1')
  await first
  // The text that ended first is no longer the one that is being written, and leaves the other alone.
  expect(session.isWriting).toBe(true)
  await letGo('b 0')
  await vi.waitUntil(() => waiting.has('b 1'), patiently)
  session.stop()
  expect(session.isWriting).toBe(false)
  await letGo('b 1')
  await second
  expect(told).toEqual(['a 0', 'a 1', 'b 0', 'b 1'])
})

test('a text that is stopped ends without an error; a broken one tells its error', async () => {
  const session = await opened()
  const write = (prompt: string): Promise<void> => session.write(prompt, settings, () => {})
  const stopped = write('strict')
  await vi.waitUntil(() => waiting.has('strict 0'), patiently)
  session.stop()
  await letGo('strict 0')
  expect(await stopped).toBeUndefined()
  const broken = write('broken')
  await letGo('broken 0')
  await expect(broken).rejects.toThrow('broken')
  expect(session.isWriting).toBe(false)
})

test('without a model no text is generated', async () => {
  const session = new Session()
  expect([session.opt, session.model]).toEqual([null, null])
  await session.write('a', settings, () => expect.fail('nothing to tell'))
  expect(asked).toEqual([])
})

test('a new model replaces the old one, which is disposed; a broken one does not', async () => {
  const session = await opened()
  await expect(session.open('broken', 'shown', 'f32', () => {})).rejects.toThrow('broken')
  expect(session.model?.name).toBe('one')
  await session.open(new Map(), 'shown', 'bf16', () => {})
  // Files have no name of their own.
  expect(session.model?.name).toBe('shown')
  expect(asked.map((text) => text.split(' ')[0])).toEqual(['open', 'open', 'open', 'dispose'])
  expect(asked[2]).toBe('open [{},{"storage":"bf16","threads":1}]')
})

test('an error that a reader can do something about says what, before its own words', () => {
  const long = new UsageError('CONTEXT_LENGTH', 'prompt: expected at most 255 tokens, got 603')
  expect(messageOf(long)).toBe(`The prompt is too long for this model: shorten it (${long.message})`)
  const dropped = new HubError('HUB_NETWORK', 'a/b: expected an answer of the hub, got Failed to fetch')
  expect(lineOf(dropped)).toMatch(
    /^The hub cannot be reached\. .*network, or choose a folder .*\[HUB_NETWORK\]$/,
  )
  expect(messageOf(new UsageError('SEED', 'seed: expected a number'))).toBe('seed: expected a number')
})

test('opening a model stops the opening of another, and then the running text', async () => {
  const session = await opened()
  const late = session.open('slow', 'shown', 'f32', () => {})
  const written = session.write('a', settings, () => {})
  await session.open('two', 'shown', 'f32', () => {})
  expect(session.isWriting).toBe(false)
  await letGo('slow')
  await expect(late).rejects.toThrow(/abort/i)
  await letGo('a 0')
  await written
  expect(session.model?.name).toBe('two')
})
