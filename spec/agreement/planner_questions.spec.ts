/**
 * However a text is run, a planner is asked what it would be asked in a fresh run of the same text, its decisions are counted
 * as they are made, and a sequence is told as many tokens to come as then come.
 *
 * A way to run a text is one entry of `ways`. A module of `src` that begins sequences under planners and has no way here fails
 * the last test. Tests src/engine/sequence.ts, src/engine/planner_schedule.ts, src/engine/next_tokens.ts,
 * src/engine/conversation.ts, src/engine/generate.ts, src/engine/batch.ts, src/evaluation/decode.ts,
 * src/evaluation/score_window.ts, src/evaluation/window_evaluator.ts, src/planners/leaky.ts, src/server/sequence_store.ts and src/server/writer.ts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { createBackend } from '../../src/backends/select.ts'
import { forwardBatch } from '../../src/engine/batch.ts'
import { Conversation, type TextPlace } from '../../src/engine/conversation.ts'
import { KeptText } from '../../src/engine/kept_text.ts'
import { generateTokens, type TextRun } from '../../src/engine/generate.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { Sequence, SequenceOptions } from '../../src/engine/sequence.ts'
import { Decoding, promptTurn } from '../../src/evaluation/decode.ts'
import { scoreWindow } from '../../src/evaluation/score_window.ts'
import { scoreTogether } from '../../src/evaluation/window_evaluator.ts'
import type { Tokenizer } from '../../src/io/tokenizer.ts'
import { channelSites } from '../../src/masks/channels.ts'
import { denseMask } from '../../src/masks/mask.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import { promptMask } from '../../src/planners/leaky.ts'
import { SequenceStore } from '../../src/server/sequence_store.ts'
import { writeText } from '../../src/server/writer.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { UsageError } from '../../src/tensor/errors.ts'
import {
  anyCache,
  askedOnce,
  channelMaskOf,
  channelSchedule,
  cuts,
  endsOf,
  engineCase,
  made,
  maskSchedule,
  masksUnder,
  summaryOf,
  wideCase,
  type ChannelSchedule,
} from '../../src/verify/model/engine_cases.ts'
import { fickle } from '../../src/verify/model/planner_laws.ts'
import { measureRounds } from '../../src/web/engine/speed_rounds.ts'
import { interposed, recordPlanner, sameData, type Call } from '../harness/recorded.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { casesAtTier } from '../harness/tier.ts'

const backend = await createBackend('reference')
afterAll(() => {
  expect(backend.liveBuffers).toBe(0)
  backend.dispose()
})

// ---- Ways to run a text ----------------------------------------------------------------------------------------------

/** What a way is given: a text, and numbers to choose by. */
interface Text {
  readonly tokens: Int32Array
  /** Of the text, at least one. */
  readonly prompt: Int32Array
  /** Tokens that may be generated after the prompt. */
  readonly room: number
  readonly parts: readonly number[]
  readonly numbers: readonly [number, number, number]
  readonly stopId: number
  readonly options: Pick<SequenceOptions, 'cache'>
  /** How many tokens were fed since this was asked last, those of feeds that failed left out. */
  readonly fedSince: () => number
  /** How many decisions were counted so far. */
  readonly decided: () => number
}

/** Runs a text under a planner. @returns what it says of the text */
type Run = (
  model: LanguageModel,
  planner: MaskPlanner,
  text: Text,
) => Promise<TextRun | void> | TextRun | void

/** A way, and the module that begins its sequence. */
interface Way {
  readonly of: string
  readonly run: Run
}

/** A tokenizer whose tokens are spelled as letters. */
const letters = {
  stream: () => ({ push: (id: number) => String.fromCodePoint(97 + id), end: () => '' }),
} as unknown as Tokenizer

const drain = async (steps: AsyncGenerator<unknown> | Generator<unknown>): Promise<void> => {
  for await (const _ of steps);
}

