/**
 * The whole experiment on a small random model: what the rows count is what was done, and being stopped loses nothing.
 *
 * Tests src/evaluation/decode.ts, src/experiments/methods.ts and src/experiments/reproduce_report.ts.
 */
import { AS_RELEASED } from '../../src/results/method.ts'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { plainact } from '../../src/criteria/plainact.ts'
import { collectExample } from '../../src/calibration/examples.ts'
import { sparsePlanners } from '../../src/experiments/methods.ts'
import { decodeTurn, measureDecode, tokensPerSecond } from '../../src/evaluation/decode.ts'
import { scoreWindow, type WindowScore } from '../../src/evaluation/score_window.ts'
import { compareScores, natsPerToken, natsPerWord, perplexityOf } from '../../src/evaluation/tally.ts'
import {
  describeReport,
  formatReport,
  gapClosed,
  reproduceExperiment,
  type ReproduceReport,
} from '../../src/experiments/reproduce_report.ts'
import { reproduce, type ReproduceOptions, type ReproduceProgress } from '../../src/experiments/reproduce.ts'
import type { Settings } from '../../src/evaluation/settings.ts'
import { continuationLabels, type Window } from '../../src/data/windows.ts'
import { makeBudget } from '../../src/masks/budget.ts'
import type { MaskPlanner } from '../../src/masks/planner.ts'
import type { UnitScores } from '../../src/masks/selection.ts'
import { backward } from '../../src/engine/backward.ts'
import type { LanguageModel } from '../../src/engine/language_model.ts'
import { traceForward } from '../../src/engine/trace.ts'
import { oraclePlanner } from '../../src/planners/oracle.ts'
import { Random } from '../../src/tensor/random.ts'
import { somePages, useSmallModel } from '../evaluation/small_model.ts'
import { expectNear } from '../golden/golden.ts'

const small = useSmallModel('reference')
let backend: Backend
let model: LanguageModel
beforeAll(() => {
  model = small.source().model
  backend = model.backend
})

/** Enough that each genre keeps one for evaluation. */
const documents = somePages(10)

const settings: Settings = {
  prompt: 12,
  continuation: 10,
  pruned: [],
  calibration: 6,
  evaluation: 3,
  sparsities: [0.5, 0.75],
  features: 'standard',
  targets: 'raw',
  sourceLayer: 0,
  pooling: 'last',
  headHidden: 4,
  neuronHidden: 4,
  training: { epochs: 3, batch: 4, rate: 1e-2, decay: 0, heldOut: 0.3, patience: 5 },
  decode: { prompt: 6, tokens: 3, rounds: 2 },
}

const optionsOf = (more: Partial<ReproduceOptions> = {}): ReproduceOptions => ({
  ...small.source(),
  store: small.newStore(),
  documents,
  settings,
  ...more,
})

const window: Window = {
  document: 'page',
  genre: 'prose',
  tokens: new Random(1).permutation(20).map((id) => id + 5),
  promptLength: 8,
  words: 4,
}

/** The scores of the window's own continuation. */
const trueScores = (): UnitScores =>
  collectExample(model, window, [plainact]).scores.get('plainact') ?? expect.unreachable()

describe('a window', () => {
  test('is scored on its continuation: dense, that equals the loss of the backward pass', () => {
    const trace = traceForward(model, window.tokens)
    const gradients = backward(model, trace, continuationLabels(window))
    const score = scoreWindow(model, window)
    expect(score).toMatchObject({ tokens: 12, words: 4, mask: null })
    expectNear([score.nll], [gradients.loss * 12], 1e-4, 'nll')
    gradients.dispose()
    trace.dispose()
  })

  test('costs the same skipped or simulated', () => {
    const planner = oraclePlanner(trueScores(), makeBudget(0.5))
    const skipped = scoreWindow(model, window, { planner, mode: 'skip' })
    expect(scoreWindow(model, window, { planner, mode: 'simulate' })).toEqual(skipped)
    expect(skipped.nll).not.toBe(scoreWindow(model, window).nll)
  })

  test('counts by its tokens and by its words: perplexities are of sums, not means of perplexities', () => {
    const scores = [
      { nll: 12, tokens: 4, words: 2 },
      { nll: 3, tokens: 1, words: 1 },
    ]
    expect(perplexityOf(natsPerToken(scores)).value).toBeCloseTo(Math.exp(3), 10)
    expect(perplexityOf(natsPerWord(scores)).value).toBeCloseTo(Math.exp(5), 10)
  })
})

