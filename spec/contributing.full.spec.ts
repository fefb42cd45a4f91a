/**
 * The worked examples of CONTRIBUTING.md: what a planner and a criterion need is in their section, and nothing else. Each is carried
 * out on a copy of the project, where its own tests and those of all planners or criteria pass, and commands know the new name.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { root } from './harness/syntax.ts'
import { carryOut, sectionOf } from './harness/worked_example.ts'

const contributing = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')

/** Runs a program of a folder, and gives what it printed. @throws Error with that if it fails */
async function run(folder: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, SHADOWLLM_TIER: 'quick', NO_COLOR: '1', FORCE_COLOR: undefined }
  const run = promisify(execFile)(process.execPath, ['scripts/node.mjs', ...args], { cwd: folder, env })
  const { stdout } = await run.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${args.join(' ')}: ${error.stdout}${error.stderr}`)
  })
  return stdout
}

const vitest = ['node_modules/vitest/vitest.mjs', 'run']
const typeCheck = 'node_modules/typescript/bin/tsc'
const command = 'src/cli/main.ts'

const folders: string[] = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))
function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-example-'))
  folders.push(folder)
  return folder
}

describe('a section is all that is needed for', () => {
  test.each([
    [
      'a planner',
      'prompt-size',
      'spec/planners/planners.spec.ts',
      'by name',
      ['generate', '--planner', 'prompt-size'],
    ],
    [
      'a criterion',
      'l1norm',
      'spec/criteria/criteria.spec.ts',
      'l1norm',
      ['masks', '--planner', 'prompt-plainact', '--criterion', 'l1norm'],
    ],
  ])('%s', { timeout: 600_000 }, async (what, name, tests, titled, [subject, ...flags]) => {
    const folder = emptyFolder()
    const files = carryOut(sectionOf(contributing, `Adding ${what}`), folder)
    expect(files).toHaveLength(2)
    const own = files.find((file) => file.endsWith('.spec.ts')) as string
    expect(await run(folder, [typeCheck, '--project', 'tsconfig.example.json'])).toBe('')
    expect(await run(folder, [...vitest, own])).toMatch(/Tests\s+[1-9]\d* passed/)
    expect(await run(folder, [...vitest, tests, '-t', titled])).toMatch(/Tests\s+[1-9]\d* passed/)
    expect(await run(folder, [command, 'masks', '--help'])).toContain(name)
    const text = await run(folder, [
      command,
      subject,
      'The captain looked',
      ...flags,
      '--sparsity',
      '0.5',
      '--json',
    ])
    expect(JSON.parse(text)).toBeTypeOf('object')
  })

  test('no planner without its line in the list, and no example whose lines are not where they were', async () => {
    const section = sectionOf(contributing, 'Adding a planner')
    const folder = emptyFolder()
    carryOut(section.replace(/^ *\+ {2}promptSizeRecord,\n/m, ''), folder)
    await expect(run(folder, [command, 'masks', 'a', '--planner', 'prompt-size'])).rejects.toThrow(
      'prompt-size',
    )
    const moved = section.replace('import { promptPlainactRecord }', 'import { other }')
    expect(() => carryOut(moved, emptyFolder())).toThrow('expected these lines once')
  })
})
