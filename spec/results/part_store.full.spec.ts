/**
 * A part store that several processes use in parallel.
 */
import { spawn } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openPartStore } from '../../src/results/part_store.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'

const top = temporaryFolder()
const folder = join(top, 'store')

test('parallel processes all get the part, and one complete entry remains', async () => {
  const script = join(top, 'worker.mjs')
  const code = `
    import { writeFileSync } from 'node:fs'
    import { openPartStore } from ${JSON.stringify(new URL('../../src/results/part_store.ts', import.meta.url).href)}
    const store = await openPartStore(${JSON.stringify(folder)})
    const values = []
    for (let i = 0; i < 20; i++) values.push(await store.json({ i }, () => 'x'.repeat(1000 * i)))
    for (let i = 0; i < 5; i++)
      await store.files({ i }, (path) => writeFileSync(path + '/file', 'y'.repeat(1000 * i)))
    console.log(values.every((value, i) => value.length === 1000 * i))`
  writeFileSync(script, code)
  const run = (): Promise<string> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [script])
      let output = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
      child.on('close', () => resolve(output))
    })
  expect(await Promise.all([run(), run(), run()])).toEqual(['true\n', 'true\n', 'true\n'])
  const store = await openPartStore(folder)
  const never = (): never => {
    throw new Error('it was there')
  }
  for (let i = 0; i < 20; i++) expect(await store.json({ i }, never)).toBe('x'.repeat(1000 * i))
  for (let i = 0; i < 5; i++) await store.files({ i }, never)
  expect(
    readdirSync(folder).filter((name) => !/^[0-9a-f]{64}(\.(files\.)?json|\.[0-9a-f]{16})$/.test(name)),
  ).toEqual([])
})
