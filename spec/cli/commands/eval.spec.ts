/**
 * `shadowllm eval`: the tables and reports it prints and writes, and what it refuses.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-eval-'))
afterAll(() => rmSync(folder, { recursive: true }))

const write = (name: string, ...rows: object[]): string => {
  const path = join(folder, name)
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return path
}
const piqa = (goal: string) => ({ goal, sol1: 'Use a towel.', sol2: 'Use the moon of the sea.', label: 0 })
write('piqa.jsonl', piqa('Dry a plate.'), piqa('Dry a cup.'), piqa('Dry your hands.'))
write('piqa.train.jsonl', piqa('Dry a horse.'))
const copa = write('copa.dev.jsonl', {
  premise: 'The ship went down.',
  choice1: 'The men were afraid.',
  choice2: 'The men were glad.',
  question: 'effect',
  label: 0,
})
const broken = write('broken.jsonl', piqa('Dry a plate.'), { ...piqa('x'), label: 3 })

describe('eval', () => {
  test('prints a table, a row for each planner, dense first', async () => {
    const args = ['--planner', 'random', '--sparsity', '0.5', '--limit', '2']
    const { code, stdout, stderr } = await runInside([
      'eval',
      '--tasks',
      'piqa,copa',
      '--data',
      folder,
      ...args,
    ])
    expect([code, stderr]).toEqual([0, ''])
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(/^task +planner +asked +heads +neurons +acc % +over dense +acc_norm % /)
    expect(lines[1]).toMatch(/^piqa +dense +0 % .* 2$/)
    expect(lines[2]).toMatch(/^piqa +random +50 % +43\.8 % +43\.8 % .* -?[\d.]+ ± [\d.]+ .* 2$/)
    expect(lines[3]).toMatch(/^copa +dense .* 1$/)
    const { stdout: help } = await runInside(['eval', '--help'])
    for (const text of [stdout, help])
      for (const column of ['acc_norm the one', 'mutual (acc_mutual_info)']) expect(text).toContain(column)
    expect(stdout).toMatch(/\nMean acc of all tasks, random at 50 %: [\d.]+ %, over dense -?[\d.]+\n/)
  })

  test('--json has the keys of lm-evaluation-harness, and the provenance', async () => {
    const output = join(folder, 'report.json')
    const args = ['eval', '--json', '--tasks', 'piqa,copa', '--data', folder, '--rows', `copa=${copa}`]
    const { code, stdout } = await runInside([...args, '--shots', '0', '-o', output])
    expect(code).toBe(0)
    const report = JSON.parse(stdout) as { results: Record<string, object> }
    expect(Object.keys(report.results.piqa)).toEqual([
      'alias',
      'acc,none',
      'acc_stderr,none',
      'acc_norm,none',
      'acc_norm_stderr,none',
    ])
    expect(report).toMatchObject({
      results: { copa: { alias: 'copa', 'acc_stderr,none': 'N/A' } },
      versions: { piqa: 1, copa: 1 },
      'n-shot': { piqa: 0 },
      'n-samples': { piqa: { original: 3, effective: 3 } },
      configs: { copa: { rows: 'copa.dev.jsonl' } },
      config: { model: 'embedded', add_bos_token: false, limit: null },
      complete: true,
      provenance: { argv: [...args, '--shots', '0', '-o', output] },
    })
    expect(readFileSync(output, 'utf8')).toBe(stdout)
  })

  test('draws examples from the train file', async () => {
    const args = [
      'eval',
      '--json',
      '--tasks',
      'piqa',
      '--data',
      folder,
      '--shots',
      '1',
      '--limit',
      '1',
      '--bos',
    ]
    const { code, stdout } = await runInside(args)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      configs: { piqa: { fewshot_rows: 'piqa.train.jsonl', num_fewshot: 1 } },
      config: { add_bos_token: true },
      'n-samples': { piqa: { original: 3, effective: 1 } },
    })
  })

  test('builds the continuation task from any text', async () => {
    const path = join(folder, 'sea.txt')
    const words = 'sea ship men wind sail rope rain night star deck'.split(' ')
    const line = (n: number): string => words.map((word, i) => words[(i * n + n) % 10] + word).join(' ')
    writeFileSync(path, Array.from({ length: 30 }, (_, n) => line(n)).join('. '))
    const sizes = ['--prompt', '12', '--continuation', '8', '--limit', '3']
    const { code, stdout } = await runInside([
      'eval',
      '--tasks',
      'continuation',
      '--text',
      path,
      ...sizes,
      '--json',
    ])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      results: { continuation: { 'acc_mutual_info,none': expect.any(Number) } },
      'n-samples': { continuation: { effective: 3 } },
    })
  })

  test.each([
    [['--tasks', 'boolq'], 2, '--tasks: expected one of piqa, '],
    [[], 2, '--tasks: missing; expected tasks to ask, separated by commas, of piqa, copa, '],
    [['--tasks', 'piqa'], 2, 'task piqa: expected --data or --rows piqa=FILE, got neither'],
    [['--tasks', 'rte', '--data', folder], 4, 'expected rte.jsonl or rte.parquet'],
    [
      ['--tasks', 'piqa', '--rows', `piqa=${broken}`],
      3,
      'broken.jsonl:2: field label: expected a whole number',
    ],
    [['--tasks', 'piqa', '--rows', 'piqa'], 2, '--rows: expected TASK=FILE, got piqa'],
    [['--tasks', 'piqa', '--data', folder, '--shots', '2'], 2, 'shots: expected'],
  ])('%j ends with %i', async (args, expected, words) => {
    const { code, stdout, stderr } = await runInside(['eval', ...args])
    expect([code, stdout]).toEqual([expected, ''])
    expect(stderr).toContain(words)
  })
})
