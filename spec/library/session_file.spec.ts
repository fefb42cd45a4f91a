/**
 * A saved session goes on with the bits that it would have without the break, and its file is read and written back as it is.
 *
 * Tests src/engine/kept_text.ts and src/io/open_own.ts.
 */
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { makeConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { Data } from '../../src/testing/seeded_data.ts'
import { Conversation, type ConversationState } from '../../src/engine/conversation.ts'
import { generateTokens, type TextRun } from '../../src/engine/generate.ts'
import { KeptText, type TextState } from '../../src/engine/kept_text.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { windowRows } from '../../src/engine/kv_cache.ts'
import {
  cacheStorages,
  type CacheStorage,
  type HeldRows,
  type HostRows,
} from '../../src/engine/layer_cache.ts'
import type { PlannerState } from '../../src/engine/planner_schedule.ts'
import { makeSampler } from '../../src/engine/sampling.ts'
import type { Sequence, SequenceState } from '../../src/engine/sequence.ts'
import { readSession, writeSession, type SavedSession } from '../../src/library/session_file.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import { channelSites } from '../../src/masks/channels.ts'
import type { UnitMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { tealPlanner } from '../../src/planners/teal.ts'
import { ShadowError } from '../../src/tensor/errors.ts'
import { same, sameBits, sameNumbers } from '../../src/verify/compare.ts'
import { withLoaded, type Subject } from '../../src/verify/model/cases.ts'
import {
  anyCache,
  anyMemory,
  anyStorage,
  askedSomehow,
  engineCase,
  made,
  maskSchedule,
  masksUnder,
  modes,
  plannerOf,
  type EngineCase,
  type Schedule,
} from '../../src/verify/model/engine_cases.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { Random } from '../../src/tensor/random.ts'
import { finish } from '../harness/finish.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { killsEach, lawForAll, someOf, stateLaw } from '../harness/seed.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { shareOfCases } from '../harness/backends.ts'

const folder = temporaryFolder()
const hash = '0123456789abcdef'.repeat(4)
const settings = { storage: 'f32', cache: 'f32', backend: 'exact', planner: 'drawn' }

/** How a session is saved and read, and what does it. */
interface Break {
  readonly subject: Subject
  /** What becomes of a session between its file and the text that goes on. */
  readonly through?: (saved: SavedSession) => SavedSession
}

/** Who decides: what `askedSomehow` draws, with a watch on attention perhaps; planners that draw; those of channels. */
const anyPlanner = fc.oneof(
  { weight: 1, arbitrary: fc.constant(null) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('drawn' as const),
      how: askedSomehow,
      shift: fc.option(fc.constantFrom(-0.01, 0, 0.01), { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('random' as const), every: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'channels' as const }) },
)
type AnyPlanner = typeof anyPlanner extends fc.Arbitrary<infer One> ? One : never

/** A number that depends on every bit that a planner is shown. */
function digest(rows: number, first: Float32Array, ids: Int32Array | null): number {
  let sum = rows
  for (const word of new Uint32Array(first.slice().buffer)) sum = (Math.imul(sum, 31) + word) >>> 0
  for (const id of ids ?? []) sum = (Math.imul(sum, 31) + id) >>> 0
  return sum
}

/** A planner that remembers nothing but what it may, so that two of them decide alike. */
function makePlanner(drawn: EngineCase, schedule: Schedule, one: AnyPlanner): MaskPlanner | null {
  if (one === null) return null
  const { layers, heads, neurons } = drawn
  const budget = makeBudget(0.5, { denseLayers: 0 })
  if (one.kind === 'channels') return tealPlanner(budget)
  if (one.kind === 'random') {
    const planner = randomPlanner({ layers, heads, neurons }, makeBudget(0.5, { denseLayers: 1 }), 5)
    return { ...planner, every: one.every }
  }
  const masks = masksUnder(drawn, schedule, one.how)
  const planner = plannerOf(
    drawn,
    one.how,
    (rows, first, ids) => masks[digest(rows, first, ids) % masks.length],
  )
  const watches = planner.by === 'attention' && planner.every !== undefined
  return watches ? { ...planner, shift: one.shift } : planner
}

/** Where a text is cut: how many tokens are written, and the prompt that follows them. */
const parts = fc.array(
  fc.record({
    writes: fc.integer({ min: 0, max: 5 }),
    prompt: fc.array(fc.nat({ max: 34 }), { maxLength: 4, size: 'max' }),
  }),
  { minLength: 2, maxLength: 3, size: 'max' },
)

const anyText = {
  drawn: engineCase,
  schedule: maskSchedule,
  planner: anyPlanner,
  storage: anyStorage,
  cache: anyCache,
  mode: modes,
  parts,
  temperature: fc.constantFrom(0, 0.8),
  penalty: fc.constantFrom(1, 1.3),
  /** Of one backend, so that layers lie in several, also after the break. */
  bytesPerBackend: anyMemory,
  check: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
}

/** What is seen of a text. */
interface Seen {
  readonly tokens: number[]
  readonly logits: Float32Array[]
  readonly masks: (UnitMask | null)[]
  decisions: number
}

function compareTexts(found: Seen, expected: Seen, isExact: boolean): void {
  const compare = isExact ? sameBits : sameNumbers
  sameBits('tokens', found.tokens, expected.tokens)
  expected.logits.forEach((logits, i) => compare(`logits ${i}`, found.logits[i], logits))
  expected.masks.forEach((mask, i) => {
    const other = found.masks[i]
    if (mask === null || other === null) return same('dense', Number(other === null), Number(mask === null))
    sameBits(`heads ${i}`, other.heads, mask.heads)
    sameBits(`neurons ${i}`, other.neurons, mask.neurons)
    for (const site of mask.channels ? channelSites : [])
      sameBits(`channels ${i}`, other.channels?.[site] ?? [], mask.channels?.[site] ?? [])
  })
  same('decisions', found.decisions, expected.decisions)
}

let files = 0

/** A session through its file, which is read and written back as it is. */
async function throughFile(saved: SavedSession, model: LanguageModel): Promise<SavedSession> {
  const [path, again] = [join(folder, `${files++}`), join(folder, `${files++}`)]
  await writeSession(path, saved, model.config)
  const read = await readSession(path, { config: model.config, hash })
  await writeSession(again, read, model.config)
  expect(readFileSync(again).equals(readFileSync(path))).toBe(true)
  return read
}

/** The limits of the place that the reader of a text runs into, as words; the text is then skipped. */
const refusals = ['LOGITS_NOT_FINITE', 'PREFILL', 'EVERY', 'CONTEXT_LENGTH']

const goesOn = lawForAll(
  'a text that is saved, read and gone on with in a fresh model has the tokens, logits and masks of one without a break, bit for bit',
  anyText,
  async (
    { subject, through = (saved) => saved }: Break,
    { drawn, schedule, planner, storage, cache, mode, parts, temperature, penalty, check, bytesPerBackend },
  ) => {
    const more = parts.reduce((sum, { writes, prompt }) => sum + writes + prompt.length, 0)
    const { config, tensors, tokens } = made(drawn, more)
    /** Writes the parts; `between` gives where the next one goes on. */
    const write = async (
      first: LanguageModel,
      between: (place: KeptText) => Promise<{ model: LanguageModel; place: KeptText }>,
    ): Promise<Seen> => {
      const seen: Seen = { tokens: [], logits: [], masks: [], decisions: 0 }
      let [model, place] = [first, new KeptText()]
      let decider = makePlanner(drawn, schedule, planner)
      for (const [i, { writes, prompt }] of parts.entries()) {
        const ids = i === 0 ? tokens : Int32Array.from(prompt, (id) => id % drawn.vocabulary)
        let mask: UnitMask | null = null
        const steps = generateTokens(model, ids, {
          maxTokens: writes,
          planner: decider,
          mode,
          cache,
          check: decider ? check : undefined,
          sampler: makeSampler({ temperature, repetitionPenalty: penalty, seed: 3 + i }),
          stopIds: [],
          conversation: place,
          onMask: (told) => void (mask = told && structuredClone(told)),
          onEnd: (run: TextRun) => void (seen.decisions = run.decisions),
        })
        for await (const { token, logits } of steps) {
          seen.tokens.push(token)
          seen.logits.push(logits.slice())
          seen.masks.push(mask)
        }
        if (i === parts.length - 1) break
        const next = await between(place)
        // A planner that remembers draws on in the text without a break, and is made anew after one.
        if (next.place !== place) decider = makePlanner(drawn, schedule, planner)
        ;({ model, place } = next)
      }
      place.dispose()
      return seen
    }
    const options = { storage }
    const ran = await withLoaded(subject, config, tensors, options, async (model) => {
      try {
        return await write(model, async (place) => ({ model, place }))
      } catch (error) {
        if (error instanceof ShadowError && refusals.includes(error.code)) return null
        throw error
      }
    })
    if (ran === null) return
    const open: LanguageModel[] = []
    try {
      const found = await withLoaded(subject, config, tensors, options, (model) =>
        write(model, async (place) => {
          const state = place.state as TextState
          place.dispose()
          const saved = { model: hash, settings, content: { kind: 'text', state } } as const
          const read = through(await throughFile(saved, model))
          const there = { storage, bytesPerBackend }
          const fresh = await subject.load(config, memorySource(tensors), subject.backend, there)
          open.push(fresh)
          return { model: fresh, place: new KeptText(read.content.state as TextState) }
        }),
      )
      compareTexts(found, ran, mode !== 'auto')
    } finally {
      for (const model of open) model.dispose()
    }
  },
)

const reference = await createBackend('reference')
const subject: Subject = { backend: reference, load: LanguageModel.load }

const isOneText = lawForAll(
  'a text that is kept and gone on with at any token is the text that is written at once, bit for bit',
  {
    ...anyText,
    parts: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 2, maxLength: 4, size: 'max' }),
  },
  async (
    Place: new () => KeptText,
    { drawn, schedule, planner, storage, cache, mode, parts, temperature, penalty, check },
  ) => {
    const most = parts.reduce((sum, writes) => sum + writes, 0)
    const { config, tensors, tokens } = made(drawn, most)
    await withLoaded(subject, config, tensors, { storage }, async (model) => {
      const place = new Place()
      const write = async (maxTokens: number, conversation?: KeptText) => {
        const decider = makePlanner(drawn, schedule, planner)
        const ids = conversation && conversation.tokens.length > 0 ? new Int32Array(0) : tokens
        const seen: Pick<Seen, 'tokens' | 'logits'> = { tokens: [], logits: [] }
        const steps = generateTokens(model, ids, {
          maxTokens,
          planner: decider,
          mode,
          cache,
          check: decider ? check : undefined,
          stopIds: [],
          sampler: makeSampler({ temperature, repetitionPenalty: penalty, seed: 3 }),
          conversation,
        })
        for await (const { token, logits } of steps) {
          seen.tokens.push(token)
          seen.logits.push(logits.slice())
        }
        return seen
      }
      try {
        const expected = await write(most).catch((error: unknown) => {
          if (error instanceof ShadowError && refusals.includes(error.code)) return null
          throw error
        })
        if (expected === null) return
        const found = []
        for (const writes of parts) found.push(await write(writes, place))
        sameBits(
          'tokens',
          found.flatMap((part) => part.tokens),
          expected.tokens,
        )
        const compare = mode === 'auto' ? sameNumbers : sameBits
        const logits = found.flatMap((part) => part.logits)
        expected.logits.forEach((row, i) => compare(`logits ${i}`, logits[i], row))
      } finally {
        place.dispose()
      }
    })
  },
)
stateLaw(isOneText, KeptText)

