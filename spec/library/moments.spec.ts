/**
 * The library at every moment: several texts at once, loops left early, aborts between any two steps, calls after the
 * end. Nothing is left behind, and what was not stopped goes on as if alone.
 */
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { WasmBackend } from '../../src/backends/wasm/wasm_backend.ts'
import { Sequence } from '../../src/engine/sequence.ts'
import { denseMask, ShadowModel, type GenerateOptions } from '../../src/library/index.ts'
import { fixtures } from '../golden/golden.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'
import { leavesNothing, outcome, write } from './held.ts'

const folder = `${fixtures}golden/preln`
const tiny = await ShadowModel.fromPretrained(folder)
afterAll(() => tiny.dispose())
afterEach(() => void vi.restoreAllMocks())

type Write = ShadowModel['generate']
const generate: Write = (prompt, options) => tiny.generate(prompt, options)

// ---- At once -------------------------------------------------------------------------------------------------------

/** A text of its own: where it begins, how it is written, and after how many tokens its loop is left. */
interface Text {
  readonly first: number
  readonly seed: number
  readonly temperature: number
  readonly planner: 'dense' | 'random'
  readonly left: number
}

const someText: fc.Arbitrary<Text> = fc.record({
  first: fc.integer({ min: 3, max: 98 }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  temperature: fc.constantFrom(0, 1),
  planner: fc.constantFrom('dense' as const, 'random' as const),
  left: fc.integer({ min: 0, max: 6 }),
})
const someTurns = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 12, maxLength: 20 })

const MOST = 5
const optionsOf = ({ seed, temperature, planner }: Text): GenerateOptions => ({
  seed,
  temperature,
  planner,
  maxTokens: MOST,
})

const someTexts = fc.array(someText, { minLength: 1, maxLength: 3 })
/** Texts that take turns in any order and end at any step are those of each alone, and no buffer remains. */
const eachAsIfAlone = lawForAll(
  'texts generated at once equal each text alone',
  { texts: someTexts, turns: someTurns },
  (of: Write, { texts, turns }) =>
    leavesNothing(tiny, async () => {
      const alone: number[][] = []
      for (const text of texts) alone.push(await write(tiny, [2, text.first], optionsOf(text)))
      const running = texts.map((text) => of([2, text.first], optionsOf(text)))
      const found: number[][] = texts.map(() => [])
      const ended = texts.map(() => false)
      for (const turn of [...turns, ...texts.flatMap((_, i) => new Array<number>(MOST + 1).fill(i))]) {
        const i = turn % texts.length
        if (ended[i]) continue
        if (found[i].length >= texts[i].left) {
          await running[i].return('length')
          ended[i] = true
          continue
        }
        const { done, value } = await running[i].next()
        if (done) ended[i] = true
        else found[i].push(value.token)
      }
      expect(found).toEqual(alone.map((tokens, i) => tokens.slice(0, texts[i].left)))
    }),
  { runs: 40 },
)
stateLaw(eachAsIfAlone, generate)

test('asking twice before the first answer gives the first two tokens', async () => {
  const known = await write(tiny, [2, 5], { maxTokens: 2 })
  const text = tiny.generate([2, 5], { maxTokens: 2 })
  const both = await Promise.all([text.next(), text.next(), text.next()])
  expect(both.map(({ value }) => (typeof value === 'object' ? value.token : value))).toEqual([
    ...known,
    'length',
  ])
})

describe('bugs planted in how texts share a model are found', () => {
  let last: number | undefined
  const mutants: Record<string, Write> = {
    'one text continues from another': async function* (prompt, options) {
      for await (const step of tiny.generate(last === undefined ? prompt : [2, last], options)) {
        last = step.token
        yield step
      }
      return 'length'
    },
    'a loop that is left leaks its sequence': async function* (prompt, options) {
      const inner = tiny.generate(prompt, options)
      for (;;) {
        const { done, value } = await inner.next()
        if (done) return value
        yield value
      }
    },
  }
  test.each(Object.entries(mutants))('%s', (_, mutant) => kills(eachAsIfAlone, mutant))
})

// ---- Aborts ----------------------------------------------------------------------------------------------------------