const generated =
  (more: (text: Text) => Partial<Parameters<typeof generateTokens>[2]>): Run =>
  async (model, planner, text) => {
    let run: TextRun | undefined
    const { prompt, room, options, stopId, fedSince } = text
    fedSince()
    await drain(
      generateTokens(model, prompt, {
        planner,
        maxTokens: room,
        stopIds: [stopId],
        onEnd: (end) => void (run = end),
        onPrompt: ({ tokens, reused }) => {
          sameData('tokens of the prompt', tokens, prompt.length)
          sameData('tokens that are used again', reused, prompt.length - fedSince())
        },
        ...options,
        ...more(text),
      }),
    )
    return run
  }

/** A text, and one whose prompt begins with that of the first. */
function twoTurns(model: LanguageModel, text: Text): Text[] {
  const { prompt, tokens, numbers } = text
  const longer = tokens.slice(0, prompt.length + (numbers[1] % (tokens.length - prompt.length + 1)))
  return [
    { ...text, room: Math.min(2, text.room) },
    { ...text, prompt: longer, room: Math.min(2, model.config.positions - longer.length) },
  ]
}

const written =
  (echo: string | null, likeliest: number | null, checks: boolean, place?: TextPlace): Run =>
  (model, planner, { prompt, room, options, stopId, numbers: [n, seen] }) => {
    const task = {
      ids: prompt,
      maxTokens: room,
      sampling: {},
      planner,
      ...(checks && { check: 1 + (n % 4) }),
      ...options,
      stopIds: new Set([stopId]),
      stops: [],
      likeliest,
      echo,
      maskTokens: 1 + seen,
      continues: true,
    }
    const steps = writeText(model, letters, task, place)
    for (;;) {
      const { done, value } = steps.next()
      if (done) return value
    }
  }

const decoded =
  (checks: boolean): Run =>
  async (model, planner, { prompt, room, options, decided, numbers: [n] }) => {
    if (room < 2) return
    const decoding = new Decoding(model, prompt, room - 1, {
      planner,
      ...options,
      ...(checks && { check: 1 + (n % 4) }),
    })
    try {
      const ofPrompt = decided()
      sameData('decisions', (await decoding.decode()).decisions, decided())
      // Those of the prompt are of every turn.
      const before = decided()
      sameData('decisions', (await decoding.decode()).decisions, ofPrompt + decided() - before)
    } finally {
      decoding.dispose()
    }
  }

