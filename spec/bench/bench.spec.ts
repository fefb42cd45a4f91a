/**
 * A bench that runs: who is measured, how often, under what; what is kept when it is stopped; where time is said to go.
 * Nothing here says how fast.
 *
 * Tests src/bench/job.ts, src/bench/methods.ts, src/bench/profile.ts, src/bench/read_speed.ts, src/bench/subject.ts and
 * src/bench/tests.ts.
 */
import { describe, expect, test, vi } from 'vitest'
import { maskReplay, planOf } from '../../src/bench/methods.ts'
import { makeMethod } from '../../src/results/method.ts'
import { Bench, type BenchOptions, type BenchProgress } from '../../src/bench/bench.ts'
import { Job } from '../../src/bench/job.ts'
import { randomPredictor } from '../../src/bench/predictors.ts'
import { profileDecode } from '../../src/bench/profile.ts'
import { ReadSpeed } from '../../src/bench/read_speed.ts'
import type { BenchRow } from '../../src/bench/rows.ts'
import { loadSubject, randomSubject, type BenchSubject } from '../../src/bench/subject.ts'
import { parseTest } from '../../src/bench/tests.ts'
import { keepsHeads, plannersThat, type PlannerName } from '../../src/planners/index.ts'
import { randomPlanner } from '../../src/planners/random.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import { makeMask, type UnitMask, type UnitShape } from '../../src/masks/mask.ts'
import { selectMask } from '../../src/masks/selection.ts'
import { makeConfig } from '../../src/engine/config.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { Random } from '../../src/tensor/random.ts'
import { overQuickBackends } from '../harness/backends.ts'
import { randomScores } from '../../src/criteria/random.ts'

const sizes = { layers: 3, width: 16, heads: 4, neurons: 24, vocabulary: 40, positions: 64 }
const subject = randomSubject('tiny', makeConfig(sizes), 0)

const usual: BenchOptions = {
  subjects: [subject],
  storages: ['f32'],
  planners: ['random'],
  sparsities: [0.5],
  tests: [parseTest('tg3')],
  rounds: 2,
  backends: ['wasm'],
  threads: [1],
  mode: 'auto',
  cache: 'f32',
  seed: 0,
  profile: false,
  readBytes: 2 ** 16,
}

async function run(options: Partial<BenchOptions>): Promise<BenchRow[]> {
  const bench = new Bench({ ...usual, ...options })
  await bench.run()
  return bench.rows
}

const names = (rows: readonly BenchRow[]): unknown[] =>
  rows.map(({ test: name, planner, sparsity }) => [name, planner, sparsity.requested])

test.each<[string, string, object | null]>([
  ['OPTIONS', 'options: expected an object, got null', null],
  ['OPTION_NAME', 'unknown option planer (did you mean planners?)', { planer: ['random'] }],
  ['PLANNER', 'of which entry 0 is the text randm (did you mean random?)', { planners: ['randm'] }],
  ['OPTION_TYPE', 'of which entry 0 is the text opt-125m', { subjects: ['opt-125m'] }],
  ['OPTION_TYPE', 'tests: expected a list of tests of parseTest', { tests: ['tg3'] }],
  ['BACKEND_NAME', 'backends: expected a list of backends, got the text wasm', { backends: 'wasm' }],
  ['THREADS', 'of which entry 0 is 0', { threads: [0] }],
  ['SPARSITY', 'of which entry 0 is 50 (50 % is 0.5)', { sparsities: [50] }],
  ['OPTION_TYPE', 'rounds: expected a whole number from 1, got 0', { rounds: 0 }],
  ['OPTION_TYPE', 'profile: expected true or false, got undefined', { profile: undefined }],
])('a bench refuses other options by %s: %s', (code, message, change) => {
  expect(() => new Bench((change && { ...usual, ...change }) as BenchOptions)).toThrow(
    expect.objectContaining({ code, message: expect.stringContaining(message) as string, exitCode: 2 }),
  )
})

