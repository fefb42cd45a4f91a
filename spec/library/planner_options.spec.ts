/**
 * Planners at the library's door: each by its name, what it decides by read from files, on a model too small to mean
 * anything.
 */
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { plainact } from '../../src/criteria/plainact.ts'
import { calibrateToFolder } from '../../src/calibration/collect.ts'
import { openCalibration } from '../../src/calibration/open.ts'
import {
  achievedSparsity,
  collectText,
  denseMask,
  generationPlanners,
  givenMask,
  makeBudget,
  plannerNames,
  selectMask,
  ShadowError,
  ShadowModel,
  type MaskOptions,
  type MaskPlanner,
  type PlannerChoice,
  type UnitMask,
} from '../../src/library/index.ts'
import { argmax } from '../../src/engine/sampling.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import { networkShape, predictorKinds } from '../../src/predictor/predictor_config.ts'
import { DejavuPredictor } from '../../src/predictor/dejavu.ts'
import { DejavuStylePredictor } from '../../src/predictor/dejavu_style.ts'
import { makePredictorConfig } from '../../src/predictor/make_predictor_config.ts'
import { startingNetwork, type NetworkValues } from '../../src/predictor/network.ts'
import { keepsHeads, defaultPrefill, plannerOf } from '../../src/planners/index.ts'
import { promptPlanner, scoreText } from '../../src/planners/prompt_plainact.ts'
import { savePredictor } from '../../src/predictor/predictor_file.ts'
import { ShadowPredictor } from '../../src/predictor/shadow.ts'
import { Random } from '../../src/tensor/random.ts'
import { runJson } from '../cli/run_inside.ts'
import { fixtures } from '../golden/golden.ts'
import { unitKinds, type UnitKind } from '../../src/masks/mask.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-planners-'))
const calibration = join(folder, 'calibration')
const prompt = Int32Array.of(2, 5, 6, 7, 9)
let opt: ShadowModel

/** A predictor nobody trained, in a file. */
async function writePredictor(
  kind: (typeof predictorKinds)[number],
  of: ShadowModel,
  path = join(folder, kind),
  source?: Readonly<Record<string, string>>,
): Promise<void> {
  const { shape, backend } = of.model
  const subject = { criterion: 'plainact', seed: 1, examples: 1, dataHash: null }
  const config = makePredictorConfig(kind, { shape, width: of.config.width, ...subject })
  const random = new Random(3)
  const network = (of: UnitKind): NetworkValues => {
    const one = networkShape(config, of)
    return startingNetwork(one, new Float32Array(one.form === 'low-rank' ? 0 : one.outputs), random)
  }
  const perLayer = (of: UnitKind): NetworkValues[] =>
    Array.from({ length: shape.layers - 1 }, () => network(of))
  const values = Object.fromEntries(
    unitKinds.map((of) => [of, kind === 'shadow' ? network(of) : perLayer(of)]),
  ) as never
  const predictor =
    config.kind === 'shadow'
      ? new ShadowPredictor(backend, config, values)
      : config.kind === 'dejavu'
        ? new DejavuPredictor(backend, config, values)
        : new DejavuStylePredictor(backend, config, values)
  await savePredictor(path, predictor, { source })
  predictor.dispose()
}

beforeAll(async () => {
  opt = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
  for (const kind of predictorKinds) await writePredictor(kind, opt)
  await calibrate(opt, calibration)
})

/** Calibrates a model on random tokens. */
async function calibrate(of: ShadowModel, path: string): Promise<void> {
  const random = new Random(2)
  const windows = Array.from({ length: 3 }, (_, i) => {
    const tokens = Int32Array.from({ length: 8 }, () => random.below(of.config.vocabulary))
    return { document: `page ${i}`, genre: 'prose', tokens, promptLength: 4, words: 1 }
  })
  await calibrateToFolder({
    model: of.model,
    modelHash: '0'.repeat(64),
    source: { name: 'pages', windows },
    examples: windows.length,
    folder: path,
    criteria: ['plainact', 'fisher'],
  })
}

afterAll(async () => {
  await opt.dispose()
  expect(opt.model.backend.liveBuffers).toBe(0)
  rmSync(folder, { recursive: true })
})

