/**
 * Calls across threads: what they give is what the same call gives here, whatever else comes through the wire.
 *
 * Tests src/tensor/packed_error.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HubError, InputError, MissingError, UsageError } from '../../../src/tensor/errors.ts'
import { RpcClient, serveCalls, type CallTable } from '../../../src/web/engine/worker_rpc.ts'
import { killsEach, lawForAll, stateLaw } from '../../harness/seed.ts'

/** A turn of the event loop, after which all sent messages have arrived. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** How far each call of the table got, for those who ask whether it was stopped. */
function makeTable(): { calls: CallTable; ended: string[] } {
  const ended: string[] = []
  const calls: CallTable = {
    double: async (_, value) => Number(value) * 2,
    async slow({ progress }, value) {
      progress('half')
      await turn()
      return value
    },
    async *count(_, most) {
      try {
        for (let i = 0; i < Number(most); i++) {
          await turn()
          yield i
        }
        return 'done'
      } finally {
        ended.push('count')
      }
    },
    async fail(_, name) {
      const families = { UsageError, InputError, MissingError, HubError }
      const Family = families[name as keyof typeof families]
      if (Family) throw new Family('CODE', 'one: expected two, got three')
      throw new RangeError('too far')
    },
    forever: ({ signal }) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          ended.push('forever')
          resolve(null)
        }),
      ),
  }
  return { calls, ended }
}

/** Both ends, joined by a wire that copies, as threads do. */
function makeWire(serve = serveCalls, makeLine = (send: (message: unknown) => void) => new RpcClient(send)) {
  const { calls, ended } = makeTable()
  const copy = (message: unknown, to: (data: unknown) => void): void => {
    const data: unknown = structuredClone(message)
    queueMicrotask(() => to(data))
  }
  const line = makeLine((message) => copy(message, receive))
  const receive = serve(calls, (message) => copy(message, line.receive))
  return { line, receive, ended }
}

type Wire = ReturnType<typeof makeWire>

const id = fc.oneof(fc.integer({ min: -1, max: 6 }), fc.constantFrom(NaN, 0.5, '1', null))
const junk = fc.oneof(
  fc.anything(),
  fc.constant({ kind: 'call', id: 1, name: 'double', args: [9] }), // the id of a call that runs
  fc.record({
    kind: fc.constantFrom('call', 'stop?', 'progress', 'step', 'value', 'error', 'other', 7),
    id,
    name: fc.constantFrom('double', 'count', '__proto__', 'constructor', 'none', 3),
    args: fc.oneof(fc.constant([9]), fc.anything()),
    value: fc.anything(),
    error: fc.anything(),
  }),
)
/** What comes to the engine from nobody, and to the page from nobody: answers only with ids that nobody waits for. */
const strayAnswer = junk.filter((one) => !isAnswer(one))
const isAnswer = (one: unknown): boolean =>
  typeof one === 'object' && one !== null && 'id' in one && [1, 2, 3].includes(one.id as number)

/** The same, or an error where it takes more turns than any call here needs. */
async function ended<Value>(result: Promise<Value>): Promise<Value> {
  const late = async (): Promise<never> => {
    for (let i = 0; i < 30; i++) await turn()
    throw new Error('expected every call to end, got one that does not')
  }
  return Promise.race([result, late()])
}

const strays = {
  toEngine: fc.array(junk.filter(isHarmless), { maxLength: 6 }),
  toPage: fc.array(strayAnswer, { maxLength: 6 }),
}

/** A message with a free id could be a valid call, so only other messages are judged. */
function isHarmless(one: unknown): boolean {
  return !(typeof one === 'object' && one !== null && 'kind' in one && one.kind === 'call' && !isAnswer(one))
}

