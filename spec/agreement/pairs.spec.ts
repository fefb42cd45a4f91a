/**
 * Pairs of options: a text is the same from the library, the page's model, the server and the command line, under every pair of
 * values of two options that they share.
 *
 * The options are those of `generate` (src/library/options.ts), without listeners: one that is added there has to have values here. Flags and
 * fields are derived from their names. Tests src/library/shadow_model.ts, src/library/planner_options.ts, src/server/text_service.ts,
 * src/server/writer.ts, src/web/engine/remote_model.ts and src/cli/writing_flags.ts.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { scoreTokens } from '../../src/server/token_scores.ts'
import { ShadowError, ShadowModel, type GenerateOptions, type TextRun } from '../../src/library/index.ts'
import { generateKinds } from '../../src/library/options.ts'
import { bodies } from '../../src/server/requests.ts'
import { generateTokens } from '../../src/engine/generate.ts'
import { makeSampler, samplingOptions, type SamplerOptions } from '../../src/engine/sampling.ts'
import { openPredictor, type Predictor } from '../../src/predictor/predictor_file.ts'
import { inputsFrom, makeMethod, planMethod, type Method } from '../../src/results/method.ts'
import { createEngine } from '../../src/web/engine/engine.ts'
import { RemoteModel } from '../../src/web/engine/remote_model.ts'
import { RpcClient, serveCalls } from '../../src/web/engine/worker_rpc.ts'
import { runInside } from '../cli/run_inside.ts'
import { coverPairs, givenOf, type CoveringRows, type OptionRow } from '../harness/pairs.ts'
import { sameData } from '../harness/recorded.ts'
import { isQuick } from '../harness/tier.ts'
import { writeSmallFiles } from '../cli/options/small_files.ts'
import { ask, complete, serverOf, type Completion, type Refused } from '../server/served.ts'

type Shared = Exclude<keyof GenerateOptions, 'signal' | 'session' | 'stop' | 'sampler' | 'onMask' | 'onEnd'>

/** Values of each option; undefined is "not given". Each list has one that is refused beside some others, or none. */
const values: Readonly<Record<Shared, readonly unknown[]>> = {
  planner: [undefined, 'random', 'prompt-plainact', 'shadow', 'dejavu', 'griffin', 'cats', 'teal'],
  sparsity: [undefined, 0.3, 0.75],
  headSparsity: [undefined, 0, 0.6],
  neuronSparsity: [undefined, 0.4],
  scope: [undefined, 'per-layer'],
  criterion: [undefined, 'l2norm'],
  every: [undefined, 1, 3, 'auto'],
  prefill: [undefined, 'dense', 'masked'],
  // Others read moments, which a page has none of; option_effects.spec.ts and method_fields.spec.ts try them.
  compensate: [undefined, 'none'],
  ridge: [undefined],
  promptShare: [undefined],
  paperCompatible: [undefined, true],
  seed: [undefined, 7],
  mode: [undefined, 'simulate', 'pack'],
  check: [undefined, 3],
  maxTokens: [6, 9],
  cache: [undefined, 'int8'],
  // Without one the three below are refused.
  temperature: [0, 0.9],
  topK: [undefined, 5],
  topP: [undefined, 0.8],
  minP: [undefined, 0.2],
  repetitionPenalty: [undefined, 1.3],
  presencePenalty: [undefined, 0.9],
  frequencyPenalty: [undefined, 0.7],
  logitBias: [undefined, { 5: 2.5, 9: -100 }],
}

test('every option of generate but its functions, its session and its stop texts, which the command line has not, has values', () => {
  const listeners = ['signal', 'session', 'stop', 'sampler', 'onMask', 'onEnd']
  expect(Object.keys(values).toSorted()).toEqual(
    Object.keys(generateKinds)
      .filter((name) => !listeners.includes(name))
      .toSorted(),
  )
})

let folder: string
let opt: ShadowModel
let remote: RemoteModel
const predictors: Predictor[] = []
const prompt = 'abcdefgh ijk'
beforeAll(async () => {
  folder = await writeSmallFiles()
  const path = join(folder, 'model')
  opt = await ShadowModel.fromPretrained(path, { backend: 'wasm' })
  await opt.loadPredictor(join(folder, 'predictors/dejavu.safetensors'))
  for (const file of ['predictors/dejavu.safetensors', 'model/predictor.safetensors'])
    predictors.push(await openPredictor(join(folder, file), opt.model.backend, opt.model.weights.storage))
  const serve = serveCalls(createEngine(), (message) => line.receive(structuredClone(message)))
  const line = new RpcClient((message) => serve(structuredClone(message)))
  remote = await RemoteModel.fromPretrained(line, path)
}, 60_000)
afterAll(async () => {
  await remote.dispose()
  for (const predictor of predictors) predictor.dispose()
  await opt.dispose()
  rmSync(folder, { recursive: true })
})