/** A planner object that masks its prompt. */
const staticMask: MaskPlanner = {
  name: 'mine',
  by: 'attention',
  choose: () => {
    const mask = denseMask(opt.model.shape)
    mask.neurons.fill(0, opt.model.shape.neurons)
    return mask
  },
}

/** Ids of a text. */
async function write(options: Parameters<ShadowModel['generate']>[1]): Promise<number[]> {
  const tokens: number[] = []
  for await (const { token } of opt.generate(prompt, { maxTokens: 8, ...options })) tokens.push(token)
  return tokens
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => expect.unreachable(),
    (reason: unknown) => reason,
  )
  if (error instanceof ShadowError) return error.code
  throw error
}

test('onMask is called with the mask in force, before the first token and when it is another', async () => {
  const seen = async (options: Parameters<ShadowModel['generate']>[1]): Promise<unknown[]> => {
    const masks: unknown[] = []
    await write({ ...options, onMask: (mask) => void masks.push(mask) })
    return masks
  }
  expect(await seen({})).toEqual([null])
  const [once, ...more] = await seen({ planner: 'random', sparsity: 0.5 })
  expect(more).toEqual([])
  expect(once).toEqual(await opt.mask(prompt, { planner: 'random', sparsity: 0.5 }))
  expect((await seen({ planner: 'random', every: 3 })).length).toBeGreaterThan(1)
  // The prompt runs dense; its mask holds from the first token on.
  expect(await seen({ planner: 'griffin' })).toEqual([expect.objectContaining({ shape: opt.model.shape })])
})

test('a sparsity without a planner is that of shadow where MLPs are not gated, which needs a predictor', async () => {
  for (const options of [{ sparsity: 0.5 }, { headSparsity: 0.5 }, { neuronSparsity: 0 }]) {
    expect(await codeOf(opt.planner(options))).toBe('PREDICTOR_MISSING')
    expect(await codeOf(write(options))).toBe('PREDICTOR_MISSING')
    expect(await opt.planner({ planner: 'dense', ...options })).toBeNull()
  }
  expect(await opt.planner({ scope: 'per-layer' })).toBeNull()
})

test('of a gated model it is that of griffin, or glass by a calibration, until a predictor is there', async () => {
  const path = join(folder, 'gated')
  cpSync(`${fixtures}golden-llama/llama_gqa`, path, { recursive: true })
  await using gated = await ShadowModel.fromPretrained(path)
  const half = { sparsity: 0.5 }
  expect(await gated.usualPlanner()).toBe('dense')
  for (const options of [half, { neuronSparsity: 0.5 }, { headSparsity: 0, ...half }, { check: 2, ...half }])
    expect(await gated.usualPlanner(options)).toBe('griffin')
  expect(await gated.planner(half)).toMatchObject({ name: 'griffin' })
  // griffin refuses these.
  for (const options of [{ headSparsity: 0.2 }, { every: 4 }, { prefill: 'masked' as const }])
    expect(await gated.usualPlanner({ ...half, ...options })).toBe('shadow')
  await calibrate(gated, join(path, 'calibration'))
  await gated.loadCalibration(join(path, 'calibration'))
  expect(await gated.planner(half)).toMatchObject({ name: 'glass' })
  const beside = join(path, 'predictor.safetensors')
  await writePredictor('shadow', gated, beside)
  expect(await gated.planner(half)).toMatchObject({ name: 'shadow' })
  renameSync(beside, join(path, 'mine'))
  expect(await gated.usualPlanner(half)).toBe('glass')
  await gated.loadPredictor(join(path, 'mine'))
  expect(await gated.planner(half)).toMatchObject({ name: 'shadow' })
})

