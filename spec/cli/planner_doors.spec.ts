/**
 * Every door chooses the same planner where a share is named alone, and uses a predictor as it was learnt.
 *
 * Tests src/cli/planner_flags.ts and src/library/planner_options.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { ShadowModel, type PlanOptions } from '../../src/library/index.ts'
import { achievedSparsity } from '../../src/masks/achieved.ts'
import { rankingOf } from '../../src/planners/ranking.ts'
import { savePredictor } from '../../src/predictor/predictor_file.ts'
import { writeChatModel } from '../library/chat_model.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-planner-doors-'))
afterAll(() => rmSync(folder, { recursive: true }))
const [gated, text, learnt] = ['gated', 'page.txt', 'learnt.safetensors'].map((name) => join(folder, name))
const use = { scope: 'per-layer', prefill: 'dense', headSparsity: 0 } as const

beforeAll(async () => {
  const sizes = { hidden_size: 16, num_hidden_layers: 4, num_attention_heads: 4, intermediate_size: 32 }
  await writeChatModel(gated, { config: { model_type: 'llama', ...sizes } })
  writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(30))
  await using opt = await ShadowModel.fromPretrained(gated)
  const predictor = randomPredictor('shadow', opt.config, await createBackend('reference'), 'f32', 5)
  await savePredictor(learnt, predictor, { source: { ...use, neuronSparsity: 0.5 } })
})

/** A planner, the scope of its units, whether heads are skipped, and what stderr tells. */
interface Chosen {
  readonly planner: string
  readonly scope: string
  readonly skipsHeads: boolean
  readonly told?: string
}

/** What commands tell of a planner with --json. */
interface Told {
  readonly planner: string
  readonly scope: string
  readonly headSparsity?: number
  readonly achieved: { readonly heads: number }
  readonly rows: readonly Told[]
}

async function told(args: readonly string[], json: (output: Told) => Omit<Chosen, 'told'>): Promise<Chosen> {
  const found = await runInside([...args, '--json'])
  expect(found).toMatchObject({ code: 0 })
  return json(JSON.parse(found.stdout) as Told)
}

const measuring = ['--text', '', '--by', 'stream', '--context', '32', '--windows', '1']
const few = ['--prompt', '8', '--continuation', '4']
const rowOf = ({ rows }: Told): Omit<Chosen, 'told'> => {
  const { planner, scope, achieved } = rows[1]
  return { planner, scope, skipsHeads: achieved.heads > 0 }
}

/** What each door chooses of a model by these flags. */
const doors: Readonly<
  Record<string, (model: readonly string[], flags: readonly string[]) => Promise<Chosen>>
> = {
  generate: (model, flags) =>
    told(
      ['generate', 'The sea', ...model, ...flags, '--max-tokens', '2'],
      ({ planner, scope, headSparsity }) => ({
        planner,
        scope,
        skipsHeads: planner !== 'griffin' && headSparsity !== 0,
      }),
    ),
  masks: (model, flags) =>
    told(['masks', 'The sea and the men', ...model, ...flags], ({ planner, scope, achieved }) => ({
      planner,
      scope,
      skipsHeads: achieved.heads > 0,
    })),
  perplexity: (model, flags) =>
    told(['perplexity', ...model, ...measuring.map((word) => word || text), ...flags], rowOf),
  eval: (model, flags) =>
    told(
      ['eval', '--tasks', 'continuation', '--limit', '2', '--text', text, ...few, ...model, ...flags],
      rowOf,
    ),
  library: async ([, model = 'embedded'], flags) => {
    await using opt = await ShadowModel.fromPretrained(model)
    const at = flags.indexOf('--predictor')
    if (at >= 0) await opt.loadPredictor(flags[at + 1])
    const options: PlanOptions = { sparsity: 0.5, ...(flags.includes('per-layer') && { scope: 'per-layer' }) }
    const planner = await opt.planner(options)
    const { heads } = achievedSparsity(await opt.mask('The sea and the men', options), opt.config)
    const scope = rankingOf(planner)?.budget.scope ?? 'per-layer'
    return { planner: planner?.name ?? 'dense', scope, skipsHeads: heads > 0 }
  },
}

describe.each(Object.keys(doors))('%s', (name) => {
  const chosen = (model: readonly string[], ...flags: string[]): Promise<Chosen> =>
    doors[name](model, ['--sparsity', '0.5', ...flags])

  test('a share alone means shadow where MLPs are not gated, and griffin where they are', async () => {
    expect(await chosen([])).toEqual({ planner: 'shadow', scope: 'global', skipsHeads: true })
    expect(await chosen(['-m', gated])).toEqual({ planner: 'griffin', scope: 'per-layer', skipsHeads: false })
  })

  test('a predictor means shadow, used as it was learnt', async () => {
    const asLearnt = { planner: 'shadow', scope: 'per-layer', skipsHeads: false }
    expect(await chosen(['-m', gated], '--predictor', learnt)).toEqual(asLearnt)
  })
})

test('a line tells which planner a share means, and how a predictor was learnt, unless only data is asked for', async () => {
  const run = async (...flags: string[]): Promise<string> =>
    (await runInside(['masks', 'The sea', '-m', gated, ...flags])).stderr
  const write = async (sparsity: string): Promise<string> =>
    (await runInside(['generate', 'The sea', '-m', gated, '--sparsity', sparsity, '--max-tokens', '2']))
      .stderr
  const implied = 'planner griffin, as none was named; it skips neurons alone'
  expect(await run()).toBe(`${implied}\n`)
  // A mask that nobody reads a text of costs nobody anything.
  expect(await write('0.5')).toContain(`${implied}; half of the neurons of a gated model`)
  expect(await write('1')).toContain(`${implied}; all of the neurons of a gated model`)
  expect(await write('0.3')).toContain(`${implied}\n`)
  expect(await run('--json')).toBe('')
  expect(await run('-q')).toBe('')
  const words = '--scope per-layer --prefill dense --head-sparsity 0'
  expect(await run('--predictor', learnt)).toContain(`learnt.safetensors: used as it was learnt, ${words}`)
  expect(await run('--predictor', learnt, '--scope', 'global')).toContain(
    'learnt.safetensors: learnt with --scope per-layer, used with --scope global\n',
  )
  expect(await run('--predictor', learnt, '--head-sparsity', '0.5')).toContain(
    'learnt.safetensors: learnt with --head-sparsity 0, used with --head-sparsity 0.5\n',
  )
})
