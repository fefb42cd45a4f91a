/**
 * Every door of the library, tried as JavaScript may try it: wrong types, wrong sizes, wrong moments. What is refused is
 * refused by a typed error in one line, leaves nothing behind, and leaves the model usable.
 */
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { denseMask, ShadowModel, type UnitMask } from '../../src/library/index.ts'
import { generateKinds, maskKinds, openKinds, perplexityKinds, planKinds } from '../../src/library/options.ts'
import type { Kind } from '../../src/tensor/option.ts'
import { fixtures } from '../golden/golden.ts'
import { kills, law, lawForAll, stateLaw } from '../harness/seed.ts'
import { leavesNothing, outcome, write } from './held.ts'

const tiny = await ShadowModel.fromPretrained(`${fixtures}golden/preln`)
const opt = await ShadowModel.fromPretrained()
afterAll(async () => {
  for (const one of [tiny, opt]) {
    await one.dispose()
    expect(one.model.backend.liveBuffers).toBe(0)
  }
})

/** A call that takes options, whatever they are. */
type Call = (options: unknown) => Promise<unknown>

const calls: Record<string, { call: Call; known: Readonly<Record<string, Kind>> }> = {
  fromPretrained: {
    // Options are looked at before the folder, which is none.
    call: (options) => ShadowModel.fromPretrained(`${fixtures}none`, options as object),
    known: openKinds,
  },
  generate: { call: (options) => write(tiny, [5], options as object), known: generateKinds },
  forward: { call: (options) => tiny.forward([5], options as object), known: planKinds },
  mask: { call: (options) => tiny.mask([5], options as object), known: maskKinds },
  perplexity: { call: (options) => opt.perplexity('The sea', options as object), known: perplexityKinds },
}

/** What each option takes, said once more: by the answer of `typeof`. */
const takes: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ['backend', 'storage', 'revision', 'scope', 'criterion', 'mode', 'cache'].map((name) => [
      name,
      ['string'],
    ]),
  ),
  ...Object.fromEntries(
    [
      'sparsity',
      'headSparsity',
      'neuronSparsity',
      'check',
      'seed',
      'maxTokens',
      'temperature',
      'topK',
      'topP',
      'repetitionPenalty',
      'minP',
      'presencePenalty',
      'frequencyPenalty',
    ].map((name) => [name, ['number']]),
  ),
  threads: ['number', 'string'],
  every: ['number', 'string'],
  stop: ['string'],
  onEnd: ['function'],
  sampler: ['function'],
  offline: ['boolean'],
  paperCompatible: ['boolean'],
  compensate: ['string'],
  ridge: ['number'],
  promptShare: ['number'],
  prefill: ['string'],
  onProgress: ['function'],
  onMask: ['function'],
  signal: [],
  session: [],
  logitBias: ['object'],
  planner: ['string'],
  continuation: ['string', 'list'],
}

/** Codes of refusals; others have OPTION_TYPE. */
const codes: Readonly<Record<string, string>> = {
  backend: 'BACKEND_NAME',
  storage: 'STORAGE',
  threads: 'THREADS',
  sparsity: 'SPARSITY',
  headSparsity: 'SPARSITY',
  neuronSparsity: 'SPARSITY',
  scope: 'SCOPE',
  compensate: 'COMPENSATE',
  ridge: 'RIDGE',
  promptShare: 'PROMPT_SHARE',
  criterion: 'CRITERION_NAME',
  every: 'EVERY',
  prefill: 'PREFILL',
  seed: 'SEED',
  mode: 'MODE',
  check: 'CHECK',
  maxTokens: 'MAX_TOKENS',
  stop: 'STOP',
  cache: 'CACHE',
  temperature: 'TEMPERATURE',
  topK: 'TOP_K',
  topP: 'TOP_P',
  repetitionPenalty: 'REPETITION_PENALTY',
  minP: 'MIN_P',
  presencePenalty: 'PRESENCE_PENALTY',
  frequencyPenalty: 'FREQUENCY_PENALTY',
  logitBias: 'LOGIT_BIAS',
  sampler: 'SAMPLER',
}

const someValues: readonly [type: string, value: unknown][] = [
  ['null', null],
  ['string', 'x'],
  ['string', ''],
  ['number', 7],
  ['boolean', true],
  ['bigint', 7n],
  ['symbol', Symbol('s')],
  ['function', () => 1],
  ['object', {}],
  ['list', [1]],
  ['list', Float32Array.of(1)],
]