/** What a path says of a text; a code in place of it where the path refuses. */
interface Told {
  readonly text?: string
  readonly tokens?: readonly number[]
  readonly count?: number
  readonly decisions?: number
  readonly checked?: TextRun['checked']
  readonly refused?: string
}

type Path = (options: OptionRow) => Promise<Told | null>

const codeOf = (error: unknown): Told => {
  if (error instanceof ShadowError) return { refused: error.code }
  throw error
}

const library: Path = async (options) => {
  let run: TextRun | undefined
  const tokens: number[] = []
  let text = ''
  try {
    for await (const step of opt.generate(prompt, { ...options, onEnd: (end) => void (run = end) })) {
      tokens.push(step.token)
      text += step.text
    }
  } catch (error) {
    return codeOf(error)
  }
  return { text, tokens, count: tokens.length, decisions: run?.decisions, checked: run?.checked ?? null }
}

const page: Path = async (options) => {
  // A predictor that is loaded later is none of the page's.
  if (options.planner === 'dejavu') return null
  const tokens: number[] = []
  let text = ''
  try {
    for await (const step of remote.generate(prompt, options)) {
      tokens.push(step.token)
      text += step.text
    }
  } catch (error) {
    return codeOf(error)
  }
  return { text, tokens, count: tokens.length }
}

const fieldOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** Options that a request can say itself, and all others as the server is begun with them. */
const server =
  (says: boolean): Path =>
  async (options) => {
    const given = givenOf(options)
    const isField = (name: string): boolean => fieldOf(name) in bodies.completion.entries
    const drawing = [...Object.keys(samplingOptions), 'maxTokens']
    const inRequest = Object.entries(given).filter(
      ([name]) => isField(name) && (says || drawing.includes(name)),
    )
    const { mode, cache, ...planning } = Object.fromEntries(
      Object.entries(given).filter(([name]) => !inRequest.some(([other]) => other === name)),
    )
    const shares = ['sparsity', 'headSparsity', 'neuronSparsity']
    // A request that says a sparsity says it of heads and neurons.
    if (says && 'sparsity' in given && ('headSparsity' in given || 'neuronSparsity' in given)) return null
    const usual = shares.some((name) => name in planning) ? 'shadow' : 'dense'
    const service = serverOf(opt, {
      planning: { planner: usual, ...planning } as never,
      mode: mode as never,
      cache: cache as never,
      report: () => {},
    })
    const { status, json } = await ask<Completion & Refused>(service, '/v1/completions', {
      prompt,
      temperature: 0,
      seed: 0,
      ...Object.fromEntries(inRequest.map(([name, value]) => [fieldOf(name), value])),
    })
    if (status !== 200) return { refused: json.error.code }
    const [{ text, decisions, checked, finish_reason: end }] = json.choices
    // A client pays for the token that ends a text, which is not handed out.
    const count = json.usage.completion_tokens - (end === 'stop' ? 1 : 0)
    return { text, count, decisions, checked: checked ?? null }
  }

const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

const commandLine: Path = async (options) => {
  const has = (...names: Shared[]): boolean => names.some((name) => options[name] !== undefined)
  // Flags of what is skipped, where nothing is, are refused here alone.
  const isDense = !has('planner', 'sparsity', 'headSparsity', 'neuronSparsity')
  if (isDense && has('every', 'prefill', 'check', 'paperCompatible')) return null
  const flags = Object.entries(givenOf(options)).flatMap(([name, value]) =>
    value === true
      ? [flagOf(name)]
      : [flagOf(name), typeof value === 'object' ? JSON.stringify(value) : String(value)],
  )
  const files =
    options.planner === 'dejavu' ? ['--predictor', join(folder, 'predictors/dejavu.safetensors')] : []
  const args = ['generate', prompt, '-m', join(folder, 'model'), '--json', '--quiet', ...flags, ...files]
  const { code, stdout, stderr } = await runInside(args)
  if (code !== 0) return { refused: /\[(\w+)\]\s*$/.exec(stderr)?.[1] ?? stderr }
  const { text, tokens, decisions = 0, checked = null } = JSON.parse(stdout) as Told
  return { text, tokens, count: tokens?.length, decisions, checked }
}

