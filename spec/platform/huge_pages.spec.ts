/**
 * Large pages are asked for by the backends that hold large models. What the system keeps of it are flags of a range of memory
 * (`hg` in /proc/PID/smaps); whether it has large pages left at that moment is no matter of ours.
 */
import { readFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { hugePages } from '../../src/platform/huge_pages.ts'

const MEBI = 1 << 20
const { huge, reason } = hugePages()
const setting = '/sys/kernel/mm/transparent_hugepage/enabled'
const asks = huge && readFileSync(setting, 'utf8').includes('[madvise]')

test('whether they can be asked for is said with a reason', () => {
  expect(reason === null).toBe(huge)
  if (process.platform !== 'linux') expect(reason).toMatch(/expected Node on Linux/)
})

describe.skipIf(!asks)('a memory', () => {
  let backend: Backend | undefined
  afterEach(() => backend?.dispose())

  /** Bytes of each range of memory for which large pages were asked for, by where it begins. */
  function asked(): Map<string, number> {
    const ranges = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[\da-f]+-[\da-f]+ )/m)
    return new Map(
      ranges
        .filter((range) => /^VmFlags:.* hg\b/m.test(range))
        .map((range) => [range.split('-')[0], 1024 * Number(/^Size:\s+(\d+) kB/m.exec(range)?.[1])]),
    )
  }

  /** Bytes asked for since then. What was collected meanwhile, of the memory of tests before, takes nothing off. */
  function askedSince(before: Map<string, number>): number {
    let sum = 0
    for (const [start, bytes] of asked()) sum += Math.max(0, bytes - (before.get(start) ?? 0))
    return sum
  }

  test.each([1, 2])('of %i threads asks when it is large, and again as it grows', async (threads) => {
    backend = await createBackend('wasm', { threads })
    const before = asked()
    backend.allocate('f32', [MEBI])
    expect(askedSince(before), 'with 4 MiB').toBe(0)
    backend.allocate('f32', [16 * MEBI])
    backend.allocate('f32', [64 * MEBI])
    expect(askedSince(before), 'with 324 MiB').toBeGreaterThanOrEqual(324 * MEBI)
  })
})
