/**
 * Bodies that come slowly, or not to their end: when each is refused, and what is then held of it. The clock is a false one.
 */
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { MAX_BODIES } from '../../src/server/amounts.ts'
import { HeldBytes, readBytes, type BodyPatience } from '../../src/server/body_bytes.ts'
import type { RequestError } from '../../src/server/request_error.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

/** Reads a body. */
type Read = typeof readBytes

/** Odd, while gaps are even: no sum of gaps is a limit. */
const PATIENCE: BodyPatience = { whole: 101, part: 31 }

/** A body of one byte after each gap. */
function bodyOf(gaps: readonly number[]): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream(
    {
      pull: async (controller) => {
        if (at === gaps.length) return controller.close()
        await new Promise((resolve) => setTimeout(resolve, gaps[at++]))
        controller.enqueue(Uint8Array.of(at))
      },
    },
    { highWaterMark: 0 },
  )
}

/** When a body is refused, by the rule; null if it is read. */
function refusedAt(gaps: readonly number[]): number | null {
  let time = 0
  for (const gap of gaps) {
    const limit = Math.min(time + PATIENCE.part, PATIENCE.whole)
    if (time + gap > limit) return limit
    time += gap
  }
  return null
}

const endsInTime = lawForAll(
  'a body is taken and held, or refused as soon as a part of it or the whole is late; then nothing of it is held',
  {
    gaps: fc.array(
      fc.integer({ min: 1, max: 16 }).map((half) => 2 * half),
      { minLength: 1, maxLength: 24 },
    ),
  },
  async (read: Read, { gaps }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      const held = new HeldBytes(PATIENCE)
      const init = { method: 'POST', body: bodyOf(gaps), duplex: 'half' }
      const started = performance.now()
      const outcome = read(new Request('http://localhost/', init as RequestInit), held).then(
        (bytes) => ({ bytes: [...bytes], at: null }),
        (error: RequestError) => ({ bytes: [error.status, error.code], at: performance.now() - started }),
      )
      await vi.advanceTimersByTimeAsync(1000)
      const late = refusedAt(gaps)
      const { bytes, at } = await outcome
      expect(bytes).toEqual(late === null ? gaps.map((_, i) => i + 1) : [408, 'BODY_TIME'])
      if (late !== null) expect(Math.abs((at as number) - late)).toBeLessThan(2)
      if (late === null) {
        expect(() => held.add(MAX_BODIES)).toThrow('bodies')
        held.add(-bytes.length)
      }
      expect(() => held.add(MAX_BODIES)).not.toThrow()
    } finally {
      vi.useRealTimers()
    }
  },
  { runs: 50 },
)
stateLaw(endsInTime, readBytes)

const patient =
  (change: Partial<BodyPatience>): Read =>
  async (request, held) => {
    const bytes = await readBytes(request, new HeldBytes({ ...PATIENCE, ...change }))
    held.add(bytes.length)
    return bytes
  }

test('one whose patience is right is not found', () =>
  expect(kills(endsInTime, patient({}))).rejects.toThrow())

test.each<[string, Read]>([
  ['gives the whole a new time with each part', patient({ whole: Infinity })],
  ['waits for a part as long as for the whole', patient({ part: Infinity })],
  ['holds nothing of a body', (request) => readBytes(request, new HeldBytes(PATIENCE))],
  [
    'keeps what is held of a refused body',
    async (request, held) => {
      try {
        return await readBytes(request, held)
      } catch (error) {
        held.add(1)
        throw error
      }
    },
  ],
])('a reader that %s is found', (_, mutant) => kills(endsInTime, mutant))
