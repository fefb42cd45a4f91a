/**
 * Moments in the folder of a calibration: stopped anywhere and resumed they are those that were never stopped.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { createBackend } from '../../src/backends/select.ts'
import { calibrateToFolder } from '../../src/calibration/collect.ts'
import { collectMoments } from '../../src/calibration/collect_moments.ts'
import { momentsName } from '../../src/compensation/open_moments.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { makeFolder } from '../../src/platform/platform.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { makeSmallModel, makeWindows, smallOptions } from './small_calibration.ts'

const top = temporaryFolder()
let backend: Backend
let model: LanguageModel
let count = 0
const windows = makeWindows(7)

beforeAll(async () => {
  backend = await createBackend('reference')
  model = await makeSmallModel(backend)
})
afterAll(() => {
  model.dispose()
  expect(backend.liveBuffers).toBe(0)
})

const [hash, identity] = ['0'.repeat(64), '1'.repeat(64)]
type Collect = typeof collectMoments

/** Collects into a folder, and stops after so many windows; what is not stopped returns the windows it went through. */
async function collectSome(
  collect: Collect,
  folder: string,
  windowsKept: number,
  stopAfter: number,
): Promise<void> {
  const stop = new AbortController()
  const told: number[] = []
  const onProgress = (done: number): void => {
    told.push(done)
    if (done === stopAfter) stop.abort()
  }
  const what = { model, hash, identity, windows, mask: null, windowsKept }
  const went = await collect(folder, what, onProgress, stop.signal).catch((error: unknown) => {
    if (error !== stop.signal.reason) throw error
    return null
  })
  // Beyond the windows layers are told of.
  const [from, to] = [Math.min(...told), Math.min(windows.length, Math.max(...told))]
  if (went !== null) expect(went).toBe(told.length && to - from)
}

const resumed = lawForAll(
  'moments whose collection was stopped have the bytes of those that were never stopped, and no other file is left',
  {
    stops: fc.array(fc.nat({ max: windows.length + 2 }), { maxLength: 3 }),
    windowsKept: fc.integer({ min: 1, max: 4 }),
    damage: fc.boolean(),
  },
  async (collect: Collect, { stops, windowsKept, damage }) => {
    const [whole, parts] = [join(top, `${count++}`), join(top, `${count++}`)]
    for (const folder of [whole, parts]) await makeFolder(folder)
    await collectSome(collectMoments, whole, 32, -1)
    for (const stopAfter of stops) await collectSome(collect, parts, windowsKept, stopAfter)
    if (damage) writeFileSync(join(parts, momentsName), 'damaged')
    await collectSome(collect, parts, windowsKept, -1)
    expect(readFileSync(join(parts, momentsName))).toEqual(readFileSync(join(whole, momentsName)))
    expect(existsSync(join(parts, 'moments-sums.safetensors'))).toBe(false)
  },
  { runs: 20 },
)
stateLaw(resumed, collectMoments)

test('a mutant that begins anew with fewer windows is killed', () =>
  kills(resumed, (folder, what, onProgress, signal) => {
    const isBegun = existsSync(join(folder, 'moments-sums.safetensors'))
    return collectMoments(
      folder,
      { ...what, windows: what.windows.slice(isBegun ? 1 : 0) },
      onProgress,
      signal,
    )
  }))

test('a mutant that returns the windows of earlier runs too is killed', () =>
  kills(resumed, async (folder, what, ...rest) => {
    const went = await collectMoments(folder, what, ...rest)
    return went && what.windows.length
  }))

test('a calibration adds moments on request, also to one that is finished; those of another model are made again', async () => {
  const folder = join(top, `${count++}`)
  const options = smallOptions(model, folder, windows)
  await calibrateToFolder(options)
  expect(existsSync(join(folder, momentsName))).toBe(false)
  const { computed, moments } = await calibrateToFolder({ ...options, moments: true })
  expect([computed, moments]).toEqual([0, windows.length])
  const bytes = readFileSync(join(folder, momentsName))
  const stages = new Set<string>()
  const again = await calibrateToFolder({ ...options, moments: true }, ({ stage }) => stages.add(stage))
  expect(again.moments).toBe(0)
  expect([...stages]).not.toContain('moments')
  const what = { model, hash: '2'.repeat(64), identity, windows, mask: null }
  await collectMoments(folder, what, () => {})
  expect(readFileSync(join(folder, momentsName))).not.toEqual(bytes)
})