killsEach('a text that %s is found', isOneText, {
  'draws anew where it goes on': class extends KeptText {
    override *begin(...[model, prompt, options, how]: Parameters<KeptText['begin']>) {
      const state = how.sampler.random?.state
      const begun = yield* super.begin(model, prompt, options, how)
      if (how.sampler.random && state) how.sampler.random.state = state
      return begun
    }
  },
  'forgets earlier tokens that are penalised': class extends KeptText {
    override *begin(...args: Parameters<KeptText['begin']>) {
      const begun = yield* super.begin(...args)
      return { ...begun, text: begun.text.slice(-1) }
    }
  },
  'runs drafts of a check as tokens of the text': class extends KeptText {
    override keep(...[sequence, tokens, end]: Parameters<KeptText['keep']>): void {
      sequence.rewind = () => {}
      super.keep(sequence, tokens, end)
    }
  },
  'runs what it goes on with under the mask, though it is checked': class extends KeptText {
    override begin(...[model, prompt, options, how]: Parameters<KeptText['begin']>) {
      return super.begin(model, prompt, options, { ...how, isChecked: false })
    }
  },
})

const anyTurn = fc.record({
  /** How much of the text before is kept, and what follows it. */
  keeps: fc.constantFrom(0.5, 1),
  adds: fc.array(fc.nat({ max: 34 }), { minLength: 1, maxLength: 4, size: 'max' }),
  answers: fc.integer({ min: 0, max: 3 }),
})