describe('every method', () => {
  const planners = ['random', 'shadow', 'dejavu-style', 'dejavu'] as const
  // Of 12 heads and 72 neurons 8 and 48 are ranked; each ranked layer keeps a head.
  const skipped = {
    0.5: { whole: [4 / 12, 24 / 72], layers: [4 / 12, 24 / 72] },
    0.9: { whole: [6 / 12, 43 / 72], layers: [6 / 12, 44 / 72] },
  }

  test.each(['wasm', 'reference'] as const)(
    'on %s has its turn in every round, and skips what was asked for',
    async (backend) => {
      const tests = ['pp7', 'tg3', 'tg2@5'].map(parseTest)
      const rows = await run({ backends: [backend], planners, sparsities: [0.5, 0.9], tests })
      const each = [['dense', 0], ...[0.5, 0.9].flatMap((s) => planners.map((planner) => [planner, s]))]
      expect(names(rows)).toEqual(tests.flatMap(({ name }) => each.map((method) => [name, ...method])))
      for (const { planner, sparsity, samples, ways, predictorShare } of rows) {
        const { whole, layers } = skipped[sparsity.requested as 0.5 | 0.9] ?? {
          whole: [0, 0],
          layers: [0, 0],
        }
        const expected = planner === 'dejavu' ? layers : whole
        expect([sparsity.heads, sparsity.neurons]).toEqual(expected)
        expect(samples).toHaveLength(2)
        for (const rate of samples) expect(rate).toBeGreaterThan(0)
        expect(ways.dense + ways.gather + ways.packed).toBe(6)
        expect(predictorShare > 0).toBe(planner !== 'dense')
      }
    },
  )

  test('that decides when the prompt has run has the time of that in its turns', async () => {
    const latePlanners = plannersThat(({ by }) => by === 'prompt')
    const rows = await run({ planners: latePlanners, tests: ['pp7', 'tg3@5'].map(parseTest) })
    expect(names(rows).length).toBe(2 * (1 + latePlanners.length))
    for (const { planner, sparsity, ways, predictorShare } of rows.filter(
      ({ planner }) => planner !== 'dense',
    )) {
      const { whole } = skipped[0.5]
      expect([sparsity.heads, sparsity.neurons]).toEqual([
        keepsHeads(planner as PlannerName) ? 0 : whole[0],
        whole[1],
      ])
      expect(ways.dense + ways.gather + ways.packed).toBe(6)
      expect(predictorShare).toBeGreaterThan(0)
    }
  })

  test('that decides by gates skips neurons of each token', async () => {
    const [, { sparsity, ways, predictorShare }] = await run({
      planners: ['cats'],
      tests: [parseTest('tg3@5')],
    })
    expect([sparsity.heads, sparsity.neurons > 0, sparsity.neurons < 48 / 72]).toEqual([0, true, true])
    // A layer all of whose gates reach its cut-off is dense.
    expect([ways.dense + ways.gather, ways.gather > 0, ways.packed]).toEqual([6, true, 0])
    expect(predictorShare).toBeGreaterThan(0)
  })

  test.each(plannersThat(({ skips }) => skips === 'channels'))(
    'that masks input channels reads fewer rows of out and fc2: %s',
    async (planner) => {
      const [dense, { sparsity, ways, predictorShare, bytesPerToken }] = await run({
        planners: [planner],
        tests: [parseTest('tg3@5')],
      })
      expect([sparsity.heads, sparsity.neurons]).toEqual([0, 0])
      const { channels = 0, weights } = sparsity
      expect([channels > weights, weights > 0, channels < 1]).toEqual([true, true, true])
      if (planner === 'wina') expect(channels).toBeCloseTo(0.5 * (2 / 3), 12)
      // The matrices of a layer have 4 W W + 2 W F numbers of four bytes.
      const unread = 3 * (4 * 16 * 16 + 2 * 16 * 24) * weights
      expect(Number(dense.bytesPerToken) - Number(bytesPerToken)).toBeCloseTo(4 * unread, 6)
      expect(ways).toEqual({ dense: 6, gather: 0, packed: 0 })
      expect(predictorShare).toBeGreaterThan(0)
    },
  )

  test('reads the kept weights and its predictor', async () => {
    const rows = await run({ planners, tests: [parseTest('tg4')], rounds: 1 })
    const bytes = Object.fromEntries(
      rows.map(({ planner, bytesPerToken }) => [planner, Number(bytesPerToken)]),
    )
    // 2048 and 1024 hidden units, asked once in four tokens; 512 and 1000 of them in two layers.
    const shadow = 4 * (2048 * 17 + 8 * 2049 + 1024 * 17 + 48 * 1025)
    const style = 4 * 2 * (512 * 17 + 4 * 513 + 1000 * 17 + 24 * 1001)
    const dejavu = 4 * 2 * (512 * 16 + 4 * 512 + 1000 * 16 + 24 * 1000)
    expect(bytes.dense).toBeGreaterThan(bytes.random)
    expect(bytes.shadow - bytes.random).toBe(shadow / 4)
    expect(bytes['dejavu-style'] - bytes.random).toBe(style / 4)
    expect(bytes.dejavu - bytes.random).toBe(dejavu)
  })

  test('is measured in every storage, the methods of a test side by side', async () => {
    const storages = ['f32', 'bf16', 'f16', 'int8'] as const
    const rows = await run({ storages, planners: ['shadow'], tests: [parseTest('pp3'), parseTest('tg2')] })
    expect(rows.map(({ test: name, storage, planner }) => [name, storage, planner])).toEqual(
      ['pp3', 'tg2'].flatMap((name) =>
        storages.flatMap((storage) => [
          [name, storage, 'dense'],
          [name, storage, 'shadow'],
        ]),
      ),
    )
    const [f32, bf16, f16, int8] = rows.slice(8).filter(({ planner }) => planner === 'dense')
    expect(f32.timesFirst).toBe(1)
    expect(bf16.bytesPerToken).toBe(f16.bytesPerToken)
    expect(Number(bf16.bytesPerToken)).toBeLessThan(0.6 * Number(f32.bytesPerToken))
    expect(Number(int8.bytesPerToken)).toBeLessThan(Number(bf16.bytesPerToken))
  })

  test('is measured with every number of threads', async () => {
    const rows = await run({ threads: [1, 2], planners: ['dense'], rounds: 1 })
    expect(rows.map(({ threadsAsked, timesDense }) => [threadsAsked, timesDense])).toEqual([
      [1, 1],
      [2, 1],
    ])
    expect(rows[0].threads).toBe(1)
  })

  test('executes a mask with the requested strategy', async () => {
    const ways = async (mode: BenchOptions['mode']): Promise<unknown> =>
      (await run({ mode, rounds: 1 })).map((row) => row.ways)
    const dense = { dense: 6, gather: 0, packed: 0 }
    expect(await ways('pack')).toEqual([dense, { dense: 2, gather: 0, packed: 4 }])
    expect(await ways('skip')).toEqual([dense, { dense: 2, gather: 4, packed: 0 }])
  })
})