const ways: Readonly<Record<string, Way>> = {
  'a text fed in parts': {
    of: 'engine/language_model.ts',
    run: (model, planner, { tokens, parts, options }) => {
      const sequence = model.begin({ planner, ...options })
      try {
        for (const end of endsOf(tokens, parts)) sequence.feed(tokens.slice(sequence.length, end), 'none')
      } finally {
        sequence.dispose()
      }
    },
  },
  'a text that is rewound, scored and fed again': {
    of: 'engine/language_model.ts',
    run: (model, planner, { tokens, prompt, options, numbers: [at, wrong, more] }) => {
      const sequence = model.begin({ planner, ...options })
      const P = prompt.length
      const rest = tokens.slice(P)
      const left = (): number => tokens.length - sequence.length
      try {
        sequence.feed(prompt, 'none')
        // What is forgotten differs from what follows.
        const forgotten = rest.map((id) => (id + 1) % model.config.vocabulary)
        if (rest.length > 0) sequence.feed(forgotten.slice(0, 1 + (more % rest.length)), 'none')
        sequence.rewind(P + (at % (sequence.length - P + 1)))
        if (left() > 0)
          sequence.score(tokens.slice(0, 1 + (wrong % left())), tokens.slice(0, 1 + (wrong % left())))
        sequence.rewind(P + (wrong % (sequence.length - P + 1)))
        while (left() > 0) sequence.feed(tokens.slice(sequence.length, sequence.length + 1), 'none')
      } finally {
        sequence.dispose()
      }
    },
  },
  'a generated text': { of: 'engine/generate.ts', run: generated(() => ({})) },
  'a generated text that is checked': {
    of: 'engine/generate.ts',
    run: generated(({ numbers: [n] }) => ({ check: 1 + (n % 5) })),
  },
  'two turns of a conversation': {
    of: 'engine/conversation.ts',
    run: async (model, planner, text) => {
      const conversation = new Conversation()
      try {
        for (const turn of twoTurns(model, text))
          await generated(() => ({ conversation }))(model, planner, turn)
      } finally {
        conversation.dispose()
      }
    },
  },
  'a text that is kept': {
    of: 'engine/kept_text.ts',
    run: async (model, planner, text) => {
      const kept = new KeptText()
      try {
        return await generated(() => ({ conversation: kept }))(model, planner, text)
      } finally {
        kept.dispose()
      }
    },
  },
  'a text that is decoded twice under the clock': { of: 'evaluation/decode.ts', run: decoded(false) },
  'a text that is decoded and checked under the clock': { of: 'evaluation/decode.ts', run: decoded(true) },
  'a prompt under the clock': {
    of: 'evaluation/decode.ts',
    run: (model, planner, { prompt, options }) => promptTurn(model, prompt, { planner, ...options }),
  },
  'two answers of the server, the second of which goes on from the first': {
    of: 'server/sequence_store.ts',
    run: async (model, planner, text) => {
      const store = new SequenceStore({ texts: 1, bytes: Infinity })
      try {
        for (const turn of twoTurns(model, text))
          await written(null, null, false, store.place(''))(model, planner, turn)
      } finally {
        store.dispose()
      }
    },
  },
  'an answer of the server': { of: 'server/writer.ts', run: written(null, null, false) },
  'an answer of the server with its scored prompt': { of: 'server/writer.ts', run: written('', 2, false) },
  'an answer of the server that is checked': { of: 'server/writer.ts', run: written('', 1, true) },
  'the rounds of a speed': {
    of: 'web/engine/speed_rounds.ts',
    run: async (model, planner, { tokens, prompt }) => {
      await measureRounds(model, prompt, Array.from(tokens.subarray(prompt.length)), planner)
    },
  },
  'a scored window': {
    of: 'evaluation/score_window.ts',
    run: (model, planner, { tokens, prompt, options, numbers: [more] }) => {
      const P = Math.min(prompt.length, tokens.length - 1)
      if (P < 1) return
      const start = P + (more % (tokens.length - P))
      scoreWindow(model, { tokens, promptLength: P, start, words: 1 }, { planner, ...options })
    },
  },
  'windows scored together': {
    of: 'evaluation/window_evaluator.ts',
    run: (model, planner, { tokens, prompt, options }) => {
      const P = Math.min(prompt.length, tokens.length - 1)
      if (P < 1) return
      scoreTogether(model, { windows: [{ tokens, promptLength: P, words: 1 }] }, () => planner, options)
    },
  },
  'a batch': {
    of: 'engine/batch.ts',
    run: (model, planner, { tokens, options }) => {
      forwardBatch(model, tokens, null, 1, tokens.length, { planner, ...options })
    },
  },
  'the mask of a prompt': {
    of: 'planners/leaky.ts',
    run: (model, planner, { prompt }) => void promptMask(model, planner, prompt),
  },
}

// ---- Planners --------------------------------------------------------------------------------------------------------

const digest = (values: Float32Array): number =>
  new Uint32Array(Float32Array.from(values, (value) => value + 0).buffer).reduce(
    (hash, word) => (Math.imul(hash, 31) + word) >>> 0,
    7,
  )

/** A planner of channels whose decisions depend on all it is shown. */
function channelPlanner(schedule: ChannelSchedule): MaskPlanner {
  return {
    name: 'drawn',
    by: 'channels',
    every: 1,
    summarize: (_layer, _site, x, tokens) => summaryOf(x, tokens),
    choose: (layer, site, x, summary) =>
      channelMaskOf(schedule, digest(x) + digest(summary), layer, site, x.length),
  }
}

// ---- The law ---------------------------------------------------------------------------------------------------------

/** What stands between a sequence and its planner; a mutant is not the identity. */
type Show = (planner: MaskPlanner, sequenceOf: () => Sequence) => MaskPlanner
/** What a sequence is told at its beginning. */
interface Subject {
  readonly show: Show
  readonly tell: (options: SequenceOptions) => SequenceOptions
  readonly report: (run: TextRun, decisions: number) => TextRun
}
const real: Subject = { show: (planner) => planner, tell: (options) => options, report: (run) => run }

