/**
 * The table of defaults in docs/guides/read.md says what the commands say. All defaults are kept in a file: one changes only if
 * somebody means to change it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../harness/syntax.ts'
import { allDefaults } from './options/commands.ts'
import { runInside } from './run_inside.ts'

const guide = readFileSync(join(root, 'docs/guides/read.md'), 'utf8')
const rows = [...guide.matchAll(/^\| .*? \| `(\w+) --([\w-]+)` +\| (\S+) +\|/gm)].map(([, ...cells]) => cells)

/** What the help of a command says an option is by default. */
async function defaultOf(command: string, option: string): Promise<string | undefined> {
  const { stdout } = await runInside([command, '--help', 'all'])
  const options = stdout.replaceAll(/\n {4,}(?=\S)/g, ' ').split('\n')
  const line = options.find((text) => new RegExp(`^ +(-\\w, )?(--[\\w-]+, )*--${option}[ ,]`).test(text))
  return line && /[(,] ?default: "?([^";)]*)/.exec(line)?.[1]
}

test('the table has the options of calibration, training and generation', () => {
  expect(new Set(rows.map(([command]) => command))).toEqual(new Set(['calibrate', 'train', 'generate']))
  expect(rows).toHaveLength(14)
})

test.each(rows)('%s --%s is %s', async (command, option, value) =>
  expect(await defaultOf(command, option)).toBe(value),
)

test('an option that is none, or has no default, is found', async () => {
  expect(await defaultOf('train', 'speed')).toBeUndefined()
  expect(await defaultOf('train', 'calibration')).toBeUndefined()
})

// vitest -u writes the file.
test('every flag has the default that it had before', async () => {
  const defaults = await allDefaults()
  expect(defaults.length).toBeGreaterThan(100)
  await expect(`${defaults.join('\n')}\n`).toMatchFileSnapshot('defaults.txt')
})