/** Unknown names are refused with the near one, and so is every value of another type. */
async function judgesItsOptions(call: Call, known: Readonly<Record<string, Kind>>): Promise<void> {
  for (const options of [null, 'sparsity', 5, [], true])
    expect(await outcome(() => call(options))).toBe('OPTIONS')
  for (const name of Object.keys(known)) {
    const near = `${name.slice(0, -1)}${name.at(-2)}${name.slice(-1)}`
    await expect(call({ [near]: undefined })).rejects.toMatchObject({
      code: 'OPTION_NAME',
      exitCode: 2,
      message: `unknown option ${near} (did you mean ${name}?): expected a known one`,
    })
    for (const [type, value] of someValues)
      if (!takes[name].includes(type) && !(name === 'planner' && type === 'list'))
        expect(await outcome(() => call({ [name]: value })), `${name}: ${type}`).toBe(
          codes[name] ?? 'OPTION_TYPE',
        )
  }
  await expect(call({ quite: 1 })).rejects.toThrow(/^unknown option quite: expected one of /)
}

describe('options from JavaScript', () => {
  test.each(Object.entries(calls))('of %s are of their names and types', (name, { call, known }) =>
    name === 'fromPretrained' || name === 'perplexity'
      ? judgesItsOptions(call, known)
      : leavesNothing(tiny, () => judgesItsOptions(call, known)),
  )

  test('seeds are 32-bit integers', async () => {
    for (const seed of [-1, 0.5, NaN, 2 ** 32, Infinity])
      expect(await outcome(() => write(tiny, [5], { seed, maxTokens: 1 }))).toBe('SEED')
    for (const seed of [0, 2 ** 32 - 1])
      expect(await outcome(() => write(tiny, [5], { seed, maxTokens: 1 }))).toBe('done')
  })

  test.each<[string, Call]>([
    ['takes any name', (options) => Promise.resolve(options)],
    [
      'does not suggest',
      (options) =>
        calls.forward.call(options).catch((error: Error) => {
          throw Object.assign(error, { message: error.message.replace(/ \(did.*/, '') })
        }),
    ],
    [
      'takes numbers in text',
      (options) => {
        const numbers = Object.entries((options ?? {}) as object).map(([name, value]) => [
          name,
          value === 'x' ? 0.5 : (value as unknown),
        ])
        return calls.forward.call(
          options && !Array.isArray(options) && typeof options === 'object'
            ? Object.fromEntries(numbers)
            : options,
        )
      },
    ],
  ])('a call that %s is found', async (_, mutant) => {
    await expect(judgesItsOptions(mutant, planKinds)).rejects.toThrow()
  })
})

// ---- Prompts -----------------------------------------------------------------------------------------------------

const { vocabulary, positions } = tiny.config

const someId = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 0, max: vocabulary - 1 }) },
  fc.constantFrom<unknown>(-1, vocabulary, 0.5, NaN, Infinity, 2 ** 32, '5', null, undefined, 5n, [5]),
)
const somePrompt = fc.oneof(
  fc.array(someId, { maxLength: 5 }),
  fc.array(fc.integer({ min: 0, max: vocabulary - 1 }), {
    minLength: positions - 2,
    maxLength: positions + 2,
  }),
)

/** What a call with ids has to end with. */
function expectedOutcome(ids: readonly unknown[], most: number): string {
  if (ids.length === 0) return 'PROMPT'
  if (ids.length > most) return 'CONTEXT_LENGTH'
  const isId = (id: unknown): boolean => Number.isInteger(id) && Number(id) >= 0 && Number(id) < vocabulary
  return ids.every(isId) ? 'done' : 'TOKENS'
}

type CallWithIds = (ids: number[]) => Promise<unknown>

async function idsAreJudged(call: CallWithIds, ids: unknown[], most: number): Promise<void> {
  const found = await leavesNothing(tiny, () => outcome(() => call(ids as number[])))
  const expected = expectedOutcome(ids, most)
  expect(found === 'PROMPT' || found === expected, `${found}, not ${expected}`).toBe(true)
  if (found === 'PROMPT') expect(ids).toEqual([])
}

const promptIsJudged = lawForAll(
  'ids fit, or are refused by name',
  { ids: somePrompt },
  (call: CallWithIds, { ids }) => idsAreJudged(call, ids, positions - 1),
  { runs: 60 },
)

const withIds: Record<string, CallWithIds> = {
  generate: (ids) => write(tiny, ids, { maxTokens: 1 }),
  mask: (ids) => tiny.mask(ids, { planner: 'random' }),
}
for (const [name, call] of Object.entries(withIds))
  stateLaw({ ...promptIsJudged, sentence: `ids of ${name} fit, or are refused by name` }, call)

law(
  'ids of forward fit, or are refused by name',
  { ids: somePrompt.filter((ids) => ids.length > 0) },
  ({ ids }) => idsAreJudged((some) => tiny.forward(some), ids, positions),
  { runs: 60 },
)

describe('bugs planted in the checks of ids are found', () => {
  const generate = withIds.generate
  const mutants: Record<string, CallWithIds> = {
    'wrong ids are corrected': (ids) => generate(ids.map((id) => (Number.isInteger(id) && id >= 0 ? id : 0))),
    'a long prompt is cut': (ids) => generate(ids.slice(0, positions - 1)),
    'a buffer is leaked': async (ids) => {
      tiny.model.backend.allocate('f32', [1])
      return generate(ids)
    },
    'a TypeError is passed on': async (ids) => {
      if (ids.some((id) => typeof id !== 'number')) throw new TypeError('id is not a number')
      return generate(ids)
    },
  }
  test.each(Object.entries(mutants))('%s', (_, mutant) => kills(promptIsJudged, mutant))
})

