/**
 * CI relies on the line of counts, so it must not count a broken run as a clean one. Each case is a real run of vitest on a
 * planted spec, started as by `npm test`.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findDeno } from '../../scripts/deno.ts'
import { runLaws, runLawsInDeno, thisRuntime } from '../../scripts/steps.ts'
import { root } from './syntax.ts'

/** Lends a folder with one planted spec, as a path from the root, and removes it. */
async function withPlanted<T>(body: string, work: (folder: string) => Promise<T>): Promise<T> {
  mkdirSync(join(root, 'build'), { recursive: true })
  const folder = mkdtempSync(join(root, 'build', 'counting-'))
  const lending = JSON.stringify(join(root, 'spec/harness/temporary.ts'))
  const files = {
    'planted.spec.ts': `import { describe, expect, test, beforeAll } from 'vitest'\n${body}`,
    'lend.ts': `import { lendTemporaryFolder } from ${lending}\nexport default () => lendTemporaryFolder().giveBack`,
    'vitest.config.ts': "export default { test: { include: ['*.spec.ts'], globalSetup: ['lend.ts'] } }",
  }
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    return await work(relative(root, folder))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

interface Run {
  code: number | null
  lastLine: string
}

/** Runs one planted spec under the counting reporter alone. */
function runPlanted(body: string): Promise<Run> {
  return withPlanted(body, (folder) => {
    const vitest = join(root, 'node_modules/vitest/vitest.mjs')
    const reporter = `--reporter=${join(root, 'scripts/count_reporter.ts')}`
    const args = [vitest, 'run', '--root', folder, reporter]
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
    let output = ''
    child.stdout.on('data', (text) => (output += text))
    return new Promise((resolve) => {
      child.on('close', (code) => resolve({ code, lastLine: output.trimEnd().split('\n').at(-1) ?? '' }))
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
    `${pass}test('later', async () => { void Promise.reject(new Error('planted')); await new Promise((go) => setImmediate(go)) })`,
    '2 passed, 1 failed, 0 skipped',
    1,
  ],
])('%s', async (_, body, line, code) => {
  expect(await runPlanted(body)).toEqual({ lastLine: line, code })
})

describe('npm test prints the counts of vitest', () => {
  const deno = findDeno()
  const mixed = `${pass}${pass}test('no', () => expect([1, 2]).toEqual([1, 3])); test.skip('s', () => {})`
  const mixedCounts = {
    passed: 2,
    failures: ['planted.spec.ts > no: expected [ 1, 2 ] to deeply equal [ 1, 3 ] - 3, + 2,'],
    skipped: 1,
  }
  const leaving = `import { mkdtempSync } from 'node:fs'
    import { tmpdir } from 'node:os'
    test('leaves a folder', () => expect(mkdtempSync(tmpdir() + '/left-')).toMatch(/left/))`
  const count = (body: string, run: (args: string[]) => ReturnType<typeof runLaws>) =>
    withPlanted(body, async (folder) => {
      const { costs, ...counts } = await run(['--root', folder])
      const [cost] = costs
      if (cost !== undefined)
        expect(cost).toMatchObject({ path: 'planted.spec.ts', tests: expect.any(Number) })
      return { ...counts, cost }
    })

  test('from this runtime', async () => {
    const counts = await count(mixed, (args) => runLaws({ args, live: false }))
    expect(counts).toMatchObject(mixedCounts)
    expect(counts.cost?.tests).toBe(4)
    expect(counts.cost?.milliseconds).toBeGreaterThan(0)
  })

  test.skipIf('missing' in deno)(`from Deno${'missing' in deno ? `: ${deno.missing}` : ''}`, async () => {
    const counts = await count(mixed, (args) => runLawsInDeno(deno, { args, live: false }))
    expect(counts).toMatchObject(mixedCounts)
  })

  test('failures outside of tests, and a test whose process died, are named', async () => {
    const broken = `describe('d', () => { beforeAll(() => { throw new Error('planted') }); ${pass} })`
    const dying = `${pass}test('dies', () => process.kill(process.pid, 'SIGKILL') && new Promise(() => {}))`
    expect(await count(broken, (args) => runLaws({ args, live: false }))).toMatchObject({
      passed: 0,
      failures: ['planted.spec.ts > d: planted'],
      skipped: 1,
    })
    const { failures } = await count(dying, (args) => runLaws({ args, live: false }))
    expect(failures).toContain('planted.spec.ts > dies (never finished)')
    expect(failures).toContainEqual(expect.stringMatching(/signal SIGKILL .*planted\.spec\.ts/))
  })

  test('a long reason is cut', async () => {
    const long = "test('long', () => { throw new Error('word '.repeat(1000)) })"
    const { failures } = await count(long, (args) => runLaws({ args, live: false }))
    expect(failures).toEqual([expect.stringMatching(/^planted\.spec\.ts > long: (word ){80}…$/)])
  })

  test('a temporary file left behind is a failure', async () => {
    const counts = await count(leaving, (args) => runLaws({ args, live: false }))
    expect(counts).toMatchObject({ passed: 1, failures: ['the laws ended with exit code 1'], skipped: 0 })
  })

  test('a run without tests is a failure, and so is a runtime that does not start', async () => {
    const nothing = await count('', (args) => runLaws({ args: [...args, 'none'], live: false }))
    expect(nothing).toMatchObject({ passed: 0, failures: ['the laws ended with exit code 1'], skipped: 0 })
    const runner = { ...thisRuntime, program: join(root, 'none') }
    const unstarted = await runLaws({ args: [], runner, live: false })
    expect(unstarted).toMatchObject({ passed: 0, failures: ['the laws ended with exit code 1'], skipped: 0 })
  })

  test('without Deno its tests count as one skipped test', async () => {
    const nowhere = findDeno('plan9', 'mips')
    expect(nowhere).toEqual({ missing: expect.stringContaining('@deno/plan9-mips, got none') })
    expect(await runLawsInDeno(nowhere, { args: [] })).toEqual({
      passed: 0,
      failures: [],
      skipped: 1,
      costs: [],
    })
  })
})
