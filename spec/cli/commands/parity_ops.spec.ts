/**
 * `parity export-ops` writes files that `parity check-ops` compares with a backend's answers, and says op by op what it found.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeSafetensors } from '../../../src/io/safetensors_writer.ts'
import { readOutputs } from '../op_outputs.ts'
import { runInside } from '../run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-parity-ops-'))
afterAll(() => rmSync(folder, { recursive: true }))
const expected = join(folder, 'expected')
const ops = ['add', 'relu']

const check = (actual: string, ...flags: string[]) =>
  runInside(['parity', 'check-ops', expected, join(folder, actual), ...flags])

const outputsOf = (op: string) => readOutputs(join(expected, `${op}.safetensors`))

let cases = 0
let numbers = 0
let largest = ''

beforeAll(async () => {
  const exported = await runInside(['parity', 'export-ops', '-o', expected, '--ops', ops.join(), '--small'])
  expect(exported).toMatchObject({ code: 0, stderr: '' })
  expect(exported.stdout).toMatch(/expected: 2 ops, \d/)
  const { outputs, metadata } = await outputsOf('relu')
  cases = outputs.size
  numbers = [...outputs.values()].reduce((total, { data }) => total + data.length, 0)
  largest = [...outputs].toSorted(([, a], [, b]) => b.data.length - a.data.length)[0][0]
  // An answer: add as it is, and of relu one number that is off by 8.
  mkdirSync(join(folder, 'wrong'))
  cpSync(join(expected, 'add.safetensors'), join(folder, 'wrong/add.safetensors'))
  const found = outputs.get(largest) as { readonly data: Float32Array }
  found.data[3] = 8 + found.data[3]
  await writeSafetensors(join(folder, 'wrong/relu.safetensors'), outputs, metadata)
})

test('answers with equal bits pass: a row for each op, and the count', async () => {
  const { code, stdout, stderr } = await check('expected')
  expect([code, stderr]).toEqual([0, ''])
  const count = numbers.toLocaleString('en-US')
  expect(stdout).toMatch(/^ +op +cases +failed +numbers +differ +worst +of bound *\n/)
  expect(stdout).toMatch(new RegExp(`^ok +relu +${cases} +0 +${count} +0 +0 *$`, 'm'))
  expect(stdout).toMatch(/^ok +add /m)
  expect(stdout).toMatch(/\npassed: 2 ops\n$/)
  expect(stdout).not.toContain('FAIL')
})

test('an answer with a wrong number fails, naming the number, its index and its error', async () => {
  const { code, stdout } = await check('wrong')
  expect(code).toBe(1)
  expect(stdout).toMatch(new RegExp(`^FAIL +relu +${cases} +1 +\\S+ +1 +8\\.0e\\+0`, 'm'))
  expect(stdout).toMatch(/^ok +add /m)
  const [number] = largest.split('.')
  expect(stdout).toMatch(new RegExp(`\nrelu: case ${number}, y\\[3\\]: expected \\S+, got \\S+ at N=\\d+\n`))
  expect(stdout).toMatch(/\nfailed: 1 of 2 ops\n$/)
})

test('a tolerance above the difference passes, and one below it is exceeded', async () => {
  const wide = await check('wrong', '--tolerance', '1e6')
  expect(wide).toMatchObject({ code: 0, stdout: expect.stringMatching(/\npassed: 2 ops\n$/) as string })
  expect(wide.stdout).toMatch(/^ok +relu .* 8\.0e\+0 +\d\.\d+e-\d+ *$/m)
  const narrow = await check('wrong', '--tolerance', '1e-9')
  expect(narrow).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/\nfailed: 1 of 2 ops\n$/) as string,
  })
})

test('an op whose file is in one folder only is listed', async () => {
  mkdirSync(join(folder, 'one'))
  cpSync(join(expected, 'add.safetensors'), join(folder, 'one/add.safetensors'))
  const { code, stdout } = await check('one')
  expect(code).toBe(0)
  expect(stdout).toMatch(/\nonly expected: relu.safetensors\npassed: 1 of 2 ops compared\n$/)
  const reversed = await runInside(['parity', 'check-ops', join(folder, 'one'), expected])
  expect(reversed.stdout).toMatch(/\nonly answered: relu.safetensors\npassed: 1 op\n$/)
  const strict = await check('one', '--strict')
  expect(strict.code).toBe(1)
  expect(strict.stdout).toMatch(/\nfailed: 1 of 2 ops compared, --strict\n$/)
  const more = await runInside(['parity', 'check-ops', join(folder, 'one'), expected, '--strict'])
  expect(more.code).toBe(1)
  expect(await check('expected', '--strict')).toMatchObject({ code: 0 })
})

test('an answer that lacks a case is reported as incomplete', async () => {
  const { outputs, metadata } = await outputsOf('relu')
  outputs.delete(largest)
  mkdirSync(join(folder, 'fewer'))
  await writeSafetensors(join(folder, 'fewer/relu.safetensors'), outputs, metadata)
  const { code, stdout } = await check('fewer')
  expect(code).toBe(1)
  expect(stdout).toMatch(new RegExp(`^FAIL +relu +${cases} +- `, 'm'))
  expect(stdout).toMatch(new RegExp(`\nrelu: .*${largest.replaceAll('.', '\\.')}.*\n`))
})

test('the JSON object has the same findings', async () => {
  const { stdout } = await check('wrong', '--json')
  const report = JSON.parse(stdout) as { ops: { op: string }[] }
  expect(report).toMatchObject({ passed: false, onlyExpected: [], onlyActual: [] })
  expect(report.ops.find(({ op }) => op === 'relu')).toMatchObject({
    passed: false,
    cases,
    failedCases: [Number(largest.split('.')[0])],
    compared: numbers,
    differing: 1,
  })
})
