/**
 * What one does with a model one has, for each family that differs from Llama in its layers: a folder in Hugging Face form is
 * calibrated, trained for, evaluated, chatted with, and written without the units that a mask skips. The files of the same families for
 * llama.cpp are judged by golden/gguf.spec.ts, the page by web/app.full.spec.ts.
 *
 * Tests src/engine/config.ts and src/engine/program.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { storages } from '../../src/engine/storages/index.ts'
import { predictorKinds } from '../../src/predictor/predictor_config.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { runInside, runJson } from './run_inside.ts'

const goldens = fileURLToPath(new URL('../../fixtures/golden-families/', import.meta.url))
const folder = temporaryFolder()
const [text, articles] = ['text.txt', 'articles.raw'].map((name) => join(folder, name))
const said = 'The captain looked at the old ship and at the sea, and the men looked at him. '
writeFileSync(text, said.repeat(40))
writeFileSync(articles, ['One', 'Two'].map((title) => ` = ${title} = \n ${said.repeat(20)}\n`).join(''))

/** A row of `perplexity` or `eval`. */
interface Evaluated {
  readonly planner: string
  readonly achieved: { readonly neurons: number }
  readonly tokenPerplexity?: number
}

describe.each(['qwen3', 'gemma3', 'gemma2', 'olmo2', 'smollm3'])('a model of %s', (family) => {
  const [model, calibration, predictor, mask] = ['model', 'calibration', 'predictor.safetensors', 'mask'].map(
    (name) => join(folder, `${family}-${name}`),
  )
  const half = ['-m', model, '--sparsity', '0.5']

  beforeAll(async () => {
    const config = JSON.parse(readFileSync(`${goldens}${family}/config.json`, 'utf8')) as object
    await writeChatModel(model, { config, tokenizer: 'qwen2' })
    const sizes = ['--limit', '12', '--prompt', '16', '--continuation', '8']
    const calibrate = ['calibrate', '-m', model, '--text', text, ...sizes, '--moments', '-o', calibration]
    expect(await runJson(...calibrate)).toMatchObject({ computed: 12, damaged: [] })
    await runJson('train', '--calibration', calibration, '-o', predictor, '--epochs', '20')
  })

  test('is generated from under its own predictor, in every storage', async () => {
    const args = ['generate', 'Once upon', ...half, '--planner', 'shadow', '--predictor', predictor]
    for (const storage of storages) {
      const { skipped, tokens } = await runJson(...args, '--storage', storage, '--max-tokens', '6')
      expect(skipped).toBeGreaterThan(0.2)
      expect(tokens).not.toEqual([])
    }
  })

  test('has predictors of the other kinds, of its own moments, and learnt through the mask', async () => {
    const learnt = join(folder, `${family}-learnt`)
    const windows = ['--text', text, '--prompt', '16', '--continuation', '8', '--steps', '3']
    await runJson('learn', '-m', model, '--calibration', calibration, ...windows, '-o', learnt)
    const made: [planner: string, file: string][] = [['shadow', learnt]]
    for (const kind of predictorKinds) {
      const file = join(folder, `${family}-${kind}`)
      const how = ['--kind', kind, '--features', 'dataset', '--epochs', '2']
      await runJson('train', '--calibration', calibration, ...how, '-o', file)
      made.push([kind, file])
    }
    for (const [planner, file] of made) {
      const args = ['generate', 'Once upon', ...half, '--planner', planner, '--predictor', file]
      expect((await runJson(...args, '--max-tokens', '3')).skipped).toBeGreaterThan(0.2)
    }
  })

  test('is evaluated, by perplexity and on questions', async () => {
    const planners = ['static', 'shadow', 'griffin', 'oracle']
    const inputs = ['--planner', planners.join(), '--calibration', calibration, '--predictor', predictor]
    const args = [...half, ...inputs, '--text', text, '--limit', '2']
    const sizes = ['--prompt', '16', '--continuation', '8']
    const evaluated = [
      await runJson('perplexity', ...args),
      await runJson('eval', ...args, '--tasks', 'continuation', ...sizes),
    ]
    for (const { rows } of evaluated) {
      const found = rows as readonly Evaluated[]
      expect(found.map(({ planner }) => planner)).toEqual(['dense', ...planners])
      for (const { achieved } of found.slice(1)) expect(achieved.neurons).toBeGreaterThan(0.2)
    }
    const [{ rows: byPlanner }] = evaluated
    for (const { tokenPerplexity } of byPlanner as readonly Evaluated[])
      expect(tokenPerplexity).toBeGreaterThan(1)
  })

  test('goes through the grid with what takes the place of skipped units, and least squares cost least on the text they are of', async () => {
    const which = ['--units', 'neurons', '--sparsity', '0.5', '--planner', 'static', '--scope', 'per-layer']
    const windows = [
      '--limit',
      '4',
      '--windows',
      '16+8',
      '--every',
      'once',
      '--prefill',
      'dense',
      '--no-speed',
    ]
    const place = ['--compensate', 'none,mean,least-squares', '--prompt-share', '0,0.2', '--scores', 'obs']
    const from = ['--wikitext', articles, '--calibration', calibration]
    const grid = ['reproduce', '--experiment', 'grid', '-m', model]
    const { experiments } = await runJson(...grid, ...which, ...windows, ...place, ...from)
    const [{ rows }] = experiments as readonly { rows: readonly { planner: string; kl: number }[] }[]
    const costs = new Map(rows.map(({ planner, kl }) => [planner, kl]))
    const [zero, mean, folded, prompted] = [
      '',
      ', mean',
      ', least squares',
      ', least squares with the prompt',
    ].map((words) => costs.get(`static, per layer, obs${words}`) ?? NaN)
    expect(folded).toBeLessThan(Math.min(zero, mean))
    expect(prompted).toBeLessThan(Math.min(zero, mean))
  })

  test('answers a chat with units skipped, and uses again what it has read', async () => {
    const always = [...half, '--planner', 'static', '--calibration', calibration]
    const args = ['chat', ...always, '--max-tokens', '4', '--json']
    const { code, stdout, stderr } = await runInside(args, { input: ['once', 'and then'] })
    expect([code, stderr]).toEqual([0, ''])
    const answers = stdout.trim().split('\n')
    const [first, second] = answers.map((line) => JSON.parse(line) as { prompt: Record<string, number> })
    expect([answers.length, first.prompt.reused]).toEqual([2, 0])
    expect(second.prompt.reused).toBeGreaterThanOrEqual(first.prompt.tokens)
  })

  test('is written without the neurons that a mask skips, and says the same; or with what they said folded in', async () => {
    const [smaller, folded] = ['smaller', 'folded'].map((name) => join(folder, `${family}-${name}`))
    const always = [...half, '--planner', 'static', '--calibration', calibration, '--head-sparsity', '0']
    await runJson('masks', 'Once upon', ...always, '-o', mask, '--quiet')
    const convert = ['convert', model]
    await runJson(...convert, smaller, '--mask', mask)
    await runJson(...convert, folded, '--mask', mask, '--moments', join(calibration, 'moments.safetensors'))
    const args = ['Once upon', '--max-tokens', '8']
    const masked = await runJson('generate', ...args, ...always)
    expect((await runJson('generate', ...args, '-m', smaller)).tokens).toEqual(masked.tokens)
    const perplexityOf = async (of: string): Promise<number | undefined> => {
      const { rows } = await runJson('perplexity', '-m', of, '--text', text, '--limit', '1')
      return (rows as readonly Evaluated[])[0].tokenPerplexity
    }
    expect(await perplexityOf(folded)).not.toBe(await perplexityOf(smaller))
  })
})
