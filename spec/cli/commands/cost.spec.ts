/**
 * `shadowllm cost`: the table, the JSON and the page say the same, and what cannot be counted is refused.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { ExperimentResult } from '../../../src/results/experiment_result.ts'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-cost-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('cost', () => {
  test('counts the models that are named, at the bandwidth that is given', async () => {
    const { code, stdout, stderr } = await runInside(['cost', '-m', 'opt-13b,70B-like', '--bandwidth', '20'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^opt-13b +ShadowLLM, once +[\d.]+ +1\.91 /m)
    expect(stdout).toMatch(/^70b-like +dense +[\d.]+ +1\.00 +- /m)
    expect(stdout).toContain('\n$ shadowllm cost --model opt-13b,70b-like --sparsity 0.5 ')
  })

  test('measures the bandwidth otherwise, and its command gives the same rows again', async () => {
    const first = await runInside(['cost', '--model', 'opt-1.3b', '--storage', 'int8', '--json'])
    expect([first.code, first.stderr]).toEqual([0, ''])
    const result = JSON.parse(first.stdout) as ExperimentResult
    expect(result.rows).toHaveLength(4)
    expect(result.provenance.argv).toEqual(['cost', '--model', 'opt-1.3b', '--storage', 'int8', '--json'])
    const args = result.command.split(' ').slice(1)
    const again = JSON.parse((await runInside([...args, '--json'])).stdout) as ExperimentResult
    for (const [i, row] of again.rows.entries())
      // The bandwidth has four digits in the command.
      expect({ ...row, rate: Number(row.rate) / Number(result.rows[i].rate) }).toEqual({
        ...result.rows[i],
        rate: expect.closeTo(1, 3),
      })
  })

  test('--predictors is the count of the paper', async () => {
    const { code, stdout } = await runInside(['cost', '--predictors'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^opt-175b +6049\.2 +4853\.9 +19\.76 +37\.9$/m)
    expect(stdout).toMatch(/^opt-175b +6050 +4850 +19\.76$/m)
  })

  test('--html writes a page with figures, equal on each run', async () => {
    const write = async (name: string): Promise<string> => {
      const path = join(folder, name)
      const { code, stderr } = await runInside(['cost', '-m', 'opt-13b', '--bandwidth', '20', '--html', path])
      expect([code, stderr]).toEqual([0, ''])
      return readFileSync(path, 'utf8')
    }
    const figures = async (name: string): Promise<string[]> =>
      (await write(name)).match(/<svg class="plot[^]*?<\/svg>/g) ?? []
    const first = await figures('first.html')
    expect(first).toHaveLength(2)
    expect(await figures('second.html')).toEqual(first)
  })

  test.each([
    [
      ['-m', 'opt-67b'],
      /expected one of opt-125m, .*, got opt-67b \(did you mean opt-6\.7b\?\) \[COST_MODEL\]/,
    ],
    // opt-2.7b is as near as opt-6.7b.
    [['-m', 'opt-7b'], /expected one of opt-125m, .*, got opt-7b \[COST_MODEL\]/],
    [['--sparsity', '50'], /\(50 % is 0\.5\) \[SPARSITY\]/],
    [['--tokens', '0'], /--tokens: expected a whole number from 1 to 1048576, got 0 \[VALUE\]/],
    [['--bandwidth', '0'], /--bandwidth: expected a number/],
    [['--storage', 'f64'], /--storage: expected one of f32, bf16, f16, int8/],
    [['--html', 'no/such/folder/x.html'], /expected an existing folder to write into, got none \[OUTPUT\]/],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await runInside(['cost', ...args])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(message)
  })
})
