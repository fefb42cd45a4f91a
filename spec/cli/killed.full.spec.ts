/**
 * Processes that are killed while they write: no partial file has a final name, and a second run ends like the first run of a
 * fresh folder.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { filesOf } from '../calibration/small_calibration.ts'
import { runSeed } from '../harness/seed.ts'
import { largeCheckpoint } from './large_checkpoint.ts'
import { runCli, tinyFolder } from './run_cli.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-killed-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('convert removes the partial output of a killed convert', async () => {
  const place = join(folder, 'convert')
  mkdirSync(place)
  const begun = (): boolean => readdirSync(place).some((name) => name.endsWith('.tmp'))
  // Half a gigabyte, so that the process is killed before the file is complete.
  const from = largeCheckpoint(place, 2 ** 29)
  await runCli(['convert', from, join(place, 'to')], { killWhen: begun })
  expect(begun()).toBe(true)
  writeFileSync(join(place, 'mine.tmp'), '')
  const result = await runInside(['convert', `${tinyFolder}/model.safetensors`, join(place, 'to')])
  expect(result.code).toBe(0)
  expect(readdirSync(place)).toEqual(['large.safetensors', 'mine.tmp', 'to'])
})

test('a killed calibrate keeps every complete example, and the next run ends with the same bytes', async () => {
  const text = join(folder, 'page.txt')
  writeFileSync(text, 'The captain looked at his old ship and the sea. '.repeat(90))
  const examples = 24
  const sizes = ['--limit', `${examples}`, '--prompt', '8', '--continuation', '4', '--keep-sequence']
  const argsTo = (output: string): string[] => ['calibrate', '--output', output, '--text', text, ...sizes]
  const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
  expect((await runInside(argsTo(whole))).code).toBe(0)
  const least = new Random(runSeed()).below(8)
  const single = (): number =>
    existsSync(parts)
      ? readdirSync(parts).filter((name) => /^example-\d+\.safetensors$/.test(name)).length
      : 0
  await runCli(argsTo(parts), { killWhen: () => single() > least })
  const kept = readdirSync(parts).includes('part-00000.safetensors') ? examples : single()
  expect(kept).toBeGreaterThan(least)
  const again = await runInside([...argsTo(parts), '--json'])
  expect(JSON.parse(again.stdout)).toMatchObject({ kept, computed: examples - kept, damaged: [] })
  expect(filesOf(parts)).toEqual(filesOf(whole))
})
