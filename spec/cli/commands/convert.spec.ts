/**
 * `shadowllm convert`: its output, and that a ctrl-C or a refusal leaves no partial file.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { openSafetensors } from '../../../src/io/safetensors.ts'
import { tinyFolder } from '../run_cli.ts'
import { runInside } from '../run_inside.ts'
import { largeCheckpoint } from '../large_checkpoint.ts'

const root = mkdtempSync(join(tmpdir(), 'shadowllm-cli-convert-'))
afterAll(() => rmSync(root, { recursive: true }))
let folder: string
let count = 0
beforeEach(() => {
  folder = join(root, `${count++}`)
  mkdirSync(folder)
})

test('a folder becomes a folder that generates the same', async () => {
  const to = join(folder, 'to')
  const result = await runInside(['convert', 'embedded', to, '--shard-size', '4MB'])
  expect([result.code, result.stderr]).toEqual([0, ''])
  expect(result.stdout).toContain('model.safetensors.index.json')
  expect(result.stdout).toMatch(new RegExp(`^${to}: \\d+ tensors, \\d+ MiB$`, 'm'))
  const generate = ['generate', 'Once', '--max-tokens', '8', '--quiet', '-m']
  expect(await runInside([...generate, to])).toEqual(await runInside([...generate, 'embedded']))
})

test('--json says what was written, left out and repeated', async () => {
  const to = join(folder, 'x.safetensors')
  const result = await runInside(['convert', `${tinyFolder}/pytorch_model.bin`, to, '--json'])
  expect(result.code).toBe(0)
  const source = await openSafetensors(to)
  const bytes = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
  await source.close()
  expect(JSON.parse(result.stdout)).toMatchObject({
    output: to,
    files: [{ name: 'x.safetensors', bytes: statSync(to).size }],
    bytes,
    tensors: 36,
    repeated: [],
    leftOut: ['lm_head.weight'],
  })
})

test('refusals end with their codes, and leave nothing', async () => {
  writeFileSync(join(folder, 'bad.bin'), 'no checkpoint')
  writeFileSync(join(folder, 'there.safetensors'), '')
  for (const [args, code, line] of [
    [['bad.bin', 'to'], 3, 'TORCH_FORMAT'],
    [['none.bin', 'to'], 3, 'MODEL_MISSING'],
    [['bad.bin', 'there.safetensors/to'], 2, 'OUTPUT'],
    [['bad.bin', 'no/such/folder'], 2, 'OUTPUT'],
  ] as const) {
    const result = await runInside(['convert', ...args.map((path) => join(folder, path))])
    expect([result.code, result.stdout]).toEqual([code, ''])
    expect(result.stderr).toMatch(new RegExp(`^shadowllm: [^\\n]+ \\[${line}\\]\\n$`))
  }
  const again = await runInside(['convert', tinyFolder, join(folder, 'there.safetensors')])
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('--force')])
  expect(readdirSync(folder)).toEqual(['bad.bin', 'there.safetensors'])
})

test('ctrl-C leaves no file and ends with 130', async () => {
  // Several parts, so that one is written and the next is not.
  const from = largeCheckpoint(folder, 2 ** 24)
  const begun = (): boolean => readdirSync(folder).some((name) => name.endsWith('.tmp'))
  let wasBegun = false
  const interruptWhen = (): boolean => (wasBegun ||= begun())
  const result = await runInside(['convert', from, join(folder, 'to')], { interruptWhen })
  expect(result).toEqual({ code: 130, stdout: '', stderr: 'shadowllm: interrupted [INTERRUPTED]\n' })
  expect(wasBegun).toBe(true)
  expect(readdirSync(folder)).toEqual(['large.safetensors'])
})