/** The planners under which a chat may use its cache again decide once. */
const chatGoesOn = lawForAll(
  'a chat that is saved and read has the logits and masks of one without a break, and uses as many tokens again',
  {
    drawn: engineCase,
    schedule: maskSchedule,
    decides: fc.constantFrom('dense', 'once', 'random', 'again'),
    storage: anyStorage,
    cache: anyCache,
    mode: modes,
    turns: fc.array(anyTurn, { minLength: 2, maxLength: 3, size: 'max' }),
  },
  async (
    { subject, through = (saved) => saved }: Break,
    { drawn, schedule, decides, storage, cache, mode, turns },
  ) => {
    const { config, tensors } = made(drawn, 3 * 7)
    const decider = (): MaskPlanner | null =>
      decides === 'dense'
        ? null
        : decides === 'random'
          ? makePlanner(drawn, schedule, { kind: 'random', every: 1 }) && {
              ...(makePlanner(drawn, schedule, { kind: 'random', every: 1 }) as MaskPlanner),
              every: undefined,
            }
          : plannerOf(
              drawn,
              { by: 'attention', sourceLayer: 0, every: decides === 'again' ? 2 : undefined },
              () => masksUnder(drawn, schedule, { by: 'attention', sourceLayer: 0 })[0],
            )
    await withLoaded(subject, config, tensors, { storage }, async (model) => {
      const whole = new Conversation()
      let broken = new Conversation()
      let text: number[] = []
      try {
        for (const { keeps, adds, answers } of turns) {
          const prompt = Int32Array.from(
            [...text.slice(0, Math.floor(text.length * keeps)), ...adds],
            (id) => id % drawn.vocabulary,
          )
          const answer = Array.from({ length: answers }, (_, i) => (7 * i + prompt.length) % drawn.vocabulary)
          const run = (place: Conversation) => {
            const { sequence, logits, reused } = finish(
              place.begin(model, prompt, {
                planner: decider(),
                cache,
                mode,
              }),
            )
            const rows = [logits, ...answer.map((token) => sequence.feed(Int32Array.of(token), 'last'))]
            const { mask } = sequence
            place.keep(sequence, [...prompt, ...answer])
            return { reused, rows, mask }
          }
          const [expected, found] = [run(whole), run(broken)]
          const compare = mode === 'auto' ? sameNumbers : sameBits
          expected.rows.forEach((row, i) => compare(`logits ${i}`, found.rows[i], row))
          same('reused', found.reused, expected.reused)
          sameBits('heads', found.mask?.heads ?? [], expected.mask?.heads ?? [])
          sameBits('neurons', found.mask?.neurons ?? [], expected.mask?.neurons ?? [])
          text = [...prompt, ...answer]
          const { state } = broken
          broken.dispose()
          const messages = [{ role: 'user', content: 'é' }]
          const choices = [
            null,
            {
              planner: 'griffin',
              sparsity: 0.3,
              neuronSparsity: 1,
              maxTokens: 9,
              topK: 3,
              logitBias: { 5: -1 },
            },
          ] as const
          const choice = choices[text.length % 2]
          const content = { kind: 'chat', messages, state, choice } as const
          const read = through(await throughFile({ model: hash, settings, content }, model))
          if (read.content.kind !== 'chat') throw new Error('expected a chat')
          expect(read.content.messages).toEqual(messages)
          expect(read.content.choice).toEqual(choice)
          broken = new Conversation(true, read.content.state)
        }
      } finally {
        whole.dispose()
        broken.dispose()
      }
    })
  },
)

