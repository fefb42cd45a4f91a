/**
 * `shadowllm calibrate`: resumed from any state of its folder it writes the bytes of an uninterrupted run, and it reports what
 * it will write, what it did and what it cost.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../../../src/tensor/random.ts'
import { filesOf } from '../../calibration/small_calibration.ts'
import { runSeed } from '../../harness/seed.ts'
import { root } from '../run_cli.ts'
import { runInside, type InsideOptions } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-calibrate-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'page.txt')
const rows = join(folder, 'piqa.jsonl')
const examples = 12
const sizes = '--prompt 8 --continuation 4 --criteria plainact,random --keep-sequence'.split(' ')
const argsTo = (output: string, ...more: string[]): string[] => {
  const from = ['--text', text, '--limit', `${examples}`]
  return ['calibrate', '--output', output, ...from, ...sizes, ...more]
}

beforeAll(() => {
  const random = new Random(1)
  const words = Array.from(
    { length: 900 },
    () => 'the captain looked at his old ship and'.split(' ')[random.below(8)],
  )
  writeFileSync(text, words.join(' '))
  const row = (i: number): string =>
    JSON.stringify({ goal: `Row ${i}`, sol1: 'with oars', sol2: 'with ears', label: i % 2 })
  writeFileSync(rows, Array.from({ length: 5 }, (_, i) => row(i)).join('\n'))
})

/** Runs the command and expects success. @returns its output */
async function run(args: readonly string[], options?: InsideOptions): Promise<string> {
  const { code, stdout, stderr } = await runInside(args, options)
  expect([code, stderr]).toEqual([0, ''])
  return stdout
}

/** Expects the command to be refused with this code and to print nothing. */
async function isRefused(args: readonly string[], errorCode: string, exitCode: number): Promise<void> {
  const { code, stdout, stderr } = await runInside(args)
  expect(stderr).toMatch(new RegExp(`^shadowllm: [^\\n]+ \\[${errorCode}\\]\\n$`))
  expect([code, stdout]).toEqual([exitCode, ''])
}

interface Printed {
  readonly kept: number
  readonly computed: number
  readonly bytes: number
  readonly damaged: string[]
  readonly cost: { flops: { ratio: number }; seconds: { ratio: number } | null }
}

/** The examples in a folder, in files of their own or in parts. */
function examplesIn(output: string): number {
  const names = readdirSync(output)
  if (names.includes('part-00000.safetensors')) return examples
  return names.filter((name) => /^example-\d+\.safetensors$/.test(name)).length
}

test('resumed from any state of its folder, calibrate ends with the bytes of an uninterrupted run', async () => {
  const whole = join(folder, 'whole')
  const states: string[] = []
  const keepState = (): boolean => {
    if (!existsSync(whole) || readdirSync(whole).length === 0) return false
    states.push(join(folder, `state-${states.length}`))
    cpSync(whole, states[states.length - 1], { recursive: true })
    return false
  }
  await run(argsTo(whole), { interruptWhen: keepState })
  expect(Object.keys(filesOf(whole))).toEqual(['calibration.json', 'part-00000.safetensors'])
  expect(new Set(states.map(examplesIn)).size).toBeGreaterThan(examples / 2)
  const random = new Random(runSeed())
  for (const place of random.permutation(states.length).slice(0, 3)) {
    const parts = states[place]
    const kept = examplesIn(parts)
    const printed = JSON.parse(await run(argsTo(parts, '--json'))) as Printed
    expect(filesOf(parts)).toEqual(filesOf(whole))
    // No example is lost, and none is computed twice.
    expect(printed).toMatchObject({ kept, computed: examples - kept, damaged: [] })
    const bytes = Object.values(filesOf(whole)).reduce((total, file) => total + file.length, 0)
    expect(printed.bytes).toBe(bytes)
  }
})

