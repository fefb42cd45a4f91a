/**
 * The command line as a process: its exit code, its two outputs, threads that end with it, and a closed pipe. Specs of the
 * command line inside this process judge its texts.
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
])('a process has exit code %i and the outputs of a run inside this process: %j', async (code, args) => {
  const env = { HF_HUB_CACHE: folder }
  const result = await runCli(args, { env })
  expect(result.code).toBe(code)
  expect(result).toEqual(await runInside(args, { env }))
})

test('a process with threads ends', async () => {
  const args = ['generate', 'Once upon a time', '--max-tokens', '8', '--threads', '2', '--quiet']
  expect(await runCli(args)).toEqual(await runInside(args))
})

test('generate ends with 0 and no error if its pipe is closed', async () => {
  const args = ['generate', 'Once upon a time', '--max-tokens', '240', '--quiet']
  const { code, stderr } = await runCli(args, { closeOutput: true })
  expect([code, stderr]).toEqual([0, ''])
})

test('perplexity still writes its report if its pipe is closed', async () => {
  const [text, output] = [join(folder, 'text'), join(folder, 'report')]
  writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(30))
  const args = ['perplexity', '--text', text, '--by', 'stream', '-o', output]
  const { code, stderr } = await runCli(args, { closeOutput: true })
  expect([code, stderr]).toEqual([0, ''])
  expect(existsSync(output)).toBe(true)
  expect(JSON.parse(readFileSync(output, 'utf8'))).toMatchObject({ complete: true })
})
