/**
 * `shadowllm bench`: the table, the object, what a ctrl-C leaves, and what is refused.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { ProgressUpdate } from '../../../src/cli/progress.ts'
import type { BenchRow } from '../../../src/bench/rows.ts'
import { writeSafetensors } from '../../../src/io/safetensors_writer.ts'
import { tinyFolder, type CliResult } from '../run_cli.ts'
import { runInside, type Moment } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-bench-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Printed {
  rows: BenchRow[]
  profiles?: { planner: string; lines: unknown[] }[]
  readBytesPerSecond: number[]
  provenance: object
}

/** Runs the command. @param stopWhen interrupts it at an update of its progress */
function run(
  args: readonly string[],
  stopWhen: (update: ProgressUpdate) => boolean = () => false,
): Promise<CliResult> {
  const interruptWhen = ({ update }: Moment): boolean => update !== null && stopWhen(update)
  return runInside(['bench', ...args], { interruptWhen })
}

const tiny = ['-m', tinyFolder, '--test', 'pp3,tg2@4', '--rounds', '2', '--sparsity', '0.5']

describe('bench', () => {
  test('says which planners have random scores, and how those of a calibration are measured', async () => {
    const help = (await runInside(['bench', '--help'])).stdout.replace(/\s+/g, ' ')
    expect(help).toMatch(/\(static, [^)]*griffin-static\) are timed with random scores/)
    expect(help).toContain('write it by "shadowllm masks -o FILE", and give it by --mask FILE')
  })

  test('ends with a sentence a test on how fast rows are beside dense', async () => {
    const { stdout } = await runInside(['bench', ...tiny])
    const [first, second] = stdout.trimEnd().split('\n').slice(-2)
    const verdict =
      /random 50 % (is .* × as fast as|may be faster or slower than) dense \(.* in 2 rounds\)\.$/
    for (const [line, name] of [
      [first, 'pp3'],
      [second, 'tg2@4'],
    ]) {
      expect(line).toContain(`f32, ${name}: `)
      expect(line).toMatch(verdict)
    }
  })

  test('--json is one object: rows, provenance, and what reading was measured to be', async () => {
    const { code, stdout, stderr } = await runInside(['bench', ...tiny, '--json', '--seed', '3'])
    expect([code, stderr]).toEqual([0, ''])
    const { rows, readBytesPerSecond, provenance } = JSON.parse(stdout) as Printed
    expect(rows.map(({ test: name, planner }) => [name, planner])).toEqual([
      ['pp3', 'dense'],
      ['pp3', 'random'],
      ['tg2@4', 'dense'],
      ['tg2@4', 'random'],
    ])
    expect(rows[3]).toEqual({
      model: tinyFolder,
      shape: '2x32',
      weights: 'checkpoint',
      parameters: expect.any(Number),
      storage: 'f32',
      backend: 'wasm',
      threads: 1,
      threadsAsked: 1,
      cache: 'f32',
      planner: 'random',
      decisions: 1,
      checked: null,
      sparsity: { requested: 0.5, heads: 0.25, neurons: 0.25, weights: 0.25 },
      ways: { dense: expect.any(Number), gather: expect.any(Number), packed: expect.any(Number) },
      test: 'tg2@4',
      tokensPerSecond: expect.any(Number),
      deviation: expect.any(Number),
      samples: [expect.any(Number), expect.any(Number)],
      timesDense: expect.any(Number),
      timesFirst: expect.any(Number),
      ideal: expect.any(Number),
      shareOfIdeal: expect.any(Number),
      predictorShare: expect.any(Number),
      packingShare: expect.any(Number),
      deviceMilliseconds: null,
      bytesPerToken: expect.any(Number),
      bandwidthFraction: expect.any(Number),
    })
    expect(readBytesPerSecond).toHaveLength(2)
    expect(provenance).toMatchObject({
      model: { name: tinyFolder, hash: expect.stringMatching(/^\w{64}$/) },
      seed: 3,
      argv: ['bench', ...tiny, '--json', '--seed', '3'],
    })
  })

  test('without a model or a shape the embedded model is measured', async () => {
    const { code, stdout } = await run(['--test', 'tg1@2', '--rounds', '1', '--sparsity', '0.5'])
    expect(stdout).toMatch(/^embedded, params 7\.4 M, f32, wasm, threads 1, cache f32\n/)
    expect(stdout).toMatch(/^tg1@2 +random +50\.0 /m)
    expect(code).toBe(0)
  })

  test('a shape has random weights, and says so; a part of it too', async () => {
    const { stdout, stderr } = await run([
      '--shape',
      'opt-125m',
      '--layers',
      '1',
      '--planner',
      'dense',
      '--test',
      'tg1@2',
      '--rounds',
      '1',
    ])
    expect(stderr).toBe('')
    expect(stdout).toMatch(
      /^opt-125m, 1 of 12 layers \(random weights\), params 47\.3 M, f32, wasm, threads 1, cache f32\n/,
    )
    expect(stdout).toMatch(/^tg1@2 +dense +0\.0 .* 2\/0\/0 /m)
    expect(stdout).toContain('Memory is read forward at ')
  })

  test('predictors are those of the folder, and a mask is replayed', async () => {
    const mask = join(folder, 'mask.safetensors')
    await writeSafetensors(
      mask,
      new Map([
        ['head_mask', { dtype: 'F32', shape: [8, 8], data: new Float32Array(64).fill(1).fill(0, 60) }],
        ['ffn_mask', { dtype: 'F32', shape: [8, 1024], data: new Float32Array(8192).fill(1).fill(0, 4096) }],
      ]),
    )
    const args = ['-m', 'embedded', '--planner', 'shadow', '--sparsity', '0.5', '--mask', mask]
    const { stdout, stderr } = await run([...args, '--test', 'tg1@2', '--rounds', '1', '--json', '--profile'])
    expect(stderr).toBe('')
    const { rows, profiles } = JSON.parse(stdout) as Printed
    expect(rows.map(({ planner, sparsity }) => [planner, sparsity])).toEqual([
      ['dense', { requested: 0, heads: 0, neurons: 0, weights: 0 }],
      ['shadow', { requested: 0.5, heads: 0.4375, neurons: 0.4375, weights: 0.4375 }],
      ['mask', { requested: null, heads: 0.0625, neurons: 0.5, weights: expect.closeTo(0.3542, 4) }],
    ])
    expect(profiles?.map(({ planner, lines }) => [planner, lines.length > 10])).toEqual([
      ['dense', true],
      ['shadow', true],
      ['mask', true],
    ])
  })

  test('--profile adds a table for every arm', async () => {
    const { stdout, stderr } = await run([...tiny, '--profile'])
    expect(stderr).toBe('')
    expect(
      stdout.match(/: a watched token takes \d+\.\d\d ms, \d+\.\d\d times an unwatched one\n/g),
    ).toHaveLength(2)
    expect(stdout).toMatch(/^lm_head \(linear\) +1\.000 /m)
  })

  test('ctrl-C shows what was measured, and is 130', async () => {
    const stop = ({ stage, done }: ProgressUpdate): boolean => stage === '2x32' && done === 5
    const { code, stdout, stderr } = await run([...tiny, '--rounds', '50', '--json'], stop)
    expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
    const { rows } = JSON.parse(stdout) as Printed
    expect(rows.map(({ samples }) => samples.length)).toEqual([1, 1, 1, 1])
  })

  test('ctrl-C before anything was measured prints nothing', async () => {
    const { code, stdout } = await run(tiny, ({ stage }) => stage.startsWith('loading'))
    expect([code, stdout]).toEqual([130, ''])
  })
})

