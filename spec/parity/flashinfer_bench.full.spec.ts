/**
 * The definitions and workloads of FlashInfer-Bench that the kit has are what its schema asks for, and each reference in PyTorch gives
 * what the vectors expect, within the bounds of any order of additions.
 *
 * Without Debian's python3-numpy or python3-torch, what needs them is skipped, and says so.
 *
 * Tests scripts/kit/flashinfer_bench.ts
 */
import { execFile, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../../scripts/sources.ts'
import { writtenKits } from './written_kits.ts'

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'shadowllm-flashinfer-'))
afterAll(() => rmSync(folder, { recursive: true }))
let kit = ''
beforeAll(async () => void (kit = (await writtenKits()).whole), 120_000)

const python = '/usr/bin/python3'
const hasNumpy = spawnSync(python, ['-c', 'import numpy']).status === 0
const hasTorch = hasNumpy && spawnSync(python, ['-c', 'import torch']).status === 0

/** What the checks find; they leave no compiled files behind. */
async function check(...args: string[]): Promise<string> {
  const options = { env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', OMP_NUM_THREADS: '1' } }
  const script = join(root, 'spec/parity/flashinfer_bench.py')
  return run(python, [script, ...args], options).then(
    ({ stdout }) => stdout,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr,
  )
}

/** What is found where a file says something else. */
async function checkWith(path: string, from: string, to: string, ...args: string[]): Promise<string> {
  const copy = join(folder, 'wrong')
  const [, op] = path.split('/')
  rmSync(copy, { recursive: true, force: true })
  for (const part of ['judge.py', 'manifest.json', `definitions/${op}`, `workloads/${op}`])
    cpSync(join(kit, part), join(copy, part), { recursive: true })
  symlinkSync(join(kit, 'vectors'), join(copy, 'vectors'))
  const text = readFileSync(join(copy, path), 'utf8')
  expect(text).toContain(from)
  writeFileSync(
    join(copy, path),
    text.replace(from, () => to),
  )
  return check(copy, op, ...args)
}

const definition = 'definitions/linear/linear_bias.json'
const workloads = 'workloads/linear/linear_bias.jsonl'

describe.skipIf(!hasNumpy)(`the schema${hasNumpy ? '' : ' (skipped: no python3-numpy here)'}`, () => {
  test('takes every definition and workload', async () => {
    expect(await check(kit, '*')).toMatch(/^\n\d{3} definitions, \d{4} workloads, 0 problems\n$/)
  })

  test.each([
    [
      'a dtype that it does not know',
      definition,
      '"float32"',
      '"uint8"',
      'dtype is not what the schema asks for',
    ],
    [
      'an axis that is not defined',
      definition,
      '["T","I"]',
      '["T","Q"]',
      'shape is not what the schema asks for',
    ],
    ['a reference without run', definition, 'def run(', 'def walk(', 'the reference has no function run'],
    ['inputs in another order', definition, 'run(x, weight', 'run(weight, x', 'run takes other inputs'],
    [
      'an output with the name of an input',
      definition,
      '"outputs":{"y"',
      '"outputs":{"x"',
      'has the name of an output',
    ],
    [
      'another name than its path',
      definition,
      '"name":"linear_bias"',
      '"name":"linear"',
      'its path has another',
    ],
    ['an axis of size 0', workloads, /"T":\d+/, '"T":0', 'an axis is not above 0'],
    ['an axis too few', workloads, /"T":\d+,/, '', 'its axes are not those of the definition'],
    ['a tensor of another key', workloads, '.in.x"', '.in.z"', 'no tensor of this key'],
    ['a tensor of another shape', workloads, '.in.x"', '.in.bias"', 'expected float32['],
    [
      'a number for a tensor',
      workloads,
      '"type":"safetensors"',
      '"type":"scalar"',
      'type is not what the schema',
    ],
  ])('refuses %s', async (_, path, from, to, says) => {
    const text = readFileSync(join(kit, path), 'utf8')
    const [found] = typeof from === 'string' ? [from] : (from.exec(text) ?? [''])
    expect(await checkWith(path, found, to)).toContain(says)
  })
})

describe.skipIf(!hasTorch)(`the references${hasTorch ? '' : ' (skipped: no python3-torch here)'}`, () => {
  test('give what the vectors expect in every workload', { timeout: 120_000 }, async () => {
    expect(await check(kit, '*', '--run')).toMatch(/, 0 problems\n$/)
  })

  test('are told when they are wrong', { timeout: 120_000 }, async () => {
    const path = 'definitions/softmax/softmax.json'
    const found = await checkWith(path, '.sum(-1, keepdim=True)', '.mean(-1, keepdim=True)', '--run')
    expect(found).toMatch(/^softmax-\d+: y\[\d+, \d+\]: expected .* in the class any_order$/m)
  })
})
