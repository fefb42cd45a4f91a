/**
 * What a run shares is made once, whoever asks, and a failure reaches everybody who waits.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { onceInThisRun } from './once.ts'
import { lendTemporaryFolder } from './temporary.ts'

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'once-'))
  try {
    await work(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('three who ask at the same time get one folder, made once and complete', () =>
  inFolder(async (run) => {
    let made = 0
    const ask = async (): Promise<string> => {
      const folder = await onceInThisRun(
        'page',
        async (place) => {
          made++
          await pause(50)
          writeFileSync(join(place, 'a'), 'whole')
        },
        run,
      )
      return readFileSync(join(folder, 'a'), 'utf8')
    }
    expect(await Promise.all([ask(), ask(), ask()])).toEqual(['whole', 'whole', 'whole'])
    expect(made).toBe(1)
  }))

test('what could not be made is an error for all of them', () =>
  inFolder(async (run) => {
    const ask = (): Promise<string> =>
      onceInThisRun('page', () => Promise.reject(new Error('planted')), run).catch(String)
    expect(await Promise.all([ask(), ask()])).toEqual([
      'Error: planted',
      'Error: page: expected it to be made, got Error: planted',
    ])
  }))

test('it is no file that a test left behind', async () => {
  const lent = lendTemporaryFolder()
  await onceInThisRun('page', async (place) => writeFileSync(join(place, 'a'), ''), lent.path)
  lent.giveBack()
})
