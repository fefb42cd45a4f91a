/**
 * `shadowllm pretrain`: its folder is read by every command, its loss falls, and a run that resumes from any state of its folder
 * ends like an uninterrupted one.
 *
 * Tests src/cli/commands/pretrain.ts and src/cli/pretrain_inputs.ts.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Random } from '../../../src/tensor/random.ts'
import { runSeed } from '../../harness/seed.ts'
import { root, type CliResult } from '../run_cli.ts'
import { runInside, type InsideOptions } from '../run_inside.ts'
import { makeSmallPretraining } from '../small_pretraining.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-pretrain-'))
afterAll(() => rmSync(folder, { recursive: true }))

const { args, config, tokenizer, text, steps, curveOf, lastingOf } = makeSmallPretraining(folder)

const train = (
  name: string,
  more: readonly string[] = [],
  options: InsideOptions = {},
  from = text,
): Promise<CliResult> => runInside(args(name, more, from), options)

const often = ['--evaluate-every', '4', '--save-every', '1']

/** Copies of the folder of the uninterrupted run at each state. */
const states: string[] = []
function keepState(): boolean {
  if (!existsSync(join(folder, 'whole', 'training.safetensors'))) return false
  states.push(`state-${states.length}`)
  cpSync(join(folder, 'whole'), join(folder, states[states.length - 1]), { recursive: true })
  return false
}
const whole = train('whole', often, { interruptWhen: keepState })

test('the loss falls, and every command accepts the folder as a model', async () => {
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
  const written = await runInside(['generate', '-m', join(folder, 'whole'), 'The', '--max-tokens', '3', '-q'])
  expect([written.code, written.stderr]).toEqual([0, ''])
})

test('resumed from any state of its folder, pretrain ends with the same files', async () => {
  await whole
  expect(new Set(states.map((name) => curveOf(name).length)).size).toBeGreaterThan(steps / 2)
  const random = new Random(runSeed())
  for (const place of random.permutation(states.length).slice(0, 3)) {
    const resumed = await train(states[place], [...often, '--resume'])
    expect(resumed).toMatchObject({ code: 0, stderr: '' })
    expect(lastingOf(states[place])).toEqual(lastingOf('whole'))
  }
})

test('a folder of the Llama family trains too: a document ends with the token that its config.json names', async () => {
  const [from, to] = [join(folder, 'llama'), join(folder, 'trained-llama')]
  mkdirSync(from)
  const sizes = { hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 24 }
  const ends = { vocab_size: 700, max_position_embeddings: 32, eos_token_id: 0, bos_token_id: 1 }
  writeFileSync(join(from, 'config.json'), JSON.stringify({ model_type: 'llama', ...sizes, ...ends }))
  copyFileSync(join(root, 'fixtures/tokenizers/smollm.tokenizer.json'), join(from, 'tokenizer.json'))
  const few = ['--steps', '2', '--batch', '2', '--length', '16', '--warmup', '1']
  const trained = await runInside(['pretrain', '--config', from, '--text', text, '-o', to, ...few])
  expect([trained.code, trained.stderr]).toEqual([0, ''])
  expect(await runInside(['generate', '-m', to, 'The', '--max-tokens', '3', '-q'])).toMatchObject({
    code: 0,
    stderr: '',
  })
})

test('ctrl-C keeps the state of the last whole step, and is 130; --resume needs no settings', async () => {
  const state = join(folder, 'stopped', 'training.safetensors')
  const options = { interruptWhen: () => existsSync(state) }
  const { code, stderr } = await train('stopped', ['--evaluate-every', '4'], options)
  expect([code, stderr]).toEqual([130, 'shadowllm: interrupted [INTERRUPTED]\n'])
  const output = ['--text', text, '-o', join(folder, 'stopped'), '--evaluate-every', '4', '--json']
  const resumed = await runInside(['pretrain', ...output, '--resume'])
  expect([resumed.code, resumed.stderr]).toEqual([0, ''])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ step: steps, complete: true, settings: { rate: 0.05 } })
  await whole
  expect(lastingOf('stopped')).toEqual(lastingOf('whole'))
})

describe('refuses', () => {
  const refused = async (run: Promise<CliResult>, code: number, message: RegExp): Promise<void> => {
    const result = await run
    expect(result.stderr).toMatch(message)
    expect([result.code, result.stdout]).toEqual([code, ''])
  }

  test('a folder that holds a run or a model, and a resume without a run', async () => {
    await whole
    await refused(train('whole'), 2, /expected no run in it, got one; --resume goes on with it \[OUTPUT\]/)
    await refused(runInside(['pretrain', '-o', tokenizer]), 2, /got model\.safetensors in it \[OUTPUT\]/)
    await refused(train('nowhere', ['--resume']), 2, /expected a run to resume .* \[RESUME\]/)
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })

  test('a resume with other settings or another text', async () => {
    await whole
    const another = join(folder, 'another.txt')
    writeFileSync(another, 'Another text altogether, long enough for a window or two of it. '.repeat(20))
    await refused(
      train('whole', ['--resume', '--rate', '0.5']),
      2,
      /^shadowllm: --rate: expected 0\.05, .* \[RESUME\]/,
    )
    await refused(
      train('whole', ['--resume'], {}, another),
      2,
      /text: expected the same training tokens, .* \[RESUME\]/,
    )
  })

  test('settings that cannot be trained', async () => {
    await refused(train('x', ['--length', '33']), 2, /length: expected at most the model's 32 positions/)
    const short = join(folder, 'short.txt')
    writeFileSync(short, 'A few words.')
    await refused(train('x', [], {}, short), 2, /expected the tokens of at least one window/)
    const bare = await runInside(['pretrain', '--config', config, '-o', join(folder, 'x')])
    expect([bare.code, bare.stderr]).toEqual([
      3,
      expect.stringMatching(/--tokenizer names another folder \[TOKENIZER_FILES\]/),
    ])
    expect(existsSync(join(folder, 'x'))).toBe(false)
  })
})