describe('a mask that is given back', () => {
  /** Prompt, options, tokens of the planner itself and under its mask, given back in one way. */
  async function eachOnce(
    gated: ShadowModel,
    give: (mask: UnitMask, planner: MaskPlanner | null) => MaskPlanner,
  ): Promise<string[]> {
    const others: string[] = []
    for (let seed = 0; seed < 6; seed++) {
      const random = new Random(seed)
      const text = Int32Array.from({ length: 6 }, () => random.below(gated.config.vocabulary))
      for (const options of [
        { planner: 'dense' },
        { planner: 'griffin', sparsity: 0.7 },
        { planner: 'coreinfer', sparsity: 0.7 },
        { planner: 'glass', sparsity: 0.7 },
        { planner: 'shadow', sparsity: 0.7 },
        { planner: 'shadow', sparsity: 0.7, prefill: 'dense' },
        { planner: 'random', sparsity: 0.7 },
        { planner: 'static', sparsity: 0.7, prefill: 'dense' },
      ] as const) {
        const mask = await gated.mask(text, options)
        const planner = give(mask, await gated.planner(options))
        const all = { maxTokens: 8 }
        const own = await collectText(gated.generate(text, { ...options, ...all }))
        const given = await collectText(gated.generate(text, { planner, ...all }))
        if (own.tokens.join() !== given.tokens.join()) others.push(JSON.stringify(options))
      }
    }
    return others
  }

  test('writes the text of its planner on a gated model, and not where its prompt runs another way', async () => {
    const path = join(folder, 'given')
    cpSync(`${fixtures}golden-llama/llama_gqa`, path, { recursive: true })
    await using gated = await ShadowModel.fromPretrained(path)
    await writePredictor('shadow', gated, join(path, 'predictor.safetensors'))
    await calibrate(gated, join(path, 'calibration'))
    await gated.loadCalibration(join(path, 'calibration'))
    expect(await eachOnce(gated, givenMask)).toEqual([])
    // Under its mask from the first token on.
    const forget = (mask: UnitMask): MaskPlanner => givenMask(mask, null)
    const others = (await eachOnce(gated, forget)).join()
    for (const name of ['griffin', 'coreinfer', 'glass', 'shadow']) expect(others).toContain(name)
    expect(others).not.toContain('"planner":"dense"')
    // Of a prompt that runs masked, the same mask behind a dense prompt is another text.
    const dense = (mask: UnitMask, planner: MaskPlanner | null): MaskPlanner => ({
      ...givenMask(mask, planner),
      prefill: 'dense',
    })
    expect(await eachOnce(gated, dense)).toContain('{"planner":"shadow","sparsity":0.7}')
  })

  test('keeps what takes the place of skipped units', () => {
    const compensation = { seesPrompt: false, fold: () => ({ rows: null, bias: null }) }
    const mask = denseMask(opt.model.shape)
    expect(givenMask(mask, { ...staticMask, compensation }).compensation).toBe(compensation)
  })

  test('is refused where its planner decides more than once, or is no mask', async () => {
    const mask = denseMask(opt.model.shape)
    const given = async (planner: MaskPlanner, of = mask): Promise<unknown> => givenMask(of, planner)
    expect(await codeOf(given({ ...staticMask, every: 2 }))).toBe('PLANNER')
    expect(await codeOf(given({ name: 'layers', by: 'layer', choose: () => expect.unreachable() }))).toBe(
      'PLANNER',
    )
    expect(await codeOf(given(staticMask, 'mask' as never))).toBe('MASK_SHAPE')
  })
})

test('beside a planner object every option that chooses a planner is refused, but the seed, which the sampler reads', async () => {
  const values: Required<PlannerChoice> = {
    sparsity: 0,
    headSparsity: 0.5,
    neuronSparsity: 0.5,
    scope: 'global',
    criterion: 'plainact',
    every: 2,
    prefill: 'dense',
    compensate: 'none',
    ridge: 0.1,
    promptShare: 0,
    paperCompatible: false,
    seed: 0,
  }
  for (const [option, value] of Object.entries(values)) {
    const options = { planner: staticMask, [option]: value }
    for (const call of [write(options), opt.mask(prompt, options), opt.planner(options)])
      if (option === 'seed') await call
      else
        await expect(call, option).rejects.toMatchObject({
          code: 'PLANNER',
          message: `planner mine: expected no ${option} beside a planner object, which decides that itself, got ${value}${option === 'every' || option === 'prefill' ? `; set ${option} in the planner` : ''}`,
        })
  }
  expect(await codeOf(opt.forward(prompt, { planner: staticMask, every: 2 }))).toBe('PLANNER')
})

describe('before anything is read', () => {
  test('a missing input of a planner is named', async () => {
    for (const planner of predictorKinds)
      expect(await codeOf(opt.mask(prompt, { planner })), planner).toBe('PREDICTOR_MISSING')
    expect(await codeOf(opt.mask(prompt, { planner: 'static' }))).toBe('CALIBRATION_MISSING')
    await expect(opt.mask(prompt, { planner: 'oracle' })).rejects.toMatchObject({
      code: 'CONTINUATION',
      message: 'planner oracle: expected a continuation, got none',
    })
    expect(await codeOf(write({ planner: 'oracle' as 'dense' }))).toBe('PLANNER')
  })
})