overQuickBackends(
  (backend) => {
    const real: Break = { subject: { backend, load: LanguageModel.load } }
    stateLaw(someOf(goesOn, shareOfCases(backend)), real)
    stateLaw(someOf(chatGoesOn, shareOfCases(backend)), real)
  },
  { areLaws: true },
)

// ---- Windows ----------------------------------------------------------------------------------------------

describe('where a window slides', () => {
  const window = 70
  const config = makeConfig({
    layers: 2,
    width: 8,
    heads: 2,
    neurons: 4,
    vocabulary: 8,
    family: 'llama',
    positions: 500,
    layerWindow: [window, null],
  })
  const tensors = initialWeights(config, { seed: 3, deviation: 0.4 })
  const tokens = new Data(5).ids('tokens', 500, config.vocabulary)
  const savedAs = (sequence: SequenceState): SavedSession => {
    const known = [...tokens.subarray(0, sequence.length + 1)]
    return {
      model: hash,
      settings,
      content: { kind: 'text', state: { tokens: known, logits: null, random: null, sequence } },
    }
  }
  const withModel = async (work: (model: LanguageModel) => Promise<void>): Promise<void> => {
    const model = await LanguageModel.load(config, memorySource(tensors), reference)
    try {
      await work(model)
    } finally {
      model.dispose()
    }
  }
  const fed = (model: LanguageModel, cache: CacheStorage, rewinds: boolean, cut: number): Sequence => {
    const sequence = model.begin({ cache, rewinds, capacity: 1 })
    for (let at = 0; at < cut; at += 30) sequence.feed(tokens.slice(at, Math.min(cut, at + 30)), 'none')
    return sequence
  }

  test.each(cacheStorages.flatMap((cache) => [false, true].map((rewinds) => [cache, rewinds] as const)))(
    'the file holds the window and the text goes on with the same bits: %s, rewinds %s',
    (cache, rewinds) =>
      withModel(async (model) => {
        for (const cut of [1, 69, 71, 200, 333, 450]) {
          const whole = fed(model, cache, rewinds, cut)
          const { content } = await throughFile(savedAs(whole.state()), model)
          const state = content.state as TextState
          const rows = state.sequence.cache.map(({ key }) => key.values.length / config.width)
          expect(rows[1]).toBe(cut)
          if (rewinds) expect(rows[0]).toBe(cut)
          else expect(rows[0]).toBeLessThanOrEqual(windowRows(window))
          const fresh = model.resume(state.sequence)
          for (let length = 1; length <= cut; length++)
            expect(fresh.canRewind(length)).toBe(whole.canRewind(length))
          for (let at = cut; at < 500; at += 40)
            sameBits(
              'logits',
              fresh.feed(tokens.slice(at, at + 40), 'all'),
              whole.feed(tokens.slice(at, at + 40), 'all'),
            )
          for (const sequence of [whole, fresh]) sequence.dispose()
        }
      }),
  )

  test('a file with other rows than those of its window is refused', () =>
    withModel(async (model) => {
      const sequence = fed(model, 'f32', false, 450)
      const state = sequence.state()
      sequence.dispose()
      const [{ key, value }, other] = state.cache
      const without = ({ values }: HostRows, rows: number): HostRows => {
        const R = values.length / config.width
        const size = (R - rows) * config.headSize
        const kept = [0, 1].map((g) => {
          const end = (g + 1) * R * config.headSize
          return Array.from({ length: size }, (_, i) => values[Math.max(0, end - size + i)] ?? 0)
        })
        return { values: Float32Array.from(kept.flat()), scales: null }
      }
      const refused = async (rows: number, layer = 0): Promise<unknown> => {
        const changed = { key: without(key, rows), value: without(value, rows) }
        const cache = layer === 0 ? [changed, other] : [other, changed]
        const path = join(folder, `${files++}`)
        await writeSession(path, savedAs({ ...state, cache }), config)
        return readSession(path, { config, hash }).then(
          () => 'read',
          (error: { code?: string }) => error.code,
        )
      }
      const R = key.values.length / config.width
      expect(await refused(0)).toBe('read')
      // Half a block, so many that some are missing, and more than a window may hold.
      for (const rows of [1, R - 10, R, R - 450]) expect(await refused(rows), `${rows}`).toBe('SESSION')
      expect(await refused(0, 1)).toBe('SESSION')
    }))
})

