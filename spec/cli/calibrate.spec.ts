/**
 * `shadowllm calibrate` as a process: killed at any moment and started again it writes the bytes of a run that was left
 * alone, and it says what it will write, what it did and what it cost.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { filesOf } from '../eval/small_calibration.ts'
import { runSeed } from '../harness/seed.ts'
import { makeProgram } from '../../src/cli/program.ts'
import type { Session } from '../../src/cli/session.ts'
import { root, runCli } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-calibrate-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'page.txt')
const rows = join(folder, 'piqa.jsonl')
const examples = 24
const sizes = '--prompt 8 --continuation 4 --criteria plainact,random --keep-sequence'.split(' ')
const argsTo = (output: string, ...more: string[]): string[] => {
  const from = ['--text', text, '--examples', `${examples}`]
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

/** Runs the command in this process; what it prints. */
async function run(args: readonly string[]): Promise<string> {
  let printed = ''
  const session: Session = {
    signal: new AbortController().signal,
    progress: { update: () => {}, clear: () => {} },
    exitCode: 0,
    print: async (part) => void (printed += part),
    quieten: () => {},
  }
  const program = await makeProgram(session, '0', () => {})
  await program.parseAsync([...args], { from: 'user' })
  return printed
}

/** Runs the command and kills it, without a word, so many milliseconds after its folder has something in it. */
function runAndKill(args: readonly string[], output: string, after: number): Promise<void> {
  const child = spawn(process.execPath, ['src/cli/main.ts', ...args], { cwd: root, stdio: 'ignore' })
  const before = filesNow(output)
  const timer = setInterval(() => {
    if (filesNow(output) === before) return
    clearInterval(timer)
    setTimeout(() => child.kill('SIGKILL'), after)
  }, 1)
  return new Promise((resolve) => {
    child.on('close', () => {
      clearInterval(timer)
      resolve()
    })
  })
}

function filesNow(output: string): string {
  return existsSync(output) ? readdirSync(output).join() : ''
}

interface Printed {
  readonly kept: number
  readonly computed: number
  readonly bytes: number
  readonly damaged: string[]
  readonly cost: { flops: { ratio: number }; seconds: { ratio: number } | null }
}

describe('killed at a random moment', () => {
  test('and started again, it ends with the bytes of a run that was left alone', async () => {
    const random = new Random(runSeed())
    const [whole, parts] = [join(folder, 'whole'), join(folder, 'parts')]
    await run(argsTo(whole))
    for (let i = 0; i < 3; i++) await runAndKill(argsTo(parts), parts, random.below(250))
    // Not what was being written: that has a name of its own. A part has all examples, some of which may still lie beside it.
    const names = readdirSync(parts)
    const single = names.filter((name) => /^example-\d+\.safetensors$/.test(name)).length
    const there = names.includes('part-00000.safetensors') ? examples : single
    const printed = JSON.parse(await run(argsTo(parts, '--json'))) as Printed
    expect(filesOf(parts)).toEqual(filesOf(whole))
    expect(Object.keys(filesOf(whole))).toEqual(['calibration.json', 'part-00000.safetensors'])
    // All that was whole when it was killed is kept: nothing lost, and nothing computed twice.
    if (there > 0) expect(printed).toMatchObject({ kept: there, computed: examples - there, damaged: [] })
    expect(printed.kept + printed.computed).toBe(examples)
    const bytes = Object.values(filesOf(whole)).reduce((total, file) => total + file.length, 0)
    expect(printed.bytes).toBe(bytes)
  })
})

describe('calibrate', () => {
  test('says how much it will write before it begins, and what it cost', async () => {
    const output = join(folder, 'said')
    const stdout = await run(argsTo(output, '--examples', '2'))
    expect(stdout).toMatch(/^2 examples of page\.txt, \d+ KiB in 1 shard in .*said\n2 computed in /)
    for (const part of ['plain', 'forward', 'backward', 'plainact', 'random', 'together'])
      expect(stdout).toMatch(
        new RegExp(`^${part} +\\d+\\.\\d{3} +\\d\\.\\d{3} +\\d+\\.\\d +\\d+\\.\\d{3}$`, 'm'),
      )
  })

  test('ctrl-C keeps what is finished, and is 130', async () => {
    const output = join(folder, 'stopped')
    const interruptAt = join(output, 'example-00001.safetensors')
    const { code, stdout, stderr } = await runCli(argsTo(output), { interruptAt })
    expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
    const kept = readdirSync(output).filter((name) => name.startsWith('example')).length
    expect(stdout).toMatch(
      new RegExp(`\\n${kept} examples are kept; the same command goes on from there\\n$`),
    )
    await expect(run(argsTo(output, '--seed', '1'))).rejects.toMatchObject({
      code: 'CALIBRATION_DIFFERS',
      exitCode: 3,
    })
  })

  test('takes tasks, solved ones in front', async () => {
    const output = join(folder, 'tasks')
    const args = ['--tasks', 'piqa', '--rows', `piqa=${rows}`, '--shots', '2', '--examples', '3', '--json']
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
    ['VALUE', ['--output', 'x', '--examples', '0']],
    ['CONTEXT_LENGTH', ['--output', 'x', '--prompt', '250']],
  ])('%s is refused: %j', async (code, args) => {
    mkdirSync(other, { recursive: true })
    writeFileSync(join(other, 'letters'), 'dear')
    await expect(run(['calibrate', ...args])).rejects.toMatchObject({ code, exitCode: 2 })
    expect(existsSync(join(root, 'x'))).toBe(false)
  })
})

test('scores in a pruned model where it is given a mask, which is part of what the calibration is', async () => {
  const [dense, pruned] = [join(folder, 'dense'), join(folder, 'pruned')]
  const mask = join(folder, 'mask.safetensors')
  const few = ['--text', text, '--examples', '2', '--prompt', '8', '--continuation', '4']
  await run(['calibrate', '--output', dense, ...few])
  await run(['masks', 'The captain', '--planner', 'random', '--sparsity', '0.5', '--output', mask])
  await run(['calibrate', '--output', pruned, ...few, '--mask', mask])
  expect(filesOf(pruned)).not.toEqual(filesOf(dense))
  await expect(run(['calibrate', '--output', dense, ...few, '--mask', mask])).rejects.toMatchObject({
    code: 'CALIBRATION_DIFFERS',
  })
})