test('differences are per token with errors over windows, so common variation cancels', () => {
  const score = (nll: number): WindowScore => ({ nll, tokens: 10, words: 5, mask: null })
  const first = [score(31), score(52), score(13)]
  const second = [score(30), score(50), score(10)]
  const { nats, error } = compareScores(first, second)
  expect(nats).toBeCloseTo(6 / 30, 12)
  // Per window 0.1, 0.2 and 0.3: deviation 0.1, over the root of three windows.
  expect(error).toBeCloseTo(0.1 / Math.sqrt(3), 12)
  expect(compareScores(first.slice(0, 1), second.slice(0, 1)).error).toBeNull()
  expect(() => compareScores(first.slice(0, 1), second)).toThrow(
    `second: expected a score of each of the 1 windows of first, got ${second.length}`,
  )
})

describe('decoding', () => {
  test('is timed in interleaved rounds, one figure per method', async () => {
    const turns: number[] = []
    const sizes = { prompt: 4, tokens: 3, rounds: 3 }
    const planner = oraclePlanner(trueScores(), makeBudget(0.5))
    const speeds = await measureDecode(model, window.tokens.slice(0, 4), [null, planner], sizes, (done) =>
      turns.push(done),
    )
    expect(turns).toEqual([1, 2, 3, 4, 5, 6])
    expect(speeds.map((rounds) => rounds.length)).toEqual([3, 3])
    for (const speed of speeds.flat()) expect(speed).toBeGreaterThan(0)
  })

  test('includes the time of the planner', async () => {
    const planner = oraclePlanner(trueScores(), makeBudget(0.5))
    const slow: MaskPlanner = {
      name: 'slow',
      by: 'attention',
      choose(view) {
        const end = performance.now() + 100
        while (performance.now() < end);
        return planner.choose(view)
      },
    }
    // Three tokens in more than a tenth of a second.
    const turn = await decodeTurn(model, window.tokens.slice(0, 4), 3, { planner: slow })
    expect(tokensPerSecond(turn)).toBeLessThan(30)
    expect(turn.planning).toBeGreaterThan(100)
  })
})