describe('an invalid prompt', () => {
  test.each<[string, () => unknown]>([
    ['PROMPT', () => write(tiny, null as never)],
    ['PROMPT', () => write(tiny, 5 as never)],
    ['PROMPT', () => write(tiny, { length: -1 } as never)],
    ['TOKENS', () => write(tiny, { length: 2 } as never)],
    ['PROMPT', () => tiny.mask(undefined as never)],
    ['TOKENS', () => tiny.forward(null as never)],
    ['TOKENS', () => tiny.forward('text' as never)],
    ['TOKENS', () => tiny.forward({} as never)],
    ['BATCH_SHAPE', () => tiny.forward({ input_ids: null } as never)],
    ['BATCH_SHAPE', () => tiny.forward({ input_ids: [5, 6] } as never)],
    ['BATCH_SHAPE', () => tiny.forward({ input_ids: [[5], null] } as never)],
    ['BATCH_SHAPE', () => tiny.forward({ input_ids: Int32Array.of(5) } as never)],
    ['BATCH_SHAPE', () => tiny.forward({ input_ids: { shape: [1, 1] } } as never)],
    ['BATCH_SHAPE', () => tiny.forward({ input_ids: [[5]], attention_mask: 'x' } as never)],
    ['TOKENS', () => tiny.forward({ input_ids: [[5, -1]] })],
    ['TEXT', () => opt.perplexity(5 as never)],
    ['TEXT', () => opt.encode(null as never)],
    ['TOKENS', () => tiny.mask([5], { planner: 'oracle', continuation: [0.5] })],
    ['MODEL_NAME', () => ShadowModel.fromPretrained(null as never)],
    ['MODEL_MISSING', () => ShadowModel.fromPretrained('')],
    ['MODEL_NAME', async () => void new (ShadowModel as unknown as new () => ShadowModel)()],
    ['FILE_READ', () => ShadowModel.fromPretrained('a\0b')],
    ['PATH', () => tiny.loadPredictor(5 as never)],
    ['PATH', () => tiny.loadCalibration(undefined as never)],
    ['PATH', async () => tiny.addMoments(undefined as never)],
    ['FILE_MISSING', () => tiny.loadCalibration('')],
  ])('is %s: %s', async (code, work) => {
    expect(await leavesNothing(tiny, () => outcome(work))).toBe(code)
  })
})

// ---- Planners of one's own -----------------------------------------------------------------------------------------

describe('a planner of your own', () => {
  const shape = tiny.model.shape
  const dense = denseMask(shape)
  const whole = (mask: unknown) => ({
    name: 'mine',
    by: 'attention' as const,
    choose: () => mask as UnitMask,
  })
  const perLayer = (mask: unknown) => ({ name: 'mine', by: 'layer', choose: () => mask as never })
  const short = new Float32Array(1)
  test.each<[string, string, unknown]>([
    ['that is nothing', 'OPTION_TYPE', null],
    ['without a name', 'OPTION_TYPE', { by: 'attention', choose: () => dense }],
    ['that decides nothing', 'PLANNER', { name: 'mine' }],
    ['that answers with text', 'MASK_SHAPE', whole('dense')],
    ['that answers with no shape', 'MASK_SHAPE', whole({ heads: dense.heads, neurons: dense.neurons })],
    ['whose heads are too few', 'MASK_SHAPE', whole({ ...dense, heads: short })],
    ['whose neurons are a list', 'MASK_SHAPE', whole({ ...dense, neurons: [...dense.neurons] })],
    ['for another model', 'MASK_SHAPE', whole(denseMask({ ...shape, layers: shape.layers + 1 }))],
    [
      'whose layer has too few heads',
      'MASK_SHAPE',
      perLayer({ heads: short, neurons: new Float32Array(shape.neurons) }),
    ],
    ['whose layer has no neurons', 'MASK_SHAPE', perLayer({ heads: new Float32Array(shape.heads) })],
    [
      'that skips by halves',
      'MASK_VALUE',
      whole({ ...dense, neurons: dense.neurons.map((_, i) => (i < shape.neurons ? 1 : 0.5)) }),
    ],
  ])('%s is %s', async (_, code, planner) => {
    const call = (): Promise<unknown> => write(tiny, [5, 6, 7], { planner: planner as never, maxTokens: 2 })
    expect(await leavesNothing(tiny, () => outcome(call))).toBe(code)
  })

  test('whose own error is passed on unchanged', async () => {
    const odd = new RangeError('mine')
    const planner = {
      name: 'mine',
      by: 'attention' as const,
      choose() {
        throw odd
      },
    }
    await leavesNothing(tiny, () => expect(write(tiny, [5], { planner })).rejects.toBe(odd))
  })
})