/** Part of a text, and how it ran. */
interface Fed {
  readonly tokens: Int32Array
  readonly how: 'feed' | 'feedDense'
}

/** How many decisions these questions ask for: one of the whole model, or one for each layer or site of it. */
function countDecisions(calls: readonly Call[]): number {
  return calls.filter(
    ({ name, args: [layer, site] }) =>
      name === 'choose by attention' ||
      name === 'choose by prompt' ||
      ((name === 'choose by layer' || name === 'choose by gate') && layer === 0) ||
      (name === 'choose by channels' && layer === 0 && site === channelSites[0]),
  ).length
}

/** A fresh sequence over the same parts of a text. It is begun anew where the other one was rewound. */
class FreshRun {
  readonly #begin: () => Sequence
  #sequence: Sequence | null = null
  #calls: Call[] = []
  #fed = 0

  constructor(model: LanguageModel, options: SequenceOptions, planner: MaskPlanner) {
    const own = recordPlanner(planner, (call) => this.#calls.push(call))
    this.#begin = () => model.begin({ ...options, planner: own, mask: null })
  }

  /** The questions that the last part of a text asks. */
  questions(parts: readonly Fed[]): Call[] {
    this.#sequence ??= this.#begin()
    for (const { tokens, how } of parts.slice(this.#fed)) {
      this.#calls = []
      this.#sequence[how](tokens, 'none')
    }
    this.#fed = parts.length
    return this.#calls
  }

  /** The text was cut. */
  forget(): void {
    this.#sequence?.dispose()
    this.#sequence = null
    this.#fed = 0
  }
}

/** The settings of a planner, and the names of its questions. */
function membersOf(planner: MaskPlanner): unknown {
  const entries = Object.entries(planner).filter(([, member]) => member !== undefined)
  return Object.fromEntries(
    entries.map(([key, member]) => [key, typeof member === 'function' ? 'asked' : member]),
  )
}

/** Some parts of a text, up to a length. */
function cutParts(parts: readonly Fed[], length: number): Fed[] {
  let left = length
  return parts.flatMap(({ tokens, how }) => {
    const kept = tokens.slice(0, left)
    left -= kept.length
    return kept.length > 0 ? [{ tokens: kept, how }] : []
  })
}

/** A model whose sequences are compared with fresh ones, and a planner whose questions are recorded. */
function watch(model: LanguageModel, planner: MaskPlanner, { show, tell }: Subject) {
  let calls: Call[] = []
  let decisions = 0
  let fed = 0
  const recorded = recordPlanner(planner, (call) => calls.push(call))
  const begin = (given: SequenceOptions): Sequence => {
    const options = tell(given)
    let parts: Fed[] = []
    let sequence: Sequence | null = null
    if (given.planner) sameData('members', membersOf(given.planner), membersOf(planner))
    const own = options.planner && show(options.planner, () => sequence as Sequence)
    const raw = model.begin({ ...options, ...(own && { planner: own }) })
    let stepped = 0
    let isRewound = false
    const fresh = own ? new FreshRun(model, options, planner) : null
    sequence = interposed(raw, (name, args, call) => {
      if (name === 'rewind') {
        call(...args)
        parts = cutParts(parts, args[0] as number)
        isRewound = true
        fresh?.forget()
        return
      }
      if (name === 'dispose') {
        fresh?.forget()
        const isTold = !isRewound && stepped > 0 && options.expectedTokens !== undefined && isWhole(raw)
        call(...args)
        if (isTold) sameData('expected tokens', options.expectedTokens, stepped)
        return
      }
      if (!feeds.includes(name)) return call(...args)
      const lengthens = name === 'lengthenPrompt'
      const tokens = (args[0] as Int32Array).slice(lengthens ? raw.length : 0)
      const before = raw.decisions
      calls = []
      let failure: unknown = null
      let result: unknown
      try {
        result = lengthens || name.endsWith('InSteps') ? atOnce(call(...args) as Steps) : call(...args)
      } catch (error) {
        failure = error
      }
      if (failure instanceof UsageError) throw failure
      parts = [...parts, { tokens, how: lengthens || name === 'feedDense' ? 'feedDense' : 'feed' }]
      if (parts.length > 1) stepped += tokens.length
      sameData('questions', calls, fresh?.questions(parts) ?? [])
      if (failure) throw failure
      fed += tokens.length
      // Its mask is decided by another sequence, which runs the whole prompt.
      if (lengthens) return result
      sameData('decisions', raw.decisions - before, countDecisions(calls))
      decisions += countDecisions(calls)
      return result
    })
    return sequence
  }
  const watched = interposed(model, (name, args, call) =>
    name === 'begin' ? begin((args[0] ?? {}) as SequenceOptions) : call(...args),
  )
  /** Whether a text had all the tokens that it was begun with room for. */
  const isWhole = (sequence: Sequence): boolean => ended.includes(sequence.length)
  const ended: number[] = []
  const fedSince = (): number => {
    const count = fed
    fed = 0
    return count
  }
  return { watched, recorded, ended, fedSince, countedDecisions: () => decisions }
}

/** The calls that feed a sequence. */
const feeds = ['feed', 'feedInSteps', 'feedDense', 'lengthenPrompt', 'score']
type Steps = ReturnType<Sequence['feedInSteps']>

/** A feed in steps that has run: what is asked in between does not depend on them (spec/engine/sequence.spec.ts). */
function atOnce(steps: Steps): Steps {
  const yielded: null[] = []
  let step = steps.next()
  for (; !step.done; step = steps.next()) yielded.push(step.value)
  const { value } = step
  return (function* () {
    yield* yielded
    return value
  })()
}

const anyPlanner = fc.record({
  how: fc.record({
    ...askedOnce,
    by: fc.constantFrom('attention', 'attention', 'layer', 'prompt', 'gate'),
    // One that is asked now and then cannot be rewound.
    every: fc.constantFrom(undefined, 1, 1, 2, 3, 5),
  }),
  shift: fc.constantFrom(...Array<undefined>(6).fill(undefined), 0, 0.1),
  channels: fc.oneof({ weight: 5, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: channelSchedule }),
})

/** Any way, and more often those that forget tokens or use them again. */
const forgetful = Object.keys(ways).filter((name) => /rewound|checked|turns/.test(name))
const anyWay = fc.oneof(fc.constantFrom(...Object.keys(ways)), fc.constantFrom(...forgetful))

/** What a planner or a check refuses. */
const refusals = ['EVERY', 'PREFILL', 'REWIND', 'CHECK']

const asInAFreshRun = lawForAll(
  'a planner is asked what a fresh run of the same text would ask, whatever runs the text',
  {
    drawn: engineCase,
    name: anyWay,
    asked: anyPlanner,
    schedule: maskSchedule,
    cache: anyCache,
    parts: cuts,
    numbers: fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 11 }), fc.nat({ max: 11 })),
    first: fc.nat({ max: 11 }),
    stop: fc.nat({ max: 34 }),
  },
  async (
    subject: Subject,
    { drawn, name, asked: { how, shift, channels }, schedule, cache, parts, numbers, first, stop },
  ) => {
    const { config, tensors, tokens } = made(drawn, 4)
    const model = await LanguageModel.load(config, memorySource(tensors), backend)
    try {
      const masks = masksUnder(drawn, schedule, how)
      const asked = fickle(drawn, how, masks)
      const isShifting = shift !== undefined && how.by === 'attention' && how.every !== undefined
      const planner = channels ? channelPlanner(channels) : { ...asked, ...(isShifting && { shift }) }
      const prompt = tokens.slice(0, 1 + (first % tokens.length))
      const room = Math.min(8, config.positions - prompt.length)
      const { watched, recorded, ended, fedSince, countedDecisions } = watch(model, planner, subject)
      const text = {
        tokens,
        prompt,
        room,
        parts,
        numbers,
        stopId: stop % (2 * drawn.vocabulary),
        options: { cache },
        fedSince,
        decided: countedDecisions,
      }
      ended.push(prompt.length + room - 1)
      try {
        const run = await ways[name].run(watched, recorded, text)
        // Each turn of a conversation reports its own.
        if (run) sameData('decisions', subject.report(run, countedDecisions()).decisions, countedDecisions())
      } catch (error) {
        if (!(error instanceof UsageError) || !refusals.includes(error.code)) throw error
      }
    } finally {
      model.dispose()
    }
  },
  { runs: casesAtTier(200, 1000) },
)
stateLaw(asInAFreshRun, real)