describe('once predictors and a calibration are read', () => {
  beforeAll(async () => {
    const kinds = await Promise.all(predictorKinds.map((kind) => opt.loadPredictor(join(folder, kind))))
    expect(kinds).toEqual(predictorKinds)
    await opt.loadCalibration(calibration)
  })

  test('every planner keeps its share, and skipped text = simulated text', async () => {
    for (const planner of plannerNames) {
      const options = { planner, continuation: [3, 4], sparsity: 0.5 }
      const mask = await opt.mask(prompt, options)
      const { heads, neurons, channels } = achievedSparsity(mask, opt.config)
      const expected =
        planner === 'dense' || plannerOf(planner).skips === 'channels' ? 0 : 0.5 / opt.model.shape.layers
      // The share of cats is that of all tokens of the prompt.
      const share = planner === 'cats' ? neurons : expected
      expect([heads, neurons], planner).toEqual([keepsHeads(planner) ? 0 : expected, share])
      expect(channels === undefined, planner).toBe(plannerOf(planner).skips !== 'channels')
      // The share of teal is that of all tokens of the prompt.
      if (planner === 'wina') expect(channels).toBe(0.5 / opt.model.shape.layers)
    }
    for (const planner of generationPlanners) {
      const every = defaultPrefill(planner) === 'dense' ? undefined : 3
      const skipped = await write({ planner, every })
      expect(await write({ planner, every, mode: 'simulate' }), planner).toEqual(skipped)
    }
  })

  test('a planner of neurons refuses a share of heads, a masked prompt and a second decision', async () => {
    for (const [code, options] of [
      ['SPARSITY', { headSparsity: 0.5 }],
      ['PREFILL', { prefill: 'masked' }],
      ['EVERY', { every: 3 }],
    ] as const)
      for (const planner of generationPlanners.filter(keepsHeads)) {
        expect(await codeOf(write({ planner, ...options })), planner).toBe(code)
        expect(await codeOf(opt.mask(prompt, { planner, ...options })), planner).toBe(code)
      }
    expect(await codeOf(write({ planner: 'random', prefill: 'half' as 'dense' }))).toBe('PREFILL')
  })

  test('static keeps the units the calibration ranks highest, by any of its criteria', async () => {
    const opened = await openCalibration(calibration)
    for (const criterion of ['plainact', 'fisher'])
      expect(await opt.mask(prompt, { planner: 'static', criterion, sparsity: 0.75 })).toEqual(
        selectMask(await opened.aggregate(criterion), makeBudget(0.75)),
      )
    expect(await codeOf(opt.mask(prompt, { planner: 'static', criterion: 'snip' }))).toBe('CRITERION_NAME')
  })

  test('the oracle keeps what the continuation scores highest', async () => {
    const continuation = [11, 12, 13]
    const tokens = Int32Array.of(...prompt, ...continuation)
    const labels = tokens.map((id, t) => (t < prompt.length ? -100 : id))
    const oracleScores = scoreText(opt.model, tokens, labels, plainact)
    const expected = selectMask(oracleScores, makeBudget(0.5))
    expect(await opt.mask(prompt, { planner: 'oracle', continuation })).toEqual(expected)
    const other = await opt.mask(prompt, { planner: 'oracle', continuation: [1, 1, 1] })
    expect(other).not.toEqual(expected)
  })

  test('head and neuron budgets, scope, seed and policy have their effect', async () => {
    const mask = (options: MaskOptions): ReturnType<typeof opt.mask> =>
      opt.mask(prompt, { planner: 'random', sparsity: 0.5, ...options })
    const own = await mask({ headSparsity: 0, neuronSparsity: 0.25 })
    expect(achievedSparsity(own, opt.config)).toMatchObject({ heads: 0, neurons: 0.125 })
    expect(await mask({ seed: 1 })).not.toEqual(await mask({ seed: 2 }))
    expect(await mask({ scope: 'per-layer' })).toEqual(await mask({ scope: 'global' })) // one ranked layer
    const skipped = achievedSparsity(await mask({ paperCompatible: true, seed: 5 }), opt.config)
    expect(skipped.neurons).toBeLessThan(0.5)
    expect(skipped.neurons).not.toBe(0.25)
    expect(await codeOf(mask({ scope: 'local' as 'global' }))).toBe('SCOPE')
  })

  test('a text with a decision every R tokens equals that of the sequence', async () => {
    const planner = { ...promptPlanner(opt.model, makeBudget(0.9)), every: 2 }
    const sequence = opt.model.begin({ planner })
    const expected: number[] = []
    for (let next = prompt; expected.length < 8; next = Int32Array.of(expected.at(-1) as number))
      expected.push(argmax(sequence.feed(next, 'last')))
    sequence.dispose()
    const options = { planner: 'prompt-plainact', sparsity: 0.9 } as const
    expect(await write({ ...options, every: 2 })).toEqual(expected)
  })

  test('every auto is a decision where a window of five tokens has shifted by more than a tenth', async () => {
    const made = await opt.planner({ planner: 'prompt-plainact', sparsity: 0.9, every: 'auto' })
    expect([made?.every, made?.shift]).toEqual([5, 0.1])
    const planner = { ...promptPlanner(opt.model, makeBudget(0.9)), every: 5, shift: 0.1 }
    const options = { planner: 'prompt-plainact', sparsity: 0.9 } as const
    expect(await write({ ...options, every: 'auto' })).toEqual(await write({ planner }))
    for (const planner of generationPlanners.filter(
      (name) => plannerOf(name).skips === 'neurons' || name === 'dejavu',
    ))
      expect(await codeOf(write({ planner, every: 'auto' })), planner).toBe('EVERY')
    expect(await codeOf(write({ planner: 'random', every: 'often' as 'auto' }))).toBe('EVERY')
  })

  test('a text that is checked is the dense one under every planner, after a dense prompt', async () => {
    for (const temperature of [0, 1.5]) {
      const dense = await write({ temperature })
      for (const planner of generationPlanners)
        expect(await write({ planner, temperature, check: 3 }), planner).toEqual(dense)
    }
    expect(await write({ planner: { ...staticMask, prefill: 'dense' }, check: 3 })).toEqual(await write({}))
    for (const [code, options] of [
      ['CHECK', { check: 0 }],
      ['CHECK', { check: 1.5 }],
      ['PREFILL', { check: 2, prefill: 'masked' }],
      ['PREFILL', { check: 2, planner: staticMask }],
      ['EVERY', { check: 2, every: 2 }],
      ['EVERY', { check: 2, every: 'auto' }],
    ] as const)
      expect(await codeOf(write({ planner: 'random', ...options })), JSON.stringify(options)).toBe(code)
  })

  test('dense keeps every unit, and a custom planner decides by itself', async () => {
    expect(await opt.mask(prompt, { planner: 'dense' })).toEqual(denseMask(opt.model.shape))
    const mine = denseMask(opt.model.shape)
    mine.heads.fill(0, opt.model.shape.heads)
    expect(
      await opt.mask(prompt, { planner: { name: 'mine', by: 'attention', choose: () => mine } }),
    ).toEqual(mine)
  })

  test('a predictor or calibration for another model is refused', async () => {
    const other = await ShadowModel.fromPretrained()
    const before = other.model.backend.liveBuffers
    expect(await codeOf(other.loadCalibration(calibration))).toBe('CALIBRATION_MODEL')
    for (const kind of predictorKinds)
      expect(await codeOf(other.loadPredictor(join(folder, kind)))).toBe('PREDICTOR_MODEL')
    expect(other.model.backend.liveBuffers).toBe(before)
    await other.dispose()
  })
})

