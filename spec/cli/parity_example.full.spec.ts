/**
 * The example of a foreign backend (cuda/example): it compiles, its answers are the definitions', and a copy with a bug is
 * told which op is wrong and why.
 *
 * Without g++ or nvcc what needs them is skipped, and says so.
 */
import { execFile, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Data } from '../../src/testing/seeded_data.ts'
import { runSeed } from '../harness/seed.ts'
import { launchedByThread, threadByThread } from '../harness/thread_by_thread.ts'
import { root, runCli, type CliResult } from './run_cli.ts'

const run = promisify(execFile)
const source = join(root, 'cuda', 'example')
const folder = mkdtempSync(join(tmpdir(), 'shadowllm-example-'))
afterAll(() => rmSync(folder, { recursive: true }))

const isHere = (command: string): boolean => spawnSync(command, ['--version']).status === 0
const hasCompiler = isHere('g++')
const hasNvcc = isHere('nvcc')

/** As the sources say it is compiled; planted bugs need no speed, and may leave a parameter unused. */
const usual = ['-std=c++17', '-O2', '-ffp-contract=off', '-Wall', '-Wextra', '-Werror']
const quick = ['-std=c++17', '-O0', '-ffp-contract=off']
const ops = ['linear', 'relu', 'linear_input_major', 'layer_norm', 'attention']
const expected = join(folder, 'expected')

interface Edit {
  readonly file: string
  readonly from: string
  readonly to: string
}

let builds = 0

/** Compiles a copy of the example in which something is written otherwise; the program. */
async function compile(edits: readonly Edit[] = [], flags: readonly string[] = quick): Promise<string> {
  const copy = join(folder, `build-${builds++}`)
  cpSync(source, copy, { recursive: true })
  for (const { file, from, to } of edits) {
    const text = readFileSync(join(copy, file), 'utf8')
    expect(text.split(from), `${file}: ${from}`).toHaveLength(2)
    writeFileSync(
      join(copy, file),
      text.replace(from, () => to),
    )
  }
  const program = join(copy, 'sparse_ffn')
  await run('g++', [...flags, '-o', program, join(copy, 'sparse_ffn.cpp')])
  return program
}

/** What is found of a program's answers. */
async function verdictOn(program: string): Promise<CliResult> {
  const actual = `${program}-answers`
  await run(program, [expected, actual])
  return runCli(['parity', 'check-ops', expected, actual])
}

beforeAll(async () => {
  const args = ['parity', 'export-ops', '--output', expected, '--ops', ops.join(), '--small']
  expect(await runCli(args)).toMatchObject({ code: 0, stderr: '' })
})

test('the example is complete', () => {
  expect(readdirSync(source)).toEqual(expect.arrayContaining(['sparse_ffn.cpp', 'sparse_ffn.cu']))
})