describe('calibrate', () => {
  test('says how much it will write before it begins, and what it cost', async () => {
    const output = join(folder, 'said')
    const stdout = await run(argsTo(output, '--limit', '2'))
    expect(stdout).toMatch(/^2 examples of page\.txt, \d+ KiB in 1 file in .*said\n2 computed in /)
    for (const part of ['plain', 'forward', 'backward', 'plainact', 'random', 'together'])
      expect(stdout).toMatch(
        new RegExp(`^${part} +\\d+\\.\\d{3} +\\d\\.\\d{3} +\\d+\\.\\d +\\d+\\.\\d{3}$`, 'm'),
      )
  })

  test('another count is refused by the counts, not by their hashes', async () => {
    const output = join(folder, 'counted')
    await run(argsTo(output, '--limit', '2'))
    const { code, stderr } = await runInside(argsTo(output, '--limit', '4'))
    expect(code).toBe(3)
    expect(stderr).toMatch(
      /calibration\.json data\.windows: expected 4, as asked for, got 2; another calibration needs another folder \[CALIBRATION_DIFFERS\]/,
    )
  })

  test('ctrl-C keeps what is finished, and is 130', async () => {
    const output = join(folder, 'stopped')
    const interruptWhen = (): boolean => existsSync(join(output, 'example-00001.safetensors'))
    const { code, stdout, stderr } = await runInside(argsTo(output), { interruptWhen })
    expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
    const kept = readdirSync(output).filter((name) => name.startsWith('example')).length
    expect(stdout).toMatch(new RegExp(`\\n${kept} examples? kept; the same command goes on from there\\n$`))
    await isRefused(argsTo(output, '--seed', '1'), 'CALIBRATION_DIFFERS', 3)
  })

  test('takes tasks, solved ones in front', async () => {
    const output = join(folder, 'tasks')
    const args = ['--tasks', 'piqa', '--rows', `piqa=${rows}`, '--shots', '2', '--limit', '3', '--json']
    expect(JSON.parse(await run(['calibrate', '--output', output, ...args]))).toMatchObject({
      computed: 3,
      manifest: { data: { name: 'piqa, 2 in front', groups: ['piqa'], windows: 3 } },
    })
  })

  const other = join(folder, 'other')
  test.each<[string, string[]]>([
    ['OUTPUT', ['--output', text]],
    ['OUTPUT', ['--output', join(folder, 'none', 'below')]],
    ['OUTPUT', ['--output', other]],
    ['CRITERION_NAME', ['--output', 'x', '--criteria', 'plainact,best']],
    ['TASK_NAME', ['--output', 'x', '--tasks', 'chess']],
    ['FLAGS', ['--output', 'x', '--tasks', 'piqa']],
    ['FLAGS', ['--output', 'x', '--tasks', 'piqa', '--text', text]],
    ['FLAGS', ['--output', 'x', '--shots', '2']],
    ['VALUE', ['--output', 'x', '--limit', '0']],
    ['CONTEXT_LENGTH', ['--output', 'x', '--prompt', '250']],
  ])('%s is refused: %j', async (code, args) => {
    mkdirSync(other, { recursive: true })
    writeFileSync(join(other, 'letters'), 'dear')
    await isRefused(['calibrate', ...args], code, 2)
    expect(existsSync(join(root, 'x'))).toBe(false)
  })
})

test('scores in a pruned model where it is given a mask, which is part of what the calibration is', async () => {
  const [dense, pruned] = [join(folder, 'dense'), join(folder, 'pruned')]
  const mask = join(folder, 'mask.safetensors')
  const few = ['--text', text, '--limit', '2', '--prompt', '8', '--continuation', '4']
  await run(['calibrate', '--output', dense, ...few])
  await run(['masks', 'The captain', '--planner', 'random', '--sparsity', '0.5', '-q', '--output', mask])
  await run(['calibrate', '--output', pruned, ...few, '--mask', mask])
  expect(filesOf(pruned)).not.toEqual(filesOf(dense))
  await isRefused(['calibrate', '--output', dense, ...few, '--mask', mask], 'CALIBRATION_DIFFERS', 3)
})

test('a text without any text is a wrong file, and is named by its path', async () => {
  const blank = join(folder, 'blank.txt')
  writeFileSync(blank, ' \n')
  const { code, stderr } = await runInside(['calibrate', '--output', join(folder, 'none'), '--text', blank])
  expect([code, stderr]).toEqual([3, `shadowllm: ${blank}: expected some text, got none [TEXT_EMPTY]\n`])
})
