/**
 * Bugs that no result shows: a kernel that writes beside its output, leaves part of it unwritten, writes to an input, reads past
 * an end, or keeps a buffer is caught by any call.
 *
 * Tests src/testing/op_agreement.ts and src/testing/op_call.ts.
 */
import { expect, test } from 'vitest'
import type { Backend, Buffer } from '../../src/backends/backend.ts'
import type { OwnedBuffer } from '../../src/backends/owned_buffer.ts'
import { createBackend } from '../../src/backends/select.ts'
import { call, callAll, haveSameBits } from '../../src/testing/op_call.ts'
import { agreementLaws } from '../../src/verify/ops/agreement.ts'
import { mutate, verdict } from '../harness/mutate.ts'

const reference = await createBackend('reference')

/** What really stands behind a buffer of the reference. */
function memory(buffer: Buffer): { words: Float32Array; start: number } {
  const { address } = buffer as OwnedBuffer<Float32Array>
  return { words: new Float32Array(address.buffer), start: address.byteOffset / 4 }
}

/** relu with something done to the buffers after the call. */
function reluThen(spoil: (y: Buffer, x: Buffer, N: number) => void): Backend {
  return mutate(reference, 'relu', (relu) => (y, x) => {
    relu(y, x)
    spoil(y, x, x.length)
  })
}

/** Why any call on this backend is refused. */
async function why(backend: Backend): Promise<string | null> {
  return verdict(agreementLaws('relu')[0], backend)
}

test.each([Uint8Array, Uint16Array, Float32Array].map((Numbers) => [Numbers.name, Numbers] as const))(
  'two arrays of %s differ where a number outside of what is left out differs',
  (_, Numbers) => {
    const one = Numbers.of(1, 2, 3, 4, 5)
    one.forEach((_, i) => {
      const other = one.slice()
      other[i]++
      expect([haveSameBits(one, other, 1, 3), haveSameBits(one, other)]).toEqual([i === 1 || i === 2, false])
    })
  },
)

test('a correct relu passes', async () => {
  expect(await why(reluThen(() => {}))).toBeNull()
})

test.each([
  ['behind', (N: number) => N],
  ['before', () => -1],
])('a number written %s the output is found', async (_, place) => {
  const spoilt = reluThen((y, _x, N) => {
    const { words, start } = memory(y)
    words[start + place(N)] = 0
  })
  expect(await why(spoilt)).toMatch(/relu\.y: expected number .* untouched, got 0/)
})

test('an unwritten number of the output is found', async () => {
  const spoilt = mutate(reference, 'relu', (relu) => (y, x) => {
    const most = [Math.max(0, x.length - 1)]
    relu(reference.view(y, most), reference.view(x, most))
  })
  expect(await why(spoilt)).toMatch(/relu\.y\[.*got NaN/)
})

test('a write to an input is found', async () => {
  const spoilt = reluThen((_y, x, N) => {
    if (N > 0 && _y !== x) memory(x).words[memory(x).start] = 7
  })
  expect(await why(spoilt)).toMatch(/relu\.x: expected number 0 .* untouched, got 7/)
})

test('a read past the end of an input is found', async () => {
  const spoilt = reluThen((y, x, N) => {
    const { words, start } = memory(x)
    if (N > 0 && Number.isNaN(words[start + N])) memory(y).words[memory(y).start] = NaN
  })
  expect(await why(spoilt)).toMatch(/relu\.y\[0\].*got NaN/)
})

test('a leaked buffer is found', () => {
  const kept: Buffer[] = []
  const spoilt = reluThen(() => kept.push(reference.allocate('f32', [1])))
  call(spoilt, 'relu', { x: new Float32Array(3), N: 3 })
  // What overBackends expects to be 0 after every test.
  expect(spoilt.liveBuffers).toBe(1)
  kept.forEach((buffer) => reference.free(buffer))
})

test('calls that are read together have the results of each alone, and one that fails has its error', () => {
  const spoilt = reluThen((y, _x, N) => {
    const { words, start } = memory(y)
    if (N === 2) words[start + N] = 0
  })
  const numbers = [[-1, 4, -3], [5, 6], [-7]].map((x) => Float32Array.from(x))
  const calls = numbers.map((x) => ({ name: 'relu' as const, given: { x, N: x.length } }))
  const [first, second, third] = callAll(spoilt, calls)
  expect([first, third]).toEqual([{ y: Float32Array.of(0, 4, 0) }, { y: Float32Array.of(0) }])
  expect(second).toBeInstanceOf(Error)
  expect(() => call(spoilt, 'relu', calls[1].given)).toThrow((second as Error).message)
  expect(spoilt.liveBuffers).toBe(0)
})

test('a backend that cannot be read fails each call', () => {
  const mute = new Proxy(reference, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key, target)
      if (typeof member !== 'function') return member
      return key === 'readAll' ? () => expect.fail('no answer') : member.bind(target)
    },
  })
  const relu = { name: 'relu', given: { x: Float32Array.of(1), N: 1 } } as const
  const errors = callAll(mute, [relu, relu])
  expect(errors.map((error) => (error instanceof Error ? error.message : null))).toEqual([
    'no answer',
    'no answer',
  ])
  expect(reference.liveBuffers).toBe(0)
})
