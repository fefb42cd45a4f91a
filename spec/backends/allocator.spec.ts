/**
 * The allocator of backends with memory of their own: pieces never overlap, whatever is taken and given back in whatever order; what is
 * given back is used again; when everything is, one free piece is left.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Allocator } from '../../src/backends/allocator.ts'
import { law } from '../harness/seed.ts'

const BASE = 1000 // not aligned, on purpose
const ROOM = 1 << 16

/** Take so many bytes, or give back one of the live pieces. */
type Step = { take: number } | { giveBack: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ take: fc.integer({ min: 0, max: 3000 }) }) },
  { weight: 2, arbitrary: fc.record({ giveBack: fc.nat() }) },
)

interface Piece {
  start: number
  size: number
}

/** An allocator over ROOM bytes, and how far it has reached. */
function bounded(): { allocator: Allocator; reached: () => number } {
  let reached = BASE
  const allocator = new Allocator(BASE, (end) => {
    if (end > BASE + ROOM) return false
    reached = Math.max(reached, end)
    return true
  })
  return { allocator, reached: () => reached }
}

function run(steps: readonly Step[], allocator: Allocator, reached: () => number): Piece[] {
  const live: Piece[] = []
  for (const one of steps) {
    if ('take' in one) {
      const start = allocator.allocate(one.take)
      if (start === null) continue
      expect(start % 64).toBe(0)
      expect(start).toBeGreaterThanOrEqual(BASE)
      expect(start + one.take).toBeLessThanOrEqual(reached())
      for (const other of live)
        expect(start + Math.max(one.take, 1) <= other.start || other.start + other.size <= start).toBe(true)
      live.push({ start, size: Math.max(one.take, 1) })
    } else if (live.length > 0) allocator.free(live.splice(one.giveBack % live.length, 1)[0].start)
    expect(allocator.live).toBe(live.length)
  }
  return live
}

law('live pieces are aligned, inside the range and never overlap', { steps: fc.array(step) }, ({ steps }) => {
  const { allocator, reached } = bounded()
  run(steps, allocator, reached)
})

law(
  'when all is freed, the used range is one piece again',
  { steps: fc.array(step), atOnce: fc.boolean() },
  ({ steps, atOnce }) => {
    const { allocator, reached } = bounded()
    const live = run(steps, allocator, reached)
    if (atOnce) allocator.freeAll()
    else for (const { start } of live) allocator.free(start)
    expect(allocator.live).toBe(0)
    expect(allocator.liveBytes).toBe(0)
    const end = reached()
    if (end === BASE) return
    const first = Math.ceil(BASE / 64) * 64
    expect(allocator.allocate(end - first)).toBe(first)
    expect(reached()).toBe(end)
  },
)

law(
  'allocating and freeing the same sizes again uses no more memory',
  { sizes: fc.array(fc.nat(3000)) },
  ({ sizes }) => {
    const { allocator, reached } = bounded()
    const round = (): void => {
      const taken = sizes.map((size) => allocator.allocate(size))
      for (const start of taken) if (start !== null) allocator.free(start)
    }
    round()
    const end = reached()
    round()
    round()
    expect(reached()).toBe(end)
  },
)

test('a full range gives null, and allocates again after a free', () => {
  const { allocator } = bounded()
  const half = allocator.allocate(ROOM / 2)
  const other = allocator.allocate(ROOM / 4)
  expect(half).not.toBeNull()
  expect(allocator.allocate(ROOM / 2)).toBeNull()
  expect(allocator.live).toBe(2)
  allocator.free(half as number)
  expect(allocator.allocate(ROOM / 2)).toBe(half)
  expect(other).not.toBe(half)
})

test('an address that is not live cannot be given back', () => {
  const { allocator } = bounded()
  const start = allocator.allocate(10) as number
  allocator.free(start)
  expect(() => allocator.free(start)).toThrow(`address: expected a live piece, got ${start}`)
  expect(() => allocator.free(start + 64)).toThrow(RangeError)
})