// ---- Mutants ----------------------------------------------------------------------------------------------

/** Sessions whose state comes back as another. */
const withState =
  (change: (state: TextState) => Partial<TextState>): Break['through'] =>
  (saved) => {
    if (saved.content.kind !== 'text') return saved
    const { state } = saved.content
    return { ...saved, content: { kind: 'text', state: { ...state, ...change(state) } } }
  }
const withSequence = (change: (sequence: SequenceState) => Partial<SequenceState>): Break['through'] =>
  withState(({ sequence }) => ({ sequence: { ...sequence, ...change(sequence) } }))
const withPlanner = (change: (planner: PlannerState) => Partial<PlannerState>): Break['through'] =>
  withSequence(({ planner }) => ({ planner: planner && { ...planner, ...change(planner) } }))
const withRows = (change: (rows: HeldRows, layer: number, all: readonly HeldRows[]) => HeldRows) =>
  withSequence(({ cache }) => ({ cache: cache.map(change) }))

const other = new Random(99).state
/** The rows of two key heads exchanged, or as they are where there is one. */
function exchangeHeads({ values, scales }: HostRows): HostRows {
  return { values: values.toReversed(), scales: scales?.toReversed() ?? null }
}

killsEach(
  'a session that %s is found',
  goesOn,
  Object.fromEntries(
    Object.entries<Break['through']>({
      'draws from the seed again': withState(() => ({ random: new Random(3).state })),
      'forgets that random numbers were drawn': withState(() => ({ random: null })),
      'exchanges the keys of two layers': withRows(({ value }, layer, all) => ({
        key: all[all.length - 1 - layer].key,
        value,
      })),
      'restores the values of the first layer only': withRows(({ key }, _, all) => ({
        key,
        value: all[0].value,
      })),
      'restores keys in the place of values': withRows(({ key }) => ({ key, value: key })),
      'exchanges positions and key heads': withRows(({ key, value }) => ({ key: exchangeHeads(key), value })),
      'rounds the scales of int8 keys': withRows(({ key, value }) => ({
        key: { ...key, scales: key.scales && key.scales.map((scale) => Math.round(scale * 256) / 256) },
        value,
      })),
      'is one token short': withState(({ tokens }) => ({ tokens: tokens.slice(0, -1) })),
      'takes the last token for one that has run': withState(({ tokens, sequence }) => ({
        tokens: tokens.slice(0, sequence.length),
        logits: new Float32Array(1000),
      })),
      'loses the logits of a text that has run whole': withState(({ logits }) => ({
        logits: logits && logits.map(() => 0),
      })),
      'does not restore the mask': withSequence(({ mask }) => ({ mask: mask?.channels ? mask : null })),
      'restores the mask of heads only': withSequence(({ mask }) => ({
        mask: mask && { ...mask, neurons: mask.neurons.slice().fill(1) },
      })),
      'takes the whole text for its prompt': withSequence(({ length }) => ({ prompt: length })),
      'counts decisions anew': withSequence(() => ({ decisions: 0 })),
      'loses the contexts that its planner is shown again': withPlanner(({ contexts }) => ({
        contexts: contexts.slice().fill(0),
      })),
      'loses the ids that its planner is shown again': withPlanner(({ ids }) => ({
        ids: ids.slice().fill(0),
      })),
      'exchanges what the planner made of two layers': withPlanner(({ summaries }) => ({
        summaries: summaries.toReversed(),
      })),
      'lets the planner draw anew': withPlanner(({ random }) => ({ random: random && other })),
      'forgets the usual cosine of attention': withPlanner(({ shift }) => ({
        shift: shift && { ...shift, usual: 0 },
      })),
      'forgets the mean of attention': withPlanner(({ shift }) => ({
        shift: shift && { ...shift, mean: shift.mean.map(() => 1) },
      })),
    }).map(([name, through]) => [name, { subject, through }]),
  ),
)

const withChat =
  (change: (state: ConversationState) => Partial<ConversationState> | null): Break['through'] =>
  (saved) => {
    const { content } = saved
    if (content.kind !== 'chat' || !content.state) return saved
    const changed = change(content.state)
    return { ...saved, content: { ...content, state: changed && { ...content.state, ...changed } } }
  }

killsEach('a chat that %s is found', chatGoesOn, {
  'keeps nothing': { subject, through: withChat(() => null) },
  'exchanges keys and values': {
    subject,
    through: withChat(({ sequence }) => ({
      sequence: {
        ...sequence,
        cache: sequence.cache.map(({ key, value }) => ({ key: value, value: key })),
      },
    })),
  },
  'forgets the mode': {
    subject,
    through: withChat(({ mode }) => ({ mode: mode === 'skip' ? 'pack' : 'skip' })),
  },
  'keeps a token less': { subject, through: withChat(({ tokens }) => ({ tokens: tokens.slice(0, -1) })) },
  'forgets its mask': {
    subject,
    through: withChat(({ sequence }) => ({ sequence: { ...sequence, mask: null } })),
  },
})
