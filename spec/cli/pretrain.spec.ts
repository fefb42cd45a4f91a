/**
 * `shadowllm pretrain` as a user meets it: a folder every command reads, a loss that falls, and a run that can be killed
 * at any moment and goes on as if nothing had happened.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { fixtures } from '../golden/golden.ts'
import { Data } from '../harness/data.ts'
import { runSeed } from '../harness/seed.ts'
import { runCli, type CliOptions, type CliResult } from './run_cli.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-pretrain-'))
afterAll(() => rmSync(folder, { recursive: true }))

const tokenizer = `${fixtures}tiny-opt`
const config = join(folder, 'config.json')
writeFileSync(
  config,
  JSON.stringify({
    model_type: 'opt',
    vocab_size: 4096,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    ffn_dim: 16,
    max_position_embeddings: 32,
  }),
)
const text = join(folder, 'text.txt')
writeFileSync(
  text,
  'The cat sat on the mat, and the dog lay by the door.\nNobody spoke a word.\n\n'.repeat(40),
)

const steps = 10

function train(
  name: string,
  more: readonly string[] = [],
  options: CliOptions = {},
  from = text,
): Promise<CliResult> {
  const run = ['--steps', `${steps}`, '--batch', '2', '--length', '32', '--warmup', '2', '--rate', '0.05']
  const files = ['--config', config, '--tokenizer', tokenizer, '--text', from, '-o', join(folder, name)]
  return runCli(['pretrain', ...run, ...files, ...more], options)
}

type Row = { step: number; loss?: number; heldOut?: number; seconds?: number }

function curveOf(name: string): Row[] {
  const lines = readFileSync(join(folder, name, 'loss.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  return lines.map((line) => JSON.parse(line) as Row)
}

/** Everything of a run that must not depend on whether it was stopped. */
function lastingOf(name: string): unknown {
  const bytes = (file: string): string => readFileSync(join(folder, name, file)).toString('base64')
  // undefined: equal to a row that has none.
  const curve = curveOf(name).map((row) => ({ ...row, seconds: undefined }))
  return { model: bytes('model.safetensors'), state: bytes('training.safetensors'), curve }
}

const often = ['--evaluate-every', '4', '--save-every', '1']
const whole = train('whole', often)

test('the loss falls, and the folder is a model for every command', async () => {
  const { code, stdout, stderr } = await whole
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^step 10 of 10: held out \d\.\d{4}, training \d\.\d{4}, [\d,]+ tokens\/s$/m)
  const losses = curveOf('whole').flatMap(({ loss }) => loss ?? [])
  expect(losses).toHaveLength(steps)
  expect(losses[0]).toBeCloseTo(Math.log(4096), 0)
  expect(losses.at(-1)).toBeLessThan(0.8 * losses[0])
  expect(readdirSync(join(folder, 'whole'))).toEqual([
    'config.json',
    'loss.jsonl',
    'merges.txt',
    'model.safetensors',
    'training.safetensors',
    'vocab.json',
  ])
  const written = await runCli(['generate', '-m', join(folder, 'whole'), 'The', '--max-tokens', '3'])
  expect([written.code, written.stderr]).toEqual([0, ''])
})

test('killed at any moment and resumed, it ends with the same files', async () => {
  const random = new Data(runSeed())
  await whole
  const state = join(folder, 'killed', 'training.safetensors')
  const lines = (): number =>
    existsSync(state) ? readFileSync(join(folder, 'killed', 'loss.jsonl'), 'utf8').split('\n').length : 0
  let deaths = 0
  for (let attempt = 0; deaths < 2 && attempt < 8; attempt++) {
    const when = lines() + random.integer(1, 4)
    const late = random.below(8)
    let seen = Infinity
    const killWhen = (): boolean => {
      if (seen === Infinity && lines() >= when) seen = Date.now()
      return Date.now() - seen >= late
    }
    const { code } = await train('killed', existsSync(state) ? [...often, '--resume'] : often, { killWhen })
    if (code === null) deaths++
    // It was too fast to be killed: once more from the start.
    else rmSync(join(folder, 'killed'), { recursive: true })
  }
  expect(deaths).toBe(2)
  expect(await train('killed', [...often, '--resume'])).toMatchObject({ code: 0, stderr: '' })
  expect(lastingOf('killed')).toEqual(lastingOf('whole'))
})

test('ctrl-C keeps the state of the last whole step, and is 130; --resume needs no settings', async () => {
  const options = { interruptAt: join(folder, 'stopped', 'training.safetensors') }
  const { code, stderr } = await train('stopped', ['--evaluate-every', '4'], options)
  expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
  const output = ['--text', text, '-o', join(folder, 'stopped'), '--evaluate-every', '4', '--json']
  const resumed = await runCli(['pretrain', ...output, '--resume'])
  expect([resumed.code, resumed.stderr]).toEqual([0, ''])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ step: steps, complete: true, settings: { rate: 0.05 } })
  await whole
  expect(lastingOf('stopped')).toEqual(lastingOf('whole'))
})

describe.concurrent('refuses', () => {
  const refused = async (run: Promise<CliResult>, code: number, message: RegExp): Promise<void> => {
    const result = await run
    expect(result.stderr).toMatch(message)
    expect([result.code, result.stdout]).toEqual([code, ''])
  }

  test('a folder that holds a run or a model, and to resume what is not there', async () => {
    await whole
    await refused(train('whole'), 2, /expected no run in it, got one; --resume goes on with it \[OUTPUT\]/)
    await refused(runCli(['pretrain', '-o', tokenizer]), 2, /got model\.safetensors in it \[OUTPUT\]/)
    await refused(train('nowhere', ['--resume']), 2, /expected a run to go on with .* \[RESUME\]/)
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })

  test('to resume with other settings or another text', async () => {
    await whole
    const another = join(folder, 'another.txt')
    writeFileSync(another, 'Another text altogether, long enough for a window or two of it. '.repeat(20))
    await refused(
      train('whole', ['--resume', '--rate', '0.5']),
      2,
      /^shadowllm: rate: expected 0\.05, .* \[RESUME\]/,
    )
    await refused(
      train('whole', ['--resume'], {}, another),
      2,
      /text: expected the same tokens .* \[RESUME\]/,
    )
  })

  test('what cannot be trained', async () => {
    await refused(train('x', ['--length', '33']), 2, /length: expected at most the model's 32 positions/)
    const short = join(folder, 'short.txt')
    writeFileSync(short, 'A few words.')
    await refused(train('x', [], {}, short), 2, /expected at least one whole window of tokens/)
    const bare = await runCli(['pretrain', '--config', config, '-o', join(folder, 'x')])
    expect([bare.code, bare.stderr]).toEqual([
      3,
      expect.stringMatching(/--tokenizer names another folder \[TOKENIZER_FILES\]/),
    ])
    expect(existsSync(join(folder, 'x'))).toBe(false)
  })
})
