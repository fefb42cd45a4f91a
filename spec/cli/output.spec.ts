/**
 * Output that cannot be written: a path that is too long, a read-only folder, a path that cannot be a file. The command ends
 * with one line and its exit code, leaves no partial file, and keeps the old one.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { below, expectRefusedWhole, makePlace, makeWriters, someText, type Place } from './output_writers.ts'
import { tinyFolder, type CliResult } from './run_cli.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-output-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'text')
writeFileSync(text, someText.slice(0, 400))
const writers = makeWriters(text)

/** A valid file name that is too long for the name of the temporary file beside it, which is written first. */
const longName = 'x'.repeat(250)

describe('no temporary file can be written: every command reports it before it works, in words', () => {
  test.each(Object.entries(writers))('%s keeps what was there', async (_, args) => {
    for (const before of ['an earlier one', null]) {
      const place = makePlace(folder, longName, before)
      const result = await runInside(args(place.output))
      expectRefusedWhole(result, place)
      expect(result.stderr).toContain('got a name that is too long [')
      // Results are printed before the file is written.
      expect(result.stdout).toBe('')
    }
  })
})

const isRoot = process.getuid?.() === 0
describe.skipIf(isRoot)(`a folder nobody may write into${isRoot ? ' (skipped: root may)' : ''}`, () => {
  test.each(Object.entries(writers))('%s', async (_, args) => {
    const closed = mkdtempSync(join(folder, 'closed-'))
    chmodSync(closed, 0o500)
    const { code, stderr } = await runInside(args(join(closed, 'output')))
    chmodSync(closed, 0o700)
    expect(stderr).toMatch(/^shadowllm: [^\n]+ \[OUTPUT\]\n$/)
    expect([code, below(closed)]).toEqual([2, []])
  })
})

describe('no file can exist at the path: every command reports it', () => {
  test.skipIf(!existsSync('/proc/sys'))(
    `writing is refused by the system${existsSync('/proc/sys') ? '' : ' (skipped: no /proc here)'}`,
    async () => {
      for (const args of Object.values(writers)) {
        const { code, stdout, stderr } = await runInside(args('/proc/sys/none'))
        expect(stderr).toMatch(
          /^shadowllm: \/proc\/sys\/none: expected a file that can be written, got (no permission|a place that takes no new files|a disk that can only be read) \[OUTPUT\]\n$/,
        )
        expect([code, stdout]).toEqual([2, ''])
      }
    },
  )
})

test.skipIf(!existsSync('/proc/sys'))(
  `a folder that takes no files is refused before a model is read${existsSync('/proc/sys') ? '' : ' (skipped: no /proc here)'}`,
  async () => {
    const load = vi.spyOn(ShadowModel, 'fromPretrained')
    for (const output of ['/proc/sys', '/proc/sys/none'])
      for (const args of [
        ['calibrate', '--text', text, '-o'],
        ['convert', tinyFolder],
      ])
        expect(await runInside([...args, output])).toEqual({
          code: 2,
          stdout: '',
          stderr: expect.stringMatching(
            /^shadowllm: [^\n]+: expected a folder that can be written into, got [a-z ]+ \[OUTPUT\]\n$/,
          ),
        })
    expect(load).not.toHaveBeenCalled()
    load.mockRestore()
  },
)

test.each(Object.entries(writers))('%s leaves its file and no other', async (_, args) => {
  const place = makePlace(folder, 'output', null)
  expect(await runInside(args(place.output))).toMatchObject({ code: 0 })
  expect(below(place.folder)).toEqual([place.name])
})

describe('bugs planted in the refusal of output are found', () => {
  test.each<[string, (result: CliResult, place: Place) => Partial<CliResult> | void]>([
    ['half a file under the final name', (_, { output }) => writeFileSync(output, '{')],
    ['a part beside it', (_, { folder: beside }) => writeFileSync(join(beside, 'x.1-0.tmp'), '{')],
    ['the earlier file removed', (_, { output }) => rmSync(output)],
    ['a folder in its place', (_, { output }) => (rmSync(output), mkdirSync(output))],
    ['an exit code of success', () => ({ code: 0 })],
    ['a stack', ({ stderr }) => ({ stderr: `${stderr}    at main.ts\n` })],
  ])('%s', async (_, change) => {
    const place = makePlace(folder, longName, 'an earlier one')
    const result = await runInside(writers['parity export --output'](place.output))
    expectRefusedWhole(result, place)
    const changed = { ...result, ...change(result, place) }
    expect(() => expectRefusedWhole(changed, place)).toThrow()
  })
})