test('a mask file is replayed unchanged, layer 0 included', async () => {
  const readMask = async ({ layers, heads, neurons }: UnitShape): Promise<UnitMask> =>
    makeMask(
      { layers, heads, neurons },
      Float32Array.from({ length: layers * heads }, (_, i) => (i % 4 === 0 ? 0 : 1)),
      Float32Array.from({ length: layers * neurons }, (_, i) => (i % 3 === 0 ? 0 : 1)),
    )
  const [, row] = await run({ planners: ['dense'], readMask, tests: [parseTest('tg2@4')] })
  expect(row).toMatchObject({
    planner: 'mask',
    sparsity: { requested: null, heads: 1 / 4, neurons: 1 / 3 },
    predictorShare: 0,
  })
})

describe('measurements are kept', () => {
  /** A bench that is stopped where `when` says so. */
  async function stopped(
    options: Partial<BenchOptions>,
    when: (progress: BenchProgress) => boolean,
  ): Promise<Bench> {
    const controller = new AbortController()
    const onProgress = (progress: BenchProgress): void => {
      if (when(progress)) controller.abort()
    }
    const bench = new Bench({ ...usual, ...options }, onProgress, controller.signal)
    await expect(bench.run()).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    return bench
  }

  test('when stopped: the finished rounds', async () => {
    // In turns: reading, dense, random; dense, reading, random; the seventh is not begun.
    const bench = await stopped({ rounds: 9 }, ({ stage, done }) => stage === '3x16' && done === 6)
    expect(bench.rows.map(({ planner, samples }) => [planner, samples.length])).toEqual([
      ['dense', 2],
      ['random', 2],
    ])
    expect(bench.reads).toHaveLength(2)
  })

  test('when stopped inside a round: the methods that had run', async () => {
    const bench = await stopped({}, ({ stage, done }) => stage === '3x16' && done === 2)
    expect(names(bench.rows)).toEqual([['tg3', 'dense', 0]])
  })

  test('when stopped while loading: none', async () => {
    const bench = await stopped({}, ({ stage }) => stage.startsWith('loading'))
    expect([bench.rows, bench.reads]).toEqual([[], []])
  })

  test('when a later model fails', async () => {
    const broken: BenchSubject = { ...subject, open: () => Promise.reject(new Error('planted')) }
    const bench = new Bench({ ...usual, subjects: [subject, broken] })
    await expect(bench.run()).rejects.toThrow('planted')
    expect(bench.rows).toHaveLength(2)
  })
})