describe('reproduce', () => {
  test('has a row for dense and for every planner at every sparsity, all in the form of --json', async () => {
    const seen: ReproduceProgress[] = []
    const report = await reproduce(optionsOf({ seed: 4, argv: ['reproduce'] }), (progress) =>
      seen.push(progress),
    )
    expect(report).toMatchObject({ complete: true, calibrationWindows: 6, evaluationWindows: 3 })
    expect(report.rows.map((row) => [row.planner, row.sparsity])).toEqual([
      ['dense', 0],
      // Two of them also learn as released.
      ...[0.5, 0.75].flatMap((share) =>
        sparsePlanners.flatMap((name) =>
          ['shadow', 'dejavu-style'].includes(name)
            ? [
                [name, share],
                [name, share],
              ]
            : [[name, share]],
        ),
      ),
    ])
    for (const row of report.rows) {
      expect(Object.keys(row)).toEqual([
        'planner',
        'criterion',
        'scope',
        'sparsity',
        'seed',
        'achieved',
        'tokenPerplexity',
        'tokenPerplexityError',
        'wordPerplexity',
        'decodeTokensPerSecond',
        'decodeRatioRange',
      ])
      expect(row.tokenPerplexityError).toBeGreaterThan(0)
      expect(row).toMatchObject({ scope: 'global', seed: 4 })
      const baseline = row.planner.startsWith('dejavu') ? 'l2norm' : 'plainact'
      expect(row.criterion.replace(AS_RELEASED, '')).toBe(
        ['dense', 'random'].includes(row.planner) ? 'none' : baseline,
      )
      // Two of three layers are ranked: 8 heads and 48 neurons.
      const kept = { heads: Math.round(8 * (1 - row.sparsity)), neurons: Math.round(48 * (1 - row.sparsity)) }
      expect(row.achieved.heads).toBeCloseTo((8 - kept.heads) / 12, 10)
      expect(row.achieved.neurons).toBeCloseTo((48 - kept.neurons) / 72, 10)
      expect(row.wordPerplexity).toBeGreaterThan(row.tokenPerplexity)
      expect(row.decodeTokensPerSecond).toBeGreaterThan(0)
    }
    expect(new Set(report.rows.map((row) => row.tokenPerplexity)).size).toBeGreaterThan(6)
    for (const { sparsity, nats, error } of report.shadowAgainstStatic) {
      const of = (planner: string): number =>
        Math.log(
          report.rows.find((row) => row.planner === planner && row.sparsity === sparsity)?.tokenPerplexity ??
            NaN,
        )
      expect(nats).toBeCloseTo(of('shadow') - of('static'), 10)
      expect(error).toBeGreaterThanOrEqual(0)
    }
    expect(report.shadowAgainstStatic).toHaveLength(2)
    expect(report.provenance).toMatchObject({ backend: 'reference', seed: 4, argv: ['reproduce'] })
    expect(report.provenance.model).toEqual({
      name: 'small',
      hash: '9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c',
    })
    expect(new Set(seen.map(({ stage }) => stage))).toEqual(
      new Set(['prepare', 'calibrate', 'train', 'evaluate', 'decode']),
    )
    const last = seen.at(-1)
    expect(last).toMatchObject({ stage: 'decode', done: 38, total: 38 })
    expect(last?.secondsLeft).toBeCloseTo(0, 6)
  })

  test('gives the same numbers for the same seed, except speed', async () => {
    const withoutSpeed = ({ rows }: ReproduceReport): unknown[] =>
      rows.map((row) => ({ ...row, decodeTokensPerSecond: 0, decodeRatioRange: null }))
    const first = withoutSpeed(await reproduce(optionsOf({ seed: 1 })))
    expect(withoutSpeed(await reproduce(optionsOf({ seed: 1 })))).toEqual(first)
    expect(withoutSpeed(await reproduce(optionsOf({ seed: 2 })))).not.toEqual(first)
  })

  test('with targets of a pruned model, has a row for static pruning by such scores too', async () => {
    const { rows } = await reproduce(
      optionsOf({
        settings: { ...settings, pruned: [0.5, 0.9], sparsities: [0.5] },
        planners: ['static', 'shadow', 'oracle'],
      }),
    )
    expect(rows.map(({ planner, criterion }) => `${planner} ${criterion}`)).toEqual([
      'dense none',
      'oracle plainact',
      'shadow plainact@0.5',
      'shadow plainact, as released',
      'static plainact',
      'static plainact@0.5',
    ])
    expect(new Set(rows.map(({ tokenPerplexity }) => tokenPerplexity)).size).toBe(rows.length)
  })

  test('computes only what the requested planners need', async () => {
    const report = await reproduce(optionsOf({ planners: ['oracle'] }))
    expect(report).toMatchObject({ calibrationWindows: 0, predictorLoss: null })
    expect(report.rows.map((row) => row.planner)).toEqual(['dense', 'oracle', 'oracle'])
  })

  test('interrupted, reports the windows that every method has scored', async () => {
    const stopAfter = async (stage: string, done: number): Promise<ReproduceReport> => {
      const interrupt = new AbortController()
      const live = backend.liveBuffers
      const report = await reproduce(
        optionsOf({ documents: somePages(60), settings: { ...settings, evaluation: 12 } }),
        (progress) => {
          if (progress.stage === stage && progress.done === done) interrupt.abort()
        },
        interrupt.signal,
      )
      expect(backend.liveBuffers).toBe(live)
      expect(report.complete).toBe(false)
      return report
    }
    expect(await stopAfter('calibrate', 2)).toMatchObject({
      rows: [],
      calibrationWindows: 2,
      evaluationWindows: 0,
    })
    // Nineteen methods and eight windows in a part: these are scores of one part and of some of the next.
    const report = await stopAfter('evaluate', 19 * 8 + 5)
    expect(report.evaluationWindows).toBe(8)
    expect(report.rows).toHaveLength(19)
    expect(report.rows[0].decodeTokensPerSecond).toBe(null)
    expect(formatReport(report)).toContain('The run was stopped')
  })

  test('gives access to the predictor before it is disposed', async () => {
    let scored = 0
    await reproduce(
      optionsOf({
        onPredictor: (predictor) => {
          scored = predictor.predict(new Float32Array(16).fill(1), 1).neurons.length
          expect(predictor.config).toMatchObject({ examples: 6, criterion: 'plainact', width: 16 })
        },
      }),
    )
    expect(scored).toBe(72)
  })

  test('refuses impossible settings by name', async () => {
    const refused = (more: Partial<ReproduceOptions>): Promise<unknown> => reproduce(optionsOf(more))
    await expect(refused({ settings: { ...settings, prompt: 30 } })).rejects.toThrow(
      'window: expected at most 32 tokens, got 40',
    )
    await expect(refused({ criterion: 'magic' })).rejects.toThrow('criterion: expected one of')
    await expect(refused({ documents: documents.map((one) => ({ ...one, text: 'short' })) })).rejects.toThrow(
      'text: expected documents of 22 tokens or more in both parts, got none',
    )
  })

  test.each<[string, string, object | null]>([
    ['OPTIONS', 'options: expected an object, got null', null],
    ['OPTION_NAME', 'unknown option planer (did you mean planners?)', { planer: ['random'] }],
    ['PLANNER', 'of which entry 0 is the text randm (did you mean random?)', { planners: ['randm'] }],
    ['PLANNER', 'of which entry 0 is the text griffin', { planners: ['griffin'] }],
    [
      'OPTION_TYPE',
      'size: expected one of quick, usual, full, got quik (did you mean quick?)',
      { size: 'quik' },
    ],
    ['OPTION_TYPE', 'store: expected a store of openPartStore, got the text parts', { store: 'parts' }],
    ['OPTION_TYPE', 'model: expected a loaded model, got undefined', { model: undefined }],
    ['OPTION_TYPE', 'of which entry 0 is an object without name', { documents: [{}] }],
    ['OPTION_NAME', 'unknown field promt (did you mean prompt?)', { settings: { promt: 12 } }],
    ['SPARSITY', 'of which entry 0 is 50 (50 % is 0.5)', { settings: { sparsities: [50] } }],
    ['WINDOWS', 'evaluation: expected a whole number from 1, got 0', { settings: { evaluation: 0 } }],
    ['OPTION_TYPE', 'decode: expected the sizes of decoded texts', { settings: { decode: { prompt: 4 } } }],
  ])('refuses what is no option or setting, %s: %s', async (code, message, change) => {
    const options = (change && { ...optionsOf(), ...change }) as ReproduceOptions
    await expect(reproduce(options)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
      exitCode: 2,
    })
  })

  test('refuses a listener and a signal of another type', async () => {
    await expect(reproduce(optionsOf(), 5 as never)).rejects.toThrow('onProgress: expected a function, got 5')
    await expect(reproduce(optionsOf(), undefined, {} as never)).rejects.toThrow('signal: expected an')
  })
})