describe('planners by name that are measured', () => {
  const text = 'Once upon a time, there was a little dog who liked to play in the park. '.repeat(12)
  const file = join(folder, 'text.txt')
  const flags = ['--text', file, '--by', 'stream', '--context', '64', '--windows', '2', '--quiet']
  const how = { text, context: 64, windows: 2, protocols: ['stream'] } as const

  /** The rows of the library, and those of the command of these flags. */
  async function bothRows(
    model: ShadowModel,
    compared: Parameters<ShadowModel['compareMethods']>[0],
    ...more: string[]
  ): Promise<[library: unknown, command: unknown]> {
    const { rows } = await textPerplexity({
      ...model.measured,
      ...how,
      ...(await model.compareMethods(compared)),
    })
    const report = await runJson('perplexity', ...flags, ...more)
    return [JSON.parse(JSON.stringify(rows)), report.rows]
  }

  test('shadow is measured by the predictor of this package, with the numbers of the command', async () => {
    writeFileSync(file, text)
    const embedded = await ShadowModel.fromPretrained()
    const compared = { planners: ['shadow', 'random'], sparsities: [0.5] } as const
    const args = ['--planner', 'shadow,random', '--sparsity', '0.5']
    const [rows, expected] = await bothRows(embedded, compared, ...args)
    expect(rows).toEqual(expected)
    expect((rows as { planner: string }[]).map(({ planner }) => planner)).toEqual([
      'dense',
      'shadow',
      'random',
    ])
    const path = join(folder, 'untrained')
    await writePredictor('shadow', embedded, path)
    await embedded.loadPredictor(path)
    const [other, given] = await bothRows(embedded, compared, ...args, '--predictor', path)
    expect(other).toEqual(given)
    expect(other).not.toEqual(rows)
    await embedded.dispose()
  })

  test('shadow is used as its predictor was learnt, and by an option where that says otherwise', async () => {
    const embedded = await ShadowModel.fromPretrained()
    const path = join(folder, 'learnt')
    await writePredictor('shadow', embedded, path, { scope: 'per-layer', prefill: 'dense' })
    // It is still being read when the methods are asked for.
    const loading = embedded.loadPredictor(path)
    const both = { planners: ['random', 'shadow'], sparsities: [0.5] } as const
    const { methods, sources } = await embedded.compareMethods(both)
    expect(methods.map(({ planner, scope, prefill }) => [planner, scope, prefill])).toEqual([
      ['dense', 'global', undefined],
      ['random', 'global', undefined],
      ['shadow', 'per-layer', 'dense'],
    ])
    expect(sources.predictors?.map(({ kind }) => kind)).toEqual(['shadow'])
    await loading
    const { methods: asked } = await embedded.compareMethods({ ...both, scope: 'global' })
    expect(asked[2].scope).toBe('global')
    await embedded.dispose()
  })

  test('every planner by name has what it decides by, or says what is missing', async () => {
    const model = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
    const compare = (planner: (typeof plannerNames)[number]) =>
      model.compareMethods({ planners: [planner], sparsities: [0.5] })
    const ready = (planner: (typeof plannerNames)[number]): Promise<string> => codeOf(compare(planner))
    expect(await ready('shadow')).toBe('PREDICTOR_MISSING')
    expect(await ready('dejavu')).toBe('PLANNER_SOURCE')
    expect(await ready('static')).toBe('CALIBRATION_MISSING')
    for (const kind of predictorKinds) await model.loadPredictor(join(folder, kind))
    await model.loadCalibration(calibration)
    for (const planner of plannerNames)
      expect((await compare(planner)).methods.at(-1)?.planner, planner).toBe(planner)
    expect(await ready('shade' as never)).toBe('PLANNER')
    const wrong = { planners: ['random'], sparsity: 0.5 } as never
    expect(await codeOf(model.compareMethods(wrong))).toBe('OPTION_NAME')
    await model.dispose()
  })
})

test('a planner that needs gradients is refused for weights without any, before the prompt runs', async () => {
  const rounded = await ShadowModel.fromPretrained(`${fixtures}golden/preln`, { storage: 'int8' })
  const words =
    "planner prompt-plainact: expected weights in f32, bf16, f16, which have gradients, got int8; --storage f32 or { storage: 'f32' } widens them"
  await expect(rounded.planner({ planner: 'prompt-plainact' })).rejects.toMatchObject({
    code: 'STORAGE',
    message: words,
  })
  expect(await rounded.planner({ planner: 'random' })).not.toBeNull()
  await rounded.dispose()
})

test('a refusal names what reads a file from a program and from the command line', async () => {
  const bare = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
  await expect(bare.planner({ planner: 'static' })).rejects.toThrow(
    '--calibration or loadCalibration reads it',
  )
  await expect(bare.planner({ planner: 'dejavu' })).rejects.toThrow('--predictor or loadPredictor reads it')
  await bare.dispose()
})
