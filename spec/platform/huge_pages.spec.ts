/**
 * Large pages are asked for by the backends that hold large models. What the system keeps of it are flags of a range of memory
 * (`hg` in /proc/PID/smaps); whether it has large pages left at that moment is no matter of ours. A process of its own holds nothing
 * else, so that no memory of another test comes or goes while it counts.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
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
  test.each([1, 2])('of %i threads asks when it is large, and again as it grows', (threads) => {
    const program = fileURLToPath(new URL('./huge_pages_program.ts', import.meta.url))
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, String(threads)])
    expect(status, stderr.toString()).toBe(0)
    const [before, small, large] = JSON.parse(stdout.toString()) as number[]
    expect([before, small], 'with 4 MiB').toEqual([0, 0])
    expect(large, 'with 324 MiB').toBeGreaterThanOrEqual(324 * MEBI)
  })
})