/** The same without the options of the library: a method, its planner, and the tokens under it. */
const byHand: Path = async (options) => {
  const {
    sparsity = 0.5,
    headSparsity,
    neuronSparsity,
    scope = 'global',
    criterion = 'plainact',
    every,
    check,
  } = options
  const isSparse = [options.sparsity, headSparsity, neuronSparsity].some((share) => share !== undefined)
  const { planner = isSparse ? 'shadow' : 'dense', seed = 0, prefill, paperCompatible, maxTokens } = options
  const { mode, cache } = options
  const sampling = Object.fromEntries(
    Object.keys(samplingOptions).map((name) => [name, options[name as Shared]]),
  )
  const given = { planner, sparsity, headSparsity, neuronSparsity, scope, criterion, every, paperCompatible }
  // What is checked follows a dense prompt.
  const method = { ...given, prefill: prefill ?? (check === undefined ? undefined : 'dense') }
  const tokens: number[] = []
  try {
    const { model } = opt
    const made = makeMethod(givenOf(method) as unknown as Method)
    const own = planMethod(model, made, inputsFrom({ predictors })(made), { seed: seed as number })
    const sampler = makeSampler({ ...sampling, seed } as SamplerOptions)
    const how = { planner: own, mode, cache, check, sampler, maxTokens } as Parameters<
      typeof generateTokens
    >[2]
    const prompted = Int32Array.from(opt.encode(prompt, { prefix: true }))
    for await (const { token } of generateTokens(model, prompted, how)) tokens.push(token)
  } catch (error) {
    return codeOf(error)
  }
  return { tokens, count: tokens.length }
}

const paths: Readonly<Record<string, Path>> = {
  'a method by hand': byHand,
  'the page': page,
  'a server that was begun so': server(false),
  'a request that says so': server(true),
  'the command line': commandLine,
}

/** @throws Error for the first thing that two paths tell differently. @returns how many paths told a text */
async function expectAgreement(options: OptionRow, others = paths): Promise<number> {
  const expected = (await library(givenOf(options))) as Told
  let count = 0
  for (const [name, path] of Object.entries(others)) {
    const actual = await path(options)
    if (actual === null) continue
    const common = Object.keys(expected).filter((key) => key in actual || 'refused' in expected)
    const words = `${name} with ${JSON.stringify(givenOf(options))}`
    if ('refused' in actual && !('refused' in expected)) sameData(words, actual, expected)
    for (const key of common)
      sameData(`${words}: ${key}`, actual[key as keyof Told], expected[key as keyof Told])
    count++
  }
  return 'refused' in expected ? 0 : count
}

const quickPaths = Object.entries(paths)

describe('a text is the same along every path', () => {
  let covering: CoveringRows
  beforeAll(async () => {
    covering = await coverPairs(
      values,
      async (row) => !('refused' in ((await library({ ...row, maxTokens: 1 })) ?? {})),
      3,
    )
  }, 60_000)

  test('under every pair of values of two options', { timeout: 120_000 }, async () => {
    let told = 0
    const { rows, refused } = covering
    for (const [i, row] of [...rows, ...refused.slice(0, 12)].entries()) {
      // The command line opens a model for each text: the quick tier tries it with every fourth row.
      const others =
        isQuick && i % 4 > 0 ? quickPaths.filter(([name]) => name !== 'the command line') : quickPaths
      told += await expectAgreement(row, Object.fromEntries(others))
    }
    expect(told, 'texts that were compared').toBeGreaterThan(2 * rows.length)
  })

  test(
    'a path that drops an option, alone or beside another one, is found',
    { timeout: 120_000 },
    async () => {
      const dropping =
        (name: Shared, beside: Shared | null): Path =>
        async (options) =>
          beside === null || options[beside] !== undefined
            ? library({ ...options, [name]: undefined })
            : library(options)
      const mutants: [Shared, Shared | null][] = [
        ['sparsity', null],
        ['every', 'check'],
        ['prefill', 'planner'],
        ['paperCompatible', 'sparsity'],
        ['check', 'temperature'],
        ['cache', 'mode'],
        ['criterion', null],
        ['topK', 'temperature'],
        ['minP', 'temperature'],
        ['frequencyPenalty', null],
        ['logitBias', null],
      ]
      for (const [name, beside] of mutants) {
        const found: unknown[] = []
        for (const row of covering.rows) {
          if (row[name] === undefined) continue
          await expectAgreement(row, { mutant: dropping(name, beside) }).catch((error: unknown) =>
            found.push(error),
          )
          if (found.length > 0) break
        }
        expect(found.length, `${name} dropped beside ${beside ?? 'any'}`).toBe(1)
      }
    },
  )
})

