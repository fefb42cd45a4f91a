/**
 * A model of finite weights that overflow float32: every command that writes, scores or calibrates ends with exit code 3 and one
 * line, and the server answers 500 with a code that is not that of a bug.
 *
 * Tests src/engine/finite_logits.ts and src/server/refusals.ts.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ShadowModel } from '../../src/library/index.ts'
import { ask, serverOf, type Refused } from '../server/served.ts'
import { writeModel } from './options/small_files.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-overflow-'))
const [model, text, output] = ['model', 'a.txt', 'c'].map((name) => join(folder, name))
beforeAll(async () => {
  await writeModel(model, 3, { overflows: true })
  writeFileSync(text, 'one two three four five six seven eight nine ten eleven twelve '.repeat(3))
})
afterAll(() => rmSync(folder, { recursive: true }))

test.each([
  ['generate', ['one two', '--max-tokens', '4']],
  ['generate', ['one two', '--max-tokens', '4', '--temperature', '1', '--top-p', '0.9']],
  ['generate', ['one two', '--max-tokens', '4', '--planner', 'random', '--json']],
  ['perplexity', ['--text', '{text}', '--by', 'stream', '--prompt', '20', '--json']],
  ['perplexity', ['--text', '{text}', '--by', 'stream', '--prompt', '20', '--planner', 'random', '--json']],
  ['eval', ['--tasks', 'continuation', '--limit', '1', '--json']],
  [
    'calibrate',
    [
      '--text',
      '{text}',
      '--output',
      '{output}',
      '--limit',
      '1',
      '--prompt',
      '12',
      '--continuation',
      '8',
      '--json',
    ],
  ],
])('%s %j ends with 3 and says that the logits are not finite', async (command, flags) => {
  const given = flags.map((flag) => flag.replace('{text}', text).replace('{output}', output))
  const { code, stdout, stderr } = await runInside([command, '-m', model, ...given])
  expect([code, stdout]).toEqual([3, ''])
  expect(stderr).toMatch(
    /^shadowllm: logits: expected finite numbers, got (NaN|-?Infinity); [^\n]* \[LOGITS_NOT_FINITE\]\n$/,
  )
  expect(existsSync(join(output, 'part-00000.safetensors'))).toBe(false)
})

test('the server answers 500 with the code, and reports one error that names it', async () => {
  const opt = await ShadowModel.fromPretrained(model)
  const reported: unknown[] = []
  const server = serverOf(opt, { report: (error) => void reported.push((error as { code?: unknown }).code) })
  const bodies = [
    { prompt: 'one', max_tokens: 2 },
    { prompt: 'one', max_tokens: 2, stream: true },
    { prompt: 'one two', max_tokens: 0, echo: true, logprobs: 1 },
  ]
  for (const body of bodies) {
    const { status, json } = await ask<Refused>(server, '/v1/completions', body)
    expect([status, json.error.code, json.error.type]).toEqual([500, 'LOGITS_NOT_FINITE', 'server_error'])
  }
  expect(reported).toEqual(bodies.map(() => 'LOGITS_NOT_FINITE'))
  await opt.dispose()
})