describe('bench refuses', () => {
  test.each([
    [['--shape', 'opt-13b'], 'SHAPE', 2, 'expected one of opt-125m, '],
    [['--shape', ''], 'SHAPE', 2, 'got nothing'],
    [['--shape', 'opt-125m,opt-350m', '--layers', '13'], 'LAYERS', 2, 'expected 1 to 12 of opt-125m'],
    [['-m', tinyFolder, '--shape', 'opt-125m'], 'FLAGS', 2, '--shape: expected no --model'],
    [['-m', tinyFolder, '--layers', '1'], 'FLAGS', 2, '--layers: expected --shape beside it, got none'],
    [['--revision', 'main'], 'FLAGS', 2, '--revision: expected --model beside it, got none'],
    [['--shape', 'opt-125m', '--predictor', 'file'], 'FLAGS', 2, '--predictor: expected no --shape'],
    [['--test', 'tg0'], 'TEST', 2, 'expected such as pp128, tg128 or tg32@2000, got tg0'],
    [['--shape', 'opt-125m', '--test', 'tg49@2000'], 'CONTEXT_LENGTH', 2, 'expected at most 2048 positions'],
    [['--planner', 'oracle'], 'PLANNER', 2, 'got oracle'],
    [['--sparsity', '50'], 'SPARSITY', 2, '50 % is 0.5'],
    [['--storage', 'f64'], 'STORAGE', 2, 'expected one of f32, bf16, f16, int8'],
    [['--threads', '0'], 'THREADS', 2, '--threads: expected auto or a whole number'],
    [['--threads', '2', '--backend', 'reference'], 'THREADS', 2, 'expected 1 with the reference backend'],
    [['--no-graphs'], 'FLAGS', 2, '--no-graphs: expected a CUDA backend, got wasm'],
    [['--rounds', '0'], 'VALUE', 2, '--rounds: expected a whole number'],
    [['-m', join(folder, 'none')], 'MODEL_MISSING', 3, 'none'],
    [['-m', 'nobody/nothing', '--offline'], 'HUB_OFFLINE', 5, 'nobody/nothing'],
    [['--revision', 'main'], 'FLAGS', 2, '--revision: expected --model'],
    [['-m', tinyFolder, '--planner', 'shadow', '--test', 'tg2@2'], 'PREDICTOR_MISSING', 4, 'planner shadow'],
    [['-m', tinyFolder, '--planner', 'dejavu', '--test', 'tg2@2'], 'PREDICTOR_MISSING', 4, 'planner dejavu'],
    [
      ['-m', tinyFolder, '--mask', 'none.safetensors', '--test', 'tg2@2'],
      'FILE_MISSING',
      3,
      'none.safetensors',
    ],
  ] as const)('%j: %s', async (args, code, exitCode, words) => {
    const result = await run(args)
    expect([result.code, result.stdout]).toEqual([exitCode, ''])
    expect(result.stderr).toContain(`[${code}]`)
    expect(result.stderr).toContain(words)
  })
})