describe.skipIf(!hasCompiler)(`the example on the CPU${hasCompiler ? '' : ' (skipped: no g++ here)'}`, () => {
  test('has the bits of the definitions in every op it answers', async () => {
    const { code, stdout, stderr } = await verdictOn(await compile([], usual))
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/\npassed: 5 ops\n$/)
    for (const op of ops) expect(stdout).toMatch(new RegExp(`^ok +${op} +\\d+ +0 +[\\d,]+ +0 +0$`, 'm'))
  })

  // One bug per op, so that one program shows them all.
  const bugs: readonly { bug: string; edit: Edit; op: string; hint: string }[] = [
    {
      bug: 'the chosen index off by one',
      edit: { file: 'sparse_ffn.cpp', from: 'rows ? rows[r] : r', to: 'rows ? (rows[r] + 1) % O : r' },
      op: 'linear',
      hint: 'every index in rows were one higher',
    },
    {
      bug: 'no bias',
      edit: { file: 'sparse_ffn.cpp', from: 'bias ? plus(total, bias[o]) : total', to: 'total' },
      op: 'linear_input_major',
      hint: 'there were no bias',
    },
    {
      bug: 'another epsilon',
      edit: { file: 'sparse_ffn.cpp', from: 'plus(variance, epsilon)', to: 'plus(variance, 1e-12f)' },
      op: 'layer_norm',
      hint: 'epsilon were 1e-12',
    },
    {
      bug: 'queries that are not scaled',
      edit: { file: 'sparse_ffn.cpp', from: 'times(query[row + k], scale)', to: 'query[row + k]' },
      op: 'attention',
      hint: 'scale were 1',
    },
  ]

  /** That the verdict names an op, a number of it with its sizes, and what the bug comes to. */
  function expectTold({ code, stdout }: CliResult, op: string, hint: string): void {
    expect(code).toBe(1)
    expect(stdout).toMatch(new RegExp(`^FAIL +${op} `, 'm'))
    expect(stdout).toMatch(
      new RegExp(`^${op}: case \\d+, y\\[[\\d, ]+\\]: expected \\S+, got \\S+ at [A-Z]=`, 'm'),
    )
    expect(stdout).toContain(`${op}: the numbers are those of the definition as if ${hint}\n`)
  }

  test('with a bug in an op fails in that op', async () => {
    const verdict = await verdictOn(await compile(bugs.map(({ edit }) => edit)))
    for (const { op, hint } of bugs) expectTold(verdict, op, hint)
    expect(verdict.stdout).toMatch(/^ok +relu /m)
    expect(verdict.stdout).toMatch(/\nfailed: 4 of 5 ops\n$/)
  })

  test('that takes an empty list for no list is told that cause', async () => {
    const edit = { file: 'parity_main.hpp', from: 'values.reserve(1);', to: ';' }
    expectTold(await verdictOn(await compile([edit])), 'linear', 'rows were not there')
  })

  test('reads nothing past the end of a damaged file, and refuses it in one line', async (context) => {
    const program = await compile([], ['-fsanitize=address,undefined', '-fno-sanitize-recover=all']).catch(
      () => null,
    )
    if (program === null) return context.skip('g++ has no sanitizers here')
    const damaged = join(folder, 'damaged')
    const good = readFileSync(join(expected, 'relu.safetensors'))
    const header = 8 + Number(good.readBigUInt64LE(0))
    const data = new Data(runSeed())
    let refused = 0
    for (let i = 0; i < 60; i++) {
      const bytes = Buffer.from(good)
      rmSync(damaged, { recursive: true, force: true })
      mkdirSync(damaged)
      // A byte of the header is another, or the file is cut.
      bytes[data.below(header)] = data.below(256)
      writeFileSync(
        join(damaged, 'relu.safetensors'),
        i % 2 === 0 ? bytes : good.subarray(0, data.below(good.length)),
      )
      const { status, stderr } = spawnSync(program, [damaged, join(folder, 'none')], { encoding: 'utf8' })
      expect(stderr, `case ${i}`).not.toContain('runtime error')
      expect([0, 3], `case ${i}: ${stderr}`).toContain(status)
      if (status === 3) {
        refused++
        expect(stderr).toMatch(/^[^\n]+\n$/)
      }
    }
    expect(refused).toBeGreaterThan(30)
  })
})

/** Compiles the CUDA form for the CPU, something of it written otherwise; the program. */
async function compileKernels(from = '', to = ''): Promise<string> {
  const copy = join(folder, `build-${builds++}`)
  cpSync(source, copy, { recursive: true })
  writeFileSync(join(copy, 'cuda_runtime.h'), threadByThread)
  const launches = launchedByThread(readFileSync(join(copy, 'sparse_ffn.cu'), 'utf8'))
  expect(launches.split('launch(')).toHaveLength(6)
  expect(launches).toContain(from)
  const file = join(copy, 'kernels.cpp')
  writeFileSync(
    file,
    launches.replace(from, () => to),
  )
  const program = join(copy, 'kernels')
  await run('g++', [...quick, '-I', copy, '-o', program, file])
  return program
}

describe.skipIf(!hasCompiler)(
  `the kernels, thread by thread${hasCompiler ? '' : ' (skipped: no g++ here)'}`,
  () => {
    test('have the bits of the definitions in every op', async () => {
      const { code, stdout, stderr } = await verdictOn(await compileKernels())
      expect(stdout).toMatch(/\npassed: 5 ops\n$/)
      expect([code, stderr]).toEqual([0, ''])
    })

    test('with one that reads the wrong token fail', async () => {
      const from = 'const int t = static_cast<int>(thread / chosen);'
      const wrong = await compileKernels(from, 'const int t = static_cast<int>(thread % T);')
      const stdout: unknown = expect.stringMatching(/^FAIL +attention /m)
      expect(await verdictOn(wrong)).toMatchObject({ code: 1, stdout })
    })
  },
)

describe.skipIf(!hasNvcc)(`the example on the GPU${hasNvcc ? '' : ' (skipped: no nvcc here)'}`, () => {
  test('compiles without a warning', { timeout: 300_000 }, async () => {
    const program = join(folder, 'sparse_ffn.o')
    const flags = [
      '-std=c++17',
      '-arch=sm_80',
      '-Werror',
      'all-warnings',
      '-Xcompiler',
      '-Wall,-Wextra,-Werror',
    ]
    await run('nvcc', [...flags, '-c', '-o', program, join(source, 'sparse_ffn.cu')])
    expect(existsSync(program)).toBe(true)
  })
})