const wrongly = (show: Show): Subject => ({ ...real, show })

test('a planner that is shown forgotten ids, or ids that are not yet fed: killed', () =>
  kills(
    asInAFreshRun,
    wrongly((planner) => {
      let seen = new Int32Array(0)
      if (planner.by !== 'attention') return planner
      return {
        ...planner,
        by: 'attention',
        choose: (view) => {
          const ids = Int32Array.from(view.ids, (id, i) => seen[i] ?? id)
          if (ids.length > seen.length) seen = ids
          return planner.choose({ ...view, ids })
        },
      }
    }),
  ))

test('a planner that is asked another time, or with a token too many: killed', async () => {
  await kills(
    asInAFreshRun,
    wrongly((planner) => ({
      ...planner,
      ...(planner.every && planner.every > 1 && { every: planner.every - 1 }),
    })),
  )
  await kills(
    asInAFreshRun,
    wrongly((planner) => ({ ...planner, shift: undefined })),
  )
  await kills(
    asInAFreshRun,
    wrongly((planner) => {
      if (planner.by !== 'prompt') return planner
      return {
        ...planner,
        by: 'prompt',
        choose: (view) => planner.choose({ ...view, tokens: view.tokens + 1 }),
      }
    }),
  )
})

test('a sequence that is told a token too many or too few, and decisions that are counted twice: killed', async () => {
  for (const more of [1, -1])
    await kills(asInAFreshRun, {
      ...real,
      tell: ({ expectedTokens, ...options }) => ({
        ...options,
        ...(expectedTokens !== undefined && { expectedTokens: expectedTokens + more }),
      }),
    })
  await kills(asInAFreshRun, {
    ...real,
    report: (run, decisions) => ({ ...run, decisions: 2 * decisions + 1 }),
  })
})