/** Three calls at once give what they give alone, with junk on the wire between them. */
const unmoved = lawForAll(
  'hostile and stale messages change no call',
  { ...strays },
  async (make: () => Wire, { toEngine, toPage }): Promise<void> => {
    const { line, receive } = make()
    const strew = (): void => {
      for (const one of toEngine) receive(one)
      for (const one of toPage) line.receive(one)
    }
    const steps: unknown[] = []
    const counted = (async () => {
      const counting = line.iterate('count', [3])
      for (;;) {
        const { done, value } = await counting.next()
        if (done) return value
        steps.push(value)
        strew()
      }
    })()
    counted.catch(() => {}) // a mutant may fail elsewhere first
    const [doubled, slow] = [line.call('double', [21]), line.call('slow', ['same'])]
    await Promise.resolve() // so that the calls are on their way: who comes before them with their ids is a caller, too
    strew()
    expect(await ended(Promise.all([counted, doubled, slow]))).toEqual(['done', 42, 'same'])
    expect(steps).toEqual([0, 1, 2])
    expect(line.waiting).toBe(0)
  },
)
stateLaw(unmoved, makeWire)

killsEach('%s: killed', unmoved, {
  'an engine that answers an id twice': () =>
    makeWire((calls, send) => {
      const [first, second] = [serveCalls(calls, send), serveCalls(calls, send)]
      const seen = new Set<unknown>()
      return (data) => {
        const known = (data as { id?: unknown } | null)?.id
        if (seen.has(known)) second(data)
        else first(data)
        seen.add(known)
      }
    }),
  'an engine that takes any message for an object': () =>
    makeWire((calls, send) => {
      const receive = serveCalls(calls, send)
      return (data) => receive({ ...(data as object), kind: (data as { kind: unknown }).kind })
    }),
  'a page that gives any answer to who waits longest': () =>
    makeWire(serveCalls, (send) => {
      const line = new RpcClient(send)
      const route = line.receive
      const receive = (data: unknown): void =>
        route(
          typeof data === 'object' && data !== null && 'kind' in data && data.kind === 'value'
            ? { ...data, id: 1 }
            : data,
        )
      return Object.assign(line, { receive })
    }),
})

describe('a call', () => {
  test('receives progress', async () => {
    const heard: unknown[] = []
    expect(await makeWire().line.call('slow', [5], { onProgress: (value) => heard.push(value) })).toBe(5)
    expect(heard).toEqual(['half'])
  })

  test.each([UsageError, InputError, MissingError, HubError])(
    'fails with the error of the other side: %o',
    async (Family) => {
      const error = await makeWire()
        .line.call('fail', [Family.name])
        .catch((caught: unknown) => caught)
      expect(error).toBeInstanceOf(Family)
      expect(error).toMatchObject({ code: 'CODE', message: 'one: expected two, got three' })
    },
  )

  test('fails with an untyped error of the other side, too', async () => {
    await expect(makeWire().line.call('fail', ['other'])).rejects.toMatchObject({
      name: 'RangeError',
      message: 'too far',
    })
  })

  test('that is aborted fails at once with the reason, and the other side stops', async () => {
    const { line, ended } = makeWire()
    const controller = new AbortController()
    const call = line.call('forever', [], { signal: controller.signal })
    await turn()
    controller.abort(new Error('enough'))
    await expect(call).rejects.toThrow('enough')
    await turn()
    expect(ended).toEqual(['forever'])
    expect(line.waiting).toBe(0)
    await expect(line.call('double', [1], { signal: controller.signal })).rejects.toThrow('enough')
  })

  test('that is left early ends its steps on the other side', async () => {
    const { line, ended } = makeWire()
    for await (const step of line.iterate('count', [1e9])) if (step === 2) break
    for (let i = 0; i < 5; i++) await turn()
    expect(ended).toEqual(['count'])
    expect(line.waiting).toBe(0)
  })

  test('with arguments that cannot be sent fails on this side, and leaves no state', async () => {
    const { line } = makeWire()
    await expect(line.call('double', [() => 1])).rejects.toThrow()
    expect(line.waiting).toBe(0)
  })

  test('fails if the other side has ended, as do later calls', async () => {
    const { line } = makeWire()
    const call = line.call('forever', [])
    await turn()
    line.break(new MissingError('ENGINE_ENDED', 'gone'))
    await expect(call).rejects.toThrow('gone')
    await expect(line.call('double', [1])).rejects.toThrow('gone')
  })
})