/** The files of the model that this process has open; none where the system does not say. */
function openFiles(): string[] {
  const open = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd') : []
  const paths = open.map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`)
    } catch {
      return '' // Closed since, as the one that listed the others.
    }
  })
  return paths.filter((path) => path.includes('golden/preln'))
}

type Load = typeof ShadowModel.fromPretrained
const load: Load = (name, options) => ShadowModel.fromPretrained(name, options)

/** Aborts a load at its n-th word of progress, for every n: it ends with the reason, and holds nothing. */
async function loadIsStoppedAnywhere(of: Load): Promise<void> {
  const started: WasmBackend[] = []
  const create = WasmBackend.create.bind(WasmBackend)
  vi.spyOn(WasmBackend, 'create').mockImplementation(async (options) => {
    const backend = await create(options)
    started.push(backend)
    return backend
  })
  const reason = new Error('enough')
  let steps = 0
  const whole = await of(folder, { onProgress: () => steps++ })
  await whole.dispose()
  expect(steps).toBeGreaterThan(20)
  for (let at = 0; at <= steps; at++) {
    const stop = new AbortController()
    let seen = 0
    const onProgress = (): void => {
      if (++seen === at) stop.abort(reason)
    }
    if (at === 0) stop.abort(reason)
    await expect(of(folder, { signal: stop.signal, onProgress })).rejects.toBe(reason)
    expect(seen).toBe(at)
    expect(openFiles(), 'open files').toEqual([])
    for (const backend of started) expect(backend.liveBuffers, 'buffers left behind').toBe(0)
  }
}

test('a load aborted at any progress report frees all memory', () => loadIsStoppedAnywhere(load))

describe('bugs planted in how a load ends are found', () => {
  const mutants: Record<string, Load> = {
    'a backend that is leaked': async (name, options) => {
      const kept = await WasmBackend.create()
      kept.allocate('f32', [1])
      return load(name, options)
    },
    'an abort that is ignored': (name, { onProgress } = {}) => load(name, { onProgress }),
    'a reason that is replaced': (name, options) =>
      load(name, options).catch(() => {
        throw new Error('stopped')
      }),
  }
  test.each(Object.entries(mutants))('%s', async (_, mutant) => {
    await expect(loadIsStoppedAnywhere(mutant)).rejects.toMatchObject({ name: 'AssertionError' })
  })
})

describe('aborting a text', () => {
  const reason = new Error('enough')

  test('works before it, in its prompt, and between any two tokens', () =>
    leavesNothing(tiny, async () => {
      for (let at = 0; at <= 4; at++) {
        const stop = new AbortController()
        let written = 0
        const writing = async (): Promise<void> => {
          if (at === 0) stop.abort(reason)
          for await (const step of tiny.generate([2, 5], { signal: stop.signal, maxTokens: 6 })) {
            written++
            if (step.index + 1 === at) stop.abort(reason)
          }
        }
        await expect(writing()).rejects.toBe(reason)
        expect(written).toBe(at)
      }
      const stop = new AbortController()
      const planner = {
        name: 'mine',
        by: 'attention' as const,
        choose() {
          stop.abort(reason)
          return denseMask(tiny.model.shape)
        },
      }
      await expect(write(tiny, [2, 5], { planner, signal: stop.signal })).rejects.toBe(reason)
    }))

  test('works for calls that read one', () =>
    leavesNothing(tiny, async () => {
      const opt = await ShadowModel.fromPretrained()
      const stop = new AbortController()
      const long = 'The captain looked at the sea. '.repeat(60)
      const reading = opt.perplexity(long, { signal: stop.signal })
      setImmediate(() => stop.abort(reason))
      await expect(reading).rejects.toBe(reason)
      const before = opt.model.backend.liveBuffers
      expect((await opt.perplexity('The sea')).tokens).toBeGreaterThan(0)
      expect(opt.model.backend.liveBuffers).toBe(before)
      await opt.dispose()
    }))

  test.each([0, 1])(
    'ends a perplexity within a window, and not at its end, %i parts after the first',
    (more) =>
      leavesNothing(tiny, async () => {
        const opt = await ShadowModel.fromPretrained()
        const text = 'The captain looked at the sea. '.repeat(30)
        expect(opt.encode(text).length).toBeLessThan(opt.config.positions)
        const { score } = Sequence.prototype
        const read: number[] = []
        const stop = new AbortController()
        vi.spyOn(Sequence.prototype, 'score').mockImplementation(function (this: Sequence, tokens, targets) {
          read.push(tokens.length)
          if (read.length > more) stop.abort(reason)
          return score.call(this, tokens, targets)
        })
        const before = opt.model.backend.liveBuffers
        await expect(opt.perplexity(text, { signal: stop.signal })).rejects.toBe(reason)
        expect(read.length).toBe(1 + more)
        expect(Math.max(...read)).toBeLessThanOrEqual(100)
        expect(opt.model.backend.liveBuffers).toBe(before)
        vi.restoreAllMocks()
        await opt.dispose()
      }),
  )

  test('leaves other texts running', () =>
    leavesNothing(tiny, async () => {
      const known = await write(tiny, [2, 7], { maxTokens: 4 })
      const stop = new AbortController()
      const [one, other] = [
        tiny.generate([2, 5], { signal: stop.signal }),
        tiny.generate([2, 7], { maxTokens: 4 }),
      ]
      await one.next()
      const found = [await other.next()]
      stop.abort(reason)
      await expect(one.next()).rejects.toBe(reason)
      for (let i = 0; i < 3; i++) found.push(await other.next())
      expect(found.map(({ value }) => typeof value === 'object' && value.token)).toEqual(known)
      await other.return('length')
    }))
})

// ---- After the end -----------------------------------------------------------------------------------------------------

describe('after dispose', () => {
  /** Every method, as it is called then, and what it ends with. */
  const calls: Readonly<Record<string, readonly [expected: string, call: (opt: ShadowModel) => unknown]>> = {
    loadPredictor: ['DISPOSED', (opt) => opt.loadPredictor('none')],
    loadCalibration: ['DISPOSED', (opt) => opt.loadCalibration('none')],
    addMoments: ['DISPOSED', async (opt) => opt.addMoments('none')],
    openSession: ['DISPOSED', (opt) => opt.openSession('none')],
    // Text into ids needs no model.
    encode: ['done', (opt) => opt.encode('a')],
    measured: ['done', (opt) => opt.measured],
    generate: ['DISPOSED', (opt) => write(opt, [5])],
    chat: ['DISPOSED', (opt) => opt.chat([{ role: 'user', content: 'a' }]).next()],
    // Neither does a chat, but this model has no template.
    chatPrompt: ['CHAT_TEMPLATE_MISSING', (opt) => opt.chatPrompt([{ role: 'user', content: 'a' }])],
    forward: ['DISPOSED', (opt) => opt.forward([5])],
    mask: ['DISPOSED', (opt) => opt.mask([5])],
    planner: ['DISPOSED', (opt) => opt.planner()],
    compareMethods: ['DISPOSED', (opt) => opt.compareMethods({ planners: ['shadow'], sparsities: [0.5] })],
    usualPlanner: ['DISPOSED', (opt) => opt.usualPlanner()],
    perplexity: ['DISPOSED', (opt) => opt.perplexity('a')],
    dispose: ['done', (opt) => opt.dispose()],
  }

  test('every method throws DISPOSED, however it is called', async () => {
    const methods = Object.getOwnPropertyNames(ShadowModel.prototype).filter((name) => name !== 'constructor')
    expect(Object.keys(calls).toSorted()).toEqual(methods.toSorted())
    const opt = await ShadowModel.fromPretrained()
    await opt.dispose()
    for (const [name, [expected, call]] of Object.entries(calls))
      expect(await outcome(() => call(opt)), name).toBe(expected)
    expect(opt.model.backend.liveBuffers).toBe(0)
  })

  test('running calls end with DISPOSED at any step, and free all memory', async () => {
    for (const name of ['generate', 'forward', 'mask', 'perplexity', 'loadPredictor', 'loadCalibration']) {
      const opt = await ShadowModel.fromPretrained()
      const predictor = `${fixtures}tiny-opt/predictor.safetensors`
      const work = name === 'loadPredictor' ? opt.loadPredictor(predictor) : calls[name][1](opt)
      const found = outcome(() => work)
      await opt.dispose()
      expect(await found, name).toMatch(name === 'loadCalibration' ? /FILE_MISSING/ : /DISPOSED/)
      expect(opt.model.backend.liveBuffers, name).toBe(0)
    }
  })

  test('a perplexity that is in the middle of a window ends with DISPOSED, and frees all memory', async () => {
    const opt = await ShadowModel.fromPretrained()
    const { score } = Sequence.prototype
    let calls = 0
    vi.spyOn(Sequence.prototype, 'score').mockImplementation(function (this: Sequence, tokens, targets) {
      // In the pause before the second part.
      if (++calls === 1) setImmediate(() => void opt.dispose())
      return score.call(this, tokens, targets)
    })
    const text = 'The captain looked at the sea. '.repeat(30)
    expect(await outcome(() => opt.perplexity(text))).toBe('DISPOSED')
    await opt.dispose()
    expect(calls).toBeLessThan(4)
    expect(opt.model.backend.liveBuffers).toBe(0)
  })

  test('a second disposal in parallel has no effect', async () => {
    const opt = await ShadowModel.fromPretrained(folder)
    const text = opt.generate([5], { maxTokens: 3 })
    await text.next()
    await Promise.all([opt.dispose(), opt.dispose()])
    expect(opt.model.backend.liveBuffers).toBe(0)
    expect(await outcome(() => text.next())).toBe('DISPOSED')
  })
})