describe('an impossible bench is refused before anything is measured', () => {
  test.each<[Partial<BenchOptions>, string]>([
    [{ tests: [parseTest('tg33')] }, 'CONTEXT_LENGTH'],
    [{ threads: [2], backends: ['reference'] }, 'THREADS'],
    [{ planners: ['shadow'], subjects: [{ ...subject, weights: 'checkpoint' }] }, 'PREDICTOR_MISSING'],
  ])('%o: %s', async (options, code) => {
    const bench = new Bench({ ...usual, ...options })
    await expect(bench.run()).rejects.toMatchObject({ code })
    expect(bench.rows).toEqual([])
  })
})

test('a checkpoint is measured under the predictors that were read for it, which are given back', async () => {
  const asked: unknown[] = []
  let live = 0
  const rows = await run({
    planners: ['shadow'],
    subjects: [{ ...subject, weights: 'checkpoint' }],
    readPredictors: (model, kinds) => {
      asked.push([model.config.layers, ...kinds])
      const own = kinds.map((kind) => randomPredictor(kind, model.config, model.backend, 'f32', 5))
      live += own.length
      for (const predictor of own) {
        const { dispose } = predictor
        predictor.dispose = () => {
          live--
          dispose.call(predictor)
        }
      }
      return Promise.resolve(own)
    },
  })
  expect(asked).toEqual([[3, 'shadow']])
  expect(names(rows)).toEqual([
    ['tg3', 'dense', 0],
    ['tg3', 'shadow', 0.5],
  ])
  expect(live).toBe(0)
})

describe('the speed by the length of a text', () => {
  const named = (name: string, positions: number): BenchSubject =>
    randomSubject(name, makeConfig({ ...sizes, positions }), 0)

  test('has a row for each length that fits each model, and tells of each', async () => {
    const told: BenchProgress[] = []
    const options = { ...usual, subjects: [named('short', 64), named('long', 136)], depthSeconds: 3600 }
    const bench = new Bench(options, (progress) => told.push(progress))
    await bench.run()
    const { rows, leftOut } = bench.depths
    expect(leftOut).toEqual([])
    expect(rows).toMatchObject([
      { model: 'short (random weights)', storage: 'f32', threadsAsked: 1, length: 0 },
      { model: 'long (random weights)', storage: 'f32', threadsAsked: 1, length: 0 },
      { model: 'long (random weights)', storage: 'f32', threadsAsked: 1, length: 128 },
    ])
    expect(told.filter(({ stage }) => stage === 'depths of 3x16')).toEqual(
      [[0, 64] as const, [0, 136] as const, [128, 136] as const].map(([done, total]) => {
        return { stage: 'depths of 3x16', done, total }
      }),
    )
  })

  test('is not measured unless asked for; lengths for which no time was left are named once, the shortest first', async () => {
    const subjects = [named('long', 1100), named('short', 600)]
    // The time is over before it begins.
    const bench = new Bench({ ...usual, subjects, depthSeconds: -1 })
    await bench.run()
    expect(bench.depths).toEqual({ rows: [], leftOut: [0, 128, 512, 1024] })
    const other = new Bench({ ...usual, subjects })
    await other.run()
    expect(other.depths).toEqual({ rows: [], leftOut: [] })
  })
})

test('the provenance names what was measured', async () => {
  const other = randomSubject('other', makeConfig({ ...sizes, layers: 1 }), 0)
  const bench = new Bench({ ...usual, subjects: [subject, other] })
  expect(await bench.provenance(['bench'])).toMatchObject({
    model: { name: 'tiny (random weights), other (random weights)', hash: expect.stringMatching(/^\w{64}$/) },
    backend: 'wasm',
    argv: ['bench'],
    seed: 0,
  })
})

test('the read speed is measured in every round', async () => {
  const speed = await ReadSpeed.open(2 ** 16)
  for (let turn = 0; turn < 2; turn++) expect(speed.measure()).toBeGreaterThan(0)
  speed.dispose()
})

/** A job of a test, under random masks. */
function jobOf(model: LanguageModel, name: string): Job {
  return new Job({
    subject,
    storage: 'f32',
    threads: 1,
    method: { planner: 'random', sparsity: 0.5 },
    test: parseTest(name),
    predictorBytes: 0,
    model,
    makePlan: () => ({ planner: randomPlanner(model.shape, makeBudget(0.5), 1) }),
    seed: 0,
  })
}