test('the texts of a request are those of the library with one seed after the other', async () => {
  const drawn = { temperature: 1, seed: 2 ** 32 - 2, maxTokens: 5 }
  const service = serverOf(opt)
  const { choices } = await complete(service, {
    prompt: [prompt, prompt],
    n: 3,
    temperature: drawn.temperature,
    seed: drawn.seed,
    max_tokens: drawn.maxTokens,
  })
  const texts: unknown[] = []
  for (const seed of [drawn.seed, drawn.seed + 1, 0]) texts.push((await library({ ...drawn, seed }))?.text)
  expect(choices.map(({ text }) => text)).toEqual([...texts, ...texts])
  expect(new Set(texts).size).toBe(3)
})

// ---- Scored prompts --------------------------------------------------------------------------------------------------

/** Fields of a request for a scored prompt. */
const scoring = {
  planner: ['dense', 'random', 'prompt-plainact', 'griffin', 'cats'],
  sparsity: [undefined, 0.6],
  every: [undefined, 2],
  check: [undefined, 2],
  mask_prompt_tokens: [undefined, 2, 100],
  max_tokens: [0, 3],
  n: [undefined, 2],
  logprobs: [0, 2],
  add_special_tokens: [undefined, true],
}

/** The log-probabilities of a prompt as the service says it scores them (src/server/writer.ts). */
async function scoredByHand(
  options: OptionRow,
): Promise<{ ids: number[]; logprobs: (number | null)[] } | null> {
  const { planner: name, sparsity, every, check, mask_prompt_tokens: seenAtMost = 8 } = options
  // A share of what dense skips is refused.
  if (name === 'dense' && sparsity !== undefined) return null
  const ids = opt.encode(prompt, { prefix: options.add_special_tokens === true })
  const model = opt.model
  try {
    const plan = { planner: name, sparsity, every, check, seed: 5 } as GenerateOptions
    const planner = await opt.planner(givenOf(plan as OptionRow))
    const seen = planner && check === undefined ? Math.min(Number(seenAtMost), ids.length) : ids.length
    const tokens = Int32Array.from(ids)
    const logprobs: (number | null)[] = [null]
    const score = (logits: Float32Array, token: number): void =>
      void logprobs.push(scoreTokens(model, logits, [token], 0)[0].logprob)
    const dense = model.begin()
    const masked = model.begin({ planner })
    try {
      for (let t = 0; t < seen - 1; t++) score(dense.feed(tokens.slice(t, t + 1)), ids[t + 1])
      if (planner && check === undefined) {
        let logits = masked.feed(tokens.slice(0, seen))
        for (let t = seen; t < ids.length; t++) {
          score(logits, ids[t])
          logits = masked.feed(tokens.slice(t, t + 1))
        }
      }
    } finally {
      dense.dispose()
      masked.dispose()
    }
    return { ids, logprobs }
  } catch (error) {
    codeOf(error)
    return null
  }
}

describe('an echoed prompt is scored as the service says', () => {
  type Score = (options: OptionRow) => Promise<readonly (number | null)[] | null>
  const asked: Score = async (options) => {
    const body = { prompt, echo: true, temperature: 0, seed: 5, ...givenOf(options) }
    const service = serverOf(opt, { report: () => {} })
    const { status } = await ask<Completion>(service, '/v1/completions', body)
    if (status !== 200) return null
    const { choices } = await complete(service, body)
    // Seeds of the texts of a request follow each other.
    return choices[0].logprobs?.token_logprobs ?? null
  }
  const agrees = async (score: Score): Promise<number> => {
    let count = 0
    const isPossible = async (row: OptionRow): Promise<boolean> => (await scoredByHand(row)) !== null
    const { rows, refused } = await coverPairs(scoring, isPossible, 5)
    for (const row of [...rows, ...refused.slice(0, 5)]) {
      const expected = await scoredByHand(row)
      const actual = await score(row)
      const words = JSON.stringify(givenOf(row))
      sameData(`${words}: refused`, actual === null, expected === null)
      if (!actual || !expected) continue
      sameData(words, actual.slice(0, expected.ids.length), expected.logprobs)
      count++
    }
    return count
  }

  test('under every pair of fields', { timeout: 60_000 }, async () => {
    expect(await agrees(asked)).toBeGreaterThan(12)
  })

  test('a service that scores a checked prompt under the mask, or dense throughout, is found', async () => {
    await expect(agrees((options) => asked({ ...options, check: undefined }))).rejects.toThrow()
    await expect(agrees((options) => asked({ ...options, mask_prompt_tokens: 100 }))).rejects.toThrow()
  })
})
