/**
 * The command line as a shell meets it: the code that its process ends with, its two outputs, threads that do not keep it from
 * ending, and a reader that leaves. What it says in each case is judged without a process of its own.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli, tinyFolder } from './run_cli.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-process-'))
afterAll(() => rmSync(folder, { recursive: true }))

const cases = `${tinyFolder}/cases/`

test.each<[number, string[]]>([
  [1, ['parity', 'check', `${cases}batch.safetensors`, `${cases}single.safetensors`]],
  [2, ['generate', 'a', '--sparsity', '1.2']],
  [3, ['generate', 'a', '-m', join(folder, 'none')]],
  [4, ['generate', 'a', '--planner', 'dejavu']],
  [5, ['generate', 'a', '-m', 'nobody/nothing', '--offline']],
])('%i is what its process ends with, and both outputs are as inside: %j', async (code, args) => {
  const env = { HF_HUB_CACHE: folder }
  const result = await runCli(args, { env })
  expect(result.code).toBe(code)
  expect(result).toEqual(await runInside(args, { env }))
})

test('threads end with it', async () => {
  const args = ['generate', 'Once upon a time', '--max-tokens', '8', '--threads', '2']
  expect(await runCli(args)).toEqual(await runInside(args))
})

test('generate whose reader leaves ends quietly', async () => {
  const args = ['generate', 'Once upon a time', '--max-tokens', '240']
  const { code, stderr } = await runCli(args, { closeOutput: true })
  expect([code, stderr]).toEqual([0, ''])
})

test('perplexity whose reader leaves still writes its report', async () => {
  const [text, output] = [join(folder, 'text'), join(folder, 'report')]
  writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(30))
  const args = ['perplexity', '--text', text, '--by', 'stream', '-o', output]
  const { code, stderr } = await runCli(args, { closeOutput: true })
  expect([code, stderr]).toEqual([0, ''])
  expect(existsSync(output)).toBe(true)
  expect(JSON.parse(readFileSync(output, 'utf8'))).toMatchObject({ complete: true })
})