describe('jobs and profiles leave nothing behind', () =>
  overQuickBackends((backend) => {
    test.each(['tg3', 'tg3@9'])('a running turn of %s ends when it is stopped', async (name) => {
      const model = await loadSubject(subject, 'f32', backend)
      const job = jobOf(model, name)
      // Steps take so long that the turn looks after each whether it is stopped.
      let time = 0
      const clock = vi.spyOn(performance, 'now').mockImplementation(() => (time += 10_000))
      try {
        await expect(job.run(AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' })
        await expect(job.warmUp(AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' })
      } finally {
        clock.mockRestore()
      }
      expect(job.turns).toEqual([])
      await job.run()
      expect(job.turns).toHaveLength(1)
      job.dispose()
      model.dispose()
    })

    test('jobs of every test', async () => {
      const model = await loadSubject(subject, 'f32', backend)
      for (const name of ['pp5', 'tg3', 'tg3@9']) {
        const job = jobOf(model, name)
        await job.warmUp()
        for (let turn = 0; turn < 2; turn++) await job.run()
        expect(job.turns.map(({ tokens }) => tokens)).toEqual(name === 'pp5' ? [5, 5] : [3, 3])
        job.dispose()
      }
      model.dispose()
    })

    test('a method runs with its requested settings', async () => {
      const model = await loadSubject(subject, 'f32', backend)
      const inputs = { predictors: [], mask: null, mode: 'skip', cache: 'int8', seed: 0 } as const
      const methods = (['dense', 'random', 'dejavu'] as const).map((planner) =>
        makeMethod({ planner, sparsity: 0.5 }),
      )
      for (const method of [methods[0], methods[1], maskReplay])
        expect(planOf(method, model, inputs)).toMatchObject({ mode: 'skip', cache: 'int8' })
      expect(() => planOf(methods[2], model, inputs)).toThrow(
        'planner dejavu: expected a predictor of its kind, got none',
      )
      model.dispose()
    })

    test('a profile names the ops of a storage', async () => {
      const model = await loadSubject(subject, 'int8', backend)
      const sizesOfIt = { tokens: 2, rounds: 1 }
      const plan = { cache: 'int8' } as const
      const { lines } = await profileDecode(model, Int32Array.of(1), () => plan, sizesOfIt)
      const ops = lines.filter(({ op }) => op?.endsWith('_i8')).map(({ what, op }) => `${what} ${op}`)
      expect(ops.toSorted()).toEqual([
        'attention attention_i8',
        'attention cache_append_i8',
        'fc1 linear_i8',
        'fc2 linear_input_major_i8',
        'lm_head linear_i8',
        'out_proj linear_input_major_i8',
        'q/k/v linear_i8',
        'rest embedding_i8',
      ])
      model.dispose()
    })

    test('a profile names the matrices, packed ones too, and counts calls and bytes', async () => {
      const model = await loadSubject(subject, 'f32', backend)
      const prompt = Int32Array.of(1, 2, 3)
      const profile = await profileDecode(
        model,
        prompt,
        (topK) => ({
          mode: 'pack',
          planner: {
            name: 'law',
            by: 'attention',
            choose: () => selectMask(randomScores(model.shape, new Random(2)), makeBudget(0.5), topK),
          },
        }),
        { tokens: 4, rounds: 2 },
      )
      const calls = Object.fromEntries(
        profile.lines
          .filter(({ op }) => op !== null)
          .map(({ what, op, calls: count }) => [`${what} ${op}`, count]),
      )
      expect(calls).toEqual({
        'q/k/v linear': 9,
        'attention cache_append': 6,
        'attention attention': 3,
        'out_proj linear_input_major': 3,
        'fc1 linear': 3,
        'fc2 linear_input_major': 3,
        'lm_head linear': 1,
        'norms layer_norm': 7,
        'rest relu': 3,
        'rest add': 7,
        'rest embedding': 2,
      })
      const head = profile.lines.find(({ what }) => what === 'lm_head')
      const bytes = Number(head?.bytesPerSecond) * (Number(head?.milliseconds) / 1000)
      // The matrix, what it is applied to and gives, and the places of a bias and a list, as the catalogue counts.
      expect(bytes).toBeCloseTo(4 * (40 * 16 + 16 + 40 + 2 * 40), 3)
      expect(profile.lines.map(({ what }) => what)).toEqual(
        expect.arrayContaining(['predictor', 'selection', 'packing', 'host']),
      )
      const total = profile.lines.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
      expect(total).toBeCloseTo(profile.milliseconds, 9)
      expect(Number.isFinite(profile.overhead)).toBe(true)
      model.dispose()
    })
  }))

test('every method has a profile, for the first test that decodes', async () => {
  const tests = ['pp4', 'tg2', 'tg3'].map(parseTest)
  const bench = new Bench({ ...usual, tests, profile: true, rounds: 1 })
  await bench.run()
  expect(bench.profiles.map(({ planner, requested, test: name }) => [planner, requested, name])).toEqual([
    ['dense', 0, 'tg2'],
    ['random', 0.5, 'tg2'],
  ])
})
