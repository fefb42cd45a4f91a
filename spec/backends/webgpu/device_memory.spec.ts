/**
 * Device memory: pieces never overlap, stand in windows that exist, are zeros where it says so, and leave nothing behind.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DeviceMemory } from '../../../src/backends/webgpu/device_memory.ts'
import { kills, lawForAll, stateLaw } from '../../harness/seed.ts'

const WINDOW = 4096
type Memory = Pick<DeviceMemory, 'allocate' | 'free' | 'parts' | 'held' | 'further'>
type MakeMemory = (...given: ConstructorParameters<typeof DeviceMemory>) => Memory

/** Take so many bytes, or give back one of the live pieces. */
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ take: fc.nat({ max: 20_000 }) }) },
  { weight: 2, arbitrary: fc.record({ giveBack: fc.nat() }) },
)

const keepsPiecesApart = lawForAll(
  'every byte of every piece is its own, in a window that was made, and zero where that was said',
  { steps: fc.array(step, { maxLength: 60 }) },
  (make: MakeMemory, { steps }) => {
    const windows = new Map<number, Uint8Array>()
    const memory = make(WINDOW, (orders) => {
      for (const { id, bytes } of orders) {
        expect(bytes).toBeLessThanOrEqual(WINDOW)
        windows.set(id, new Uint8Array(bytes))
      }
      return true
    })
    const live: { address: number; bytes: number; mark: number }[] = []
    const bytesOf = ({ address, bytes }: { address: number; bytes: number }): Uint8Array[] =>
      memory.parts(address, bytes).map(({ window, offset, bytes: length }) => {
        const whole = windows.get(window) as Uint8Array
        expect(offset + length).toBeLessThanOrEqual(whole.length)
        return whole.subarray(offset, offset + length)
      })
    for (const [mark, one] of steps.entries())
      if ('take' in one) {
        const found = memory.allocate(one.take)
        if (found === null) throw new Error('no room')
        const piece = { address: found.address, bytes: one.take, mark: mark + 1 }
        for (const part of bytesOf(piece)) {
          if (found.isZero) expect(part.every((byte) => byte === 0)).toBe(true)
          part.fill(piece.mark)
        }
        live.push(piece)
      } else if (live.length > 0) {
        const [piece] = live.splice(one.giveBack % live.length, 1)
        for (const part of bytesOf(piece)) expect(part.every((byte) => byte === piece.mark)).toBe(true)
        for (const id of memory.free(piece.address)) windows.delete(id)
      }
    for (const piece of live)
      for (const part of bytesOf(piece)) expect(part.every((byte) => byte === piece.mark)).toBe(true)
    expect(memory.held).toBe([...windows.values()].reduce((sum, { length }) => sum + length, 0))
  },
)
stateLaw(keepsPiecesApart, (...given) => new DeviceMemory(...given))

/** Memory with another way to do one thing. */
const broken =
  (change: (memory: DeviceMemory) => Partial<Memory>): MakeMemory =>
  (...given) => {
    const memory = new DeviceMemory(...given)
    const own = {
      allocate: (bytes: number) => memory.allocate(bytes),
      free: (address: number) => memory.free(address),
      parts: (address: number, bytes: number) => memory.parts(address, bytes),
      further: (address: number, bytes: number) => memory.further(address, bytes),
    }
    return Object.defineProperties(own, {
      held: { get: () => memory.held },
      ...Object.getOwnPropertyDescriptors(change(memory)),
    }) as Memory
  }

test('a piece larger than the first window that is shared has room', () => {
  const memory = new DeviceMemory(2 ** 24, () => true)
  expect(memory.allocate(300_000)).toEqual({ address: 0, isZero: true })
})

test.each<[string, MakeMemory]>([
  [
    'says zeros of what was used',
    broken((memory) => ({
      allocate: (bytes) => Object.assign({}, memory.allocate(bytes), { isZero: true }),
    })),
  ],
  [
    'has less room than was asked for',
    broken((memory) => ({ allocate: (bytes) => memory.allocate(bytes / 2) })),
  ],
  ['keeps windows that are free', broken((memory) => ({ free: (address) => memory.free(address).slice(1) }))],
  [
    'forgets that a piece goes on',
    broken((memory) => ({ parts: (address, bytes) => [{ ...memory.parts(address, bytes)[0], bytes }] })),
  ],
])('memory that %s: killed', (_, make) => kills(keepsPiecesApart, make))
