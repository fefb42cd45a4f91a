/**
 * The counting line is what CI believes, so it may not count a broken run as a clean one. Each case is a real run of
 * vitest over a planted spec, as `npm test` starts it.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { root } from './syntax.ts'

interface Run {
  code: number | null
  lastLine: string
}

/** Runs one planted spec under the counting reporter alone. */
function runPlanted(body: string): Promise<Run> {
  mkdirSync(join(root, 'build'), { recursive: true })
  const folder = mkdtempSync(join(root, 'build', 'counting-'))
  writeFileSync(
    join(folder, 'planted.spec.ts'),
    `import { describe, expect, test, beforeAll } from 'vitest'\n${body}`,
  )
  writeFileSync(join(folder, 'vitest.config.ts'), "export default { test: { include: ['*.spec.ts'] } }")
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const reporter = `--reporter=${join(root, 'scripts/count_reporter.ts')}`
  const args = [vitest, 'run', '--root', relative(root, folder), reporter]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
  let output = ''
  child.stdout.on('data', (text) => (output += text))
  return new Promise((resolve) => {
    child.on('close', (code) => {
      rmSync(folder, { recursive: true })
      resolve({ code, lastLine: output.trimEnd().split('\n').at(-1) ?? '' })
    })
  })
}

const pass = "test('passes', () => expect(1).toBe(1))\n"

test.each([
  [
    'a pass, a failure, two skips',
    `${pass}test('no', () => expect(1).toBe(2)); test.skip('s', () => {}); test.todo('t')`,
    '1 passed, 1 failed, 2 skipped',
    1,
  ],
  [
    'only passes, in suites too',
    `${pass}describe('d', () => { ${pass} })`,
    '2 passed, 0 failed, 0 skipped',
    0,
  ],
  [
    'a test skipped from inside',
    `test('s', (context) => context.skip())`,
    '0 passed, 0 failed, 1 skipped',
    0,
  ],
  ['a file that does not load', "throw new Error('planted')", '0 passed, 1 failed, 0 skipped', 1],
  [
    'a hook that throws',
    `describe('d', () => { beforeAll(() => { throw new Error('planted') }); ${pass} })`,
    '0 passed, 1 failed, 1 skipped',
    1,
  ],
  [
    'an error that belongs to no test',
    `${pass}test('later', async () => { void Promise.reject(new Error('planted')); await new Promise((go) => setTimeout(go, 50)) })`,
    '2 passed, 1 failed, 0 skipped',
    1,
  ],
])('%s', async (_, body, line, code) => {
  expect(await runPlanted(body)).toEqual({ lastLine: line, code })
})