describe('a report', () => {
  const row = (
    planner: 'oracle' | 'shadow' | 'static' | 'random',
    tokenPerplexity: number,
  ): ReproduceReport['rows'][0] => ({
    planner,
    criterion: 'plainact',
    scope: 'global',
    sparsity: 0.5,
    seed: 0,
    achieved: { heads: 0.4375, neurons: 0.4375, weights: 0.4375 },
    tokenPerplexity,
    tokenPerplexityError: 0.02 * tokenPerplexity,
    wordPerplexity: 10 * tokenPerplexity,
    decodeTokensPerSecond: 200,
    decodeRatioRange: null,
  })
  const reportOf = (...rows: ReproduceReport['rows']): ReproduceReport => ({
    rows,
    provenance: {} as ReproduceReport['provenance'],
    complete: true,
    calibrationWindows: 6,
    evaluationWindows: 3,
    predictorLoss: null,
    shadowAgainstStatic: [],
    layers: [],
    measured: [],
    seconds: 12,
  })

  test('states whether the order holds', () => {
    const good = reportOf(row('oracle', 100), row('shadow', 105), row('static', 120), row('random', 180))
    expect(describeReport(good)[0]).toBe(
      'At 50 %: shadow 105.0 ≤ static 120.0 ≤ random 180.0 holds (perplexity per token).',
    )
    expect(gapClosed(good, 0.5)).toBeCloseTo(0.75, 10)
    const bad = reportOf(row('oracle', 110), row('shadow', 125), row('static', 120), row('random', 180))
    expect(describeReport(bad)[0]).toContain('DOES NOT HOLD')
    const behind = reportOf(row('oracle', 100), row('shadow', 190), row('static', 100), row('random', 180))
    expect(describeReport(behind)[0]).toContain('DOES NOT HOLD')
    // Static pruning as good as the oracle leaves no gap to close.
    expect(gapClosed(behind, 0.5)).toBeNull()
    const unknown = reportOf(row('oracle', 100), row('shadow', 130), row('static', 120))
    expect(describeReport(unknown)).toEqual(['Windows: 6 calibrated on, 3 scored; 12 s.'])
  })

  test('begins with a verdict: what the predictor costs and gains, and no speed-up that rounds do not show', () => {
    const dense = { ...row('static', 80), planner: 'dense' as const, sparsity: 0, decodeTokensPerSecond: 100 }
    const verdictOf = (range: ReproduceReport['rows'][0]['decodeRatioRange']): string => {
      const rows = [dense, { ...row('shadow', 105), decodeRatioRange: range }, row('static', 120)]
      return reproduceExperiment(reportOf(...rows), 'shadowllm reproduce').findings[0]
    }
    const cost =
      'With 50 % of the ranked units skipped by the predictor, perplexity goes from 80.00 to 105.0, under static pruning to 120.0; '
    expect(verdictOf([1.8, 2.1])).toBe(`${cost}it decodes at 2.00 times the dense speed (1.80 to 2.10).`)
    expect(verdictOf([0.97, 1.2])).toBe(
      `${cost}no difference of speed can be told (0.97 to 1.20 times the dense speed).`,
    )
    expect(verdictOf(null)).toContain('too few rounds for a range')
    const several = [0.9, 0.4, 0.25, 0.75].map((sparsity) => ({ ...row('shadow', 105), sparsity }))
    const { findings } = reproduceExperiment(reportOf(dense, ...several), 'shadowllm reproduce')
    expect(findings[0]).toMatch(/^With 40 % of the ranked units/)
    const measured = reportOf(dense, { ...row('shadow', 105), decodeRatioRange: [1.8, 2.1] })
    expect(formatReport(measured)).toMatch(/99 % range\n[^]* 1\.80 to 2\.10/)
    expect(formatReport(reportOf(dense, row('shadow', 105)))).not.toContain('99 %')
  })

  test('compares the predictor with static pruning, and says when it may be chance', () => {
    const good = reportOf(row('oracle', 100), row('shadow', 105), row('static', 120))
    const said = (nats: number, error: number | null): string =>
      describeReport({ ...good, shadowAgainstStatic: [{ sparsity: 0.5, nats, error }] })[0]
    expect(said(-0.134, 0.02)).toBe(
      'At 50 % the predictor is 0.134 ± 0.020 nats per token better than static: it closes 75 % of the gap to the oracle in perplexity.',
    )
    expect(said(-0.03, 0.02)).toContain('better than static, which chance could do.')
    expect(said(0.1, 0.02)).toContain('0.100 ± 0.020 nats per token worse than static')
    expect(said(0.1, null)).toContain('0.100 ± ? nats per token worse than static, which chance could do.')
    const same = [{ sparsity: 0.5, sameScores: true, nats: -0.134, error: 0.02 }]
    expect(describeReport({ ...good, shadowAgainstStatic: same })[0]).toBe(
      'At 50 % the predictor is 0.134 ± 0.020 nats per token better than static pruning by the scores it learnt.',
    )
  })

  test('has no held-out loss without held-out examples', () => {
    const said = (heads: number | null, neurons: number | null): string =>
      describeReport({ ...reportOf(), predictorLoss: { heads, neurons } })[0]
    expect(said(0.9, 0.95)).toContain('heads 0.900, neurons 0.950')
    expect(said(null, null)).toContain('not known')
    expect(said(0.9, null)).toContain('not known')
  })

  test('of a run that was stopped before its first row has no table', () =>
    expect(formatReport({ ...reportOf(), rows: [], complete: false }).split('\n')).toEqual(
      describeReport({ ...reportOf(), rows: [], complete: false }),
    ))

  test('is a table of aligned columns', () => {
    const lines = formatReport(reportOf(row('oracle', 100), row('random', 1234.5))).split('\n')
    expect(lines[0]).toMatch(
      /^asked \(%\) +planner +criterion +heads \(%\) +neurons \(%\) +weights \(%\) +ppl\/token +± +ppl\/word +tokens\/s +× dense$/,
    )
    expect(lines[2]).toMatch(/^ +50\.0 +oracle +plainact +43\.8 +43\.8 +43\.8 +100\.0 +2\.000 +1000 +200 +-$/)
    expect(lines[3]).toMatch(/^ +50\.0 +random +plainact .* 1235 +24\.69 +12,345 +200 +-$/)
    expect(new Set(lines.slice(0, 4).map((line) => line.length)).size).toBe(1)
  })

  test('has a series with error bars for each method, also where two share a planner', () => {
    const at = (
      planner: 'dense' | 'shadow' | 'static',
      sparsity: number,
      criterion: string,
      ppl: number,
    ): ReproduceReport['rows'][0] => ({ ...row('static', ppl), planner, sparsity, criterion })
    const rows = [
      at('dense', 0, 'none', 90),
      ...[0.5, 0.7].flatMap((sparsity) => [
        at('static', sparsity, 'plainact', 100 + sparsity),
        at('static', sparsity, `plainact@${sparsity}`, 200 + sparsity),
        at('shadow', sparsity, `plainact@${sparsity}`, 300 + sparsity),
      ]),
    ]
    const [{ series }] = reproduceExperiment(reportOf(...rows), 'shadowllm reproduce').plots
    const pointsOf = (ppl: number) =>
      [0.5, 0.7].map((x) => ({
        x: 100 * x,
        y: ppl + x,
        error: expect.closeTo(0.02 * (ppl + x), 9) as number,
      }))
    expect(series).toEqual([
      { name: 'static', points: pointsOf(100) },
      { name: 'static, ShadowLLM\u2019s scores', points: pointsOf(200) },
      { name: 'shadow', points: pointsOf(300) },
    ])
    // A single window has no error.
    const [alone] = reproduceExperiment(
      reportOf({ ...row('random', 5), tokenPerplexityError: null }),
      '',
    ).plots
    expect(alone.series[0].points).toEqual([{ x: 50, y: 5 }])
  })
})