/** Ways that know all that is fed beforehand, and compute the mask of a leaky planner from it. */
const knowAll: readonly string[] = ['a scored window', 'windows scored together', 'the mask of a prompt']

test('every way refuses a planner that is shown the answer, unless it knows the answer beforehand', async () => {
  const tokens = Int32Array.of(1, 2, 0, 3, 1, 2)
  const { config, tensors } = made({ ...wideCase, tokens: [...tokens] }, 40)
  const model = await LanguageModel.load(config, memorySource(tensors), backend)
  const mask = denseMask(model.shape)
  const planner: MaskPlanner = {
    name: 'leaky',
    leaky: true,
    prefill: 'dense',
    by: 'attention',
    choose: () => mask,
  }
  const text: Text = {
    tokens,
    prompt: tokens.slice(0, 3),
    room: 4,
    parts: [],
    numbers: [1, 1, 1],
    stopId: 99,
    options: {},
    fedSince: () => 0,
    decided: () => 0,
  }
  try {
    for (const [name, { run }] of Object.entries(ways)) {
      if (knowAll.includes(name)) continue
      const refused = await Promise.resolve()
        .then(() => run(model, planner, text))
        .then(
          () => null,
          (error: unknown) => error,
        )
      expect(refused, name).toBeInstanceOf(UsageError)
    }
  } finally {
    model.dispose()
  }
})

test('every module of src that begins a sequence under a planner has a way', () => {
  const src = new URL('../../src/', import.meta.url).pathname
  const begins = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.startsWith('verify/'))
    .filter((path) =>
      [
        ...readFileSync(join(src, path), 'utf8').matchAll(
          /(?:(?:odel|conversation)\.begin\(|withSequence\([\w.]*odel, )([\s\S]*?)\)(?:\n| =>)/g,
        ),
      ].some(([, given]) => /plan|options|begun/i.test(given)),
    )
  const known = new Set(Object.values(ways).map(({ of }) => of))
  expect(begins.filter((path) => !known.has(path))).toEqual([])
})
