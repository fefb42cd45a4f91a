/**
 * From turns to rows to a table: every figure is known beforehand.
 *
 * Tests src/bench/table.ts and src/bench/profile.ts.
 */
import { describe, expect, test } from 'vitest'
import type { BenchName } from '../../src/bench/methods.ts'
import type { Measured } from '../../src/bench/job.ts'
import { profileOf } from '../../src/bench/profile.ts'
import { rowsOf } from '../../src/bench/rows.ts'
import { randomSubject } from '../../src/bench/subject.ts'
import {
  allLegendRows,
  findingsOf,
  formatBench,
  formatProfile,
  formatVerdicts,
} from '../../src/bench/table.ts'
import { parseTest, type BenchTest } from '../../src/bench/tests.ts'
import type { Turn } from '../../src/evaluation/decode.ts'
import { makeMask, type UnitMask } from '../../src/masks/mask.ts'
import { makeConfig } from '../../src/engine/config.ts'
import type { Storage } from '../../src/engine/storages/index.ts'

const sizes = { layers: 2, width: 4, heads: 2, neurons: 6, vocabulary: 10, positions: 64 }
const subject = randomSubject('tiny', makeConfig(sizes), 0)

/** Layer 0 whole; of layer 1 one head of two and three neurons of six. */
const mask: UnitMask = makeMask(
  { layers: 2, heads: 2, neurons: 6 },
  Float32Array.of(1, 1, 0, 1),
  Float32Array.of(1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1),
)

// A dense token reads 2 blocks of 4 * 4 * 4 + 2 * 6 * 4 = 112 numbers, the lm_head's 10 * 4, 2 * (4 * 4 + 4 + 6) biases,
// 5 norms of 8, and a row of 4 from each table; under the mask layer 1 reads half of its matrices, and of its biases
// 3 * 2 + 4 + 3 + 4.
const denseBytes = 4 * (224 + 40 + 52 + 40 + 8)
const maskedBytes = denseBytes - 4 * (56 + 6 + 3)

function turn(rate: number, tokens: number, more: Partial<Turn> = {}): Turn {
  const ways = { dense: 4, gather: 0, packed: 0 }
  return {
    tokens,
    milliseconds: (1000 * tokens) / rate,
    planning: 0,
    preparing: 0,
    device: null,
    mask: null,
    ways,
    decisions: 1,
    checked: null,
    ...more,
  }
}

function measured(
  test: BenchTest,
  planner: BenchName['planner'],
  rates: readonly number[],
  more: Partial<Measured> = {},
): Measured {
  const sparse: Partial<Turn> = planner === 'dense' ? {} : { mask, ways: { dense: 2, gather: 1, packed: 1 } }
  return {
    subject,
    storage: 'f32',
    threads: 1,
    threadsUsed: 1,
    backend: 'wasm',
    method: { planner, sparsity: planner === 'dense' ? 0 : 0.5 },
    test,
    predictorBytes: 0,
    every: 'once',
    turns: rates.map((rate) => {
      const milliseconds = (1000 * test.tokens) / rate
      const shares = planner === 'dense' ? {} : { planning: milliseconds / 4, preparing: milliseconds / 8 }
      return turn(rate, test.tokens, { ...sparse, ...shares })
    }),
    ...more,
  }
}

const tg = parseTest('tg8')
const pp = parseTest('pp16')
const context = { cache: 'f32' } as const
/** So that the dense method reads as fast as memory gives. */
const reads = [10, 20, 30].map((rate) => rate * denseBytes)

const methods: readonly Measured[] = [
  measured(pp, 'dense', [100, 100, 100]),
  measured(pp, 'shadow', [150, 150, 150]),
  measured(tg, 'dense', [10, 20, 30]),
  measured(tg, 'shadow', [15, 24, 60], { predictorBytes: 800 }),
  measured(tg, 'dejavu', [5, 12, 20], { predictorBytes: 800, every: 1 }),
]

describe('rows', () => {
  const rows = rowsOf(methods, reads, context)

  test('have the fields of the interface, and more', () => {
    expect(rows[3]).toEqual({
      model: 'tiny (random weights)',
      shape: '2x4',
      weights: 'random',
      parameters: 10 * 4 + 66 * 4 + 2 * (112 + 26 + 16) + 8,
      storage: 'f32',
      backend: 'wasm',
      threads: 1,
      threadsAsked: 1,
      cache: 'f32',
      planner: 'shadow',
      sparsity: { requested: 0.5, heads: 0.25, neurons: 0.25, weights: 0.25 },
      ways: { dense: 2, gather: 1, packed: 1 },
      test: 'tg8',
      decisions: 1,
      checked: null,
      tokensPerSecond: 24,
      deviation: expect.closeTo(Math.sqrt((18 ** 2 + 9 ** 2 + 27 ** 2) / 2), 9),
      samples: [15, 24, 60].map((rate) => expect.closeTo(rate, 9)),
      // 1.5, 1.2 and 2 in the three rounds: not 24 / 20.
      timesDense: expect.closeTo(1.5, 9),
      timesFirst: expect.closeTo(1.5, 9),
      ideal: denseBytes / (maskedBytes + 100),
      shareOfIdeal: expect.closeTo((1.5 * (maskedBytes + 100)) / denseBytes, 9),
      predictorShare: expect.closeTo(0.25, 9),
      packingShare: expect.closeTo(0.125, 9),
      deviceMilliseconds: null,
      bytesPerToken: maskedBytes + 100,
      bandwidthFraction: expect.closeTo((1.5 * (maskedBytes + 100)) / denseBytes, 9),
    })
  })

  test('of checked tokens say what the checks did, and no ideal: passes over many tokens share what they read', () => {
    const counts = { checks: 2, rewound: 6, replaced: 1, dropped: 2 }
    const turns = [turn(5, 8, { mask, decisions: 3, checked: counts })]
    const rows = rowsOf([measured(tg, 'dense', [10]), { ...measured(tg, 'shadow', []), turns }], [1], context)
    expect(rows[1]).toMatchObject({ decisions: 3, checked: counts, timesDense: 0.5 })
    expect(rows[1]).toMatchObject({ ideal: null, bytesPerToken: null, bandwidthFraction: null })
  })

  test('state the storage of the cache: the requested one, or the default of the weights', () => {
    const both = [measured(tg, 'dense', [1]), measured(tg, 'dense', [1], { storage: 'int8' })]
    const caches = (asked: Partial<typeof context>): string[] =>
      rowsOf(both, [1], asked).map(({ cache }) => cache)
    expect(caches({})).toEqual(['f32', 'int8'])
    expect(caches(context)).toEqual(['f32', 'f32'])
  })

  test('count a predictor that runs for every token in every token', () => {
    expect(rows[4]).toMatchObject({ bytesPerToken: maskedBytes + 800 })
  })

  test('are compared with dense', () => {
    expect(rows[2]).toMatchObject({ timesDense: 1, ideal: 1, shareOfIdeal: 1, predictorShare: 0 })
    expect(rows[2].bandwidthFraction).toBeCloseTo(1, 9)
  })

  test('of a prompt have no ideal and no bandwidth', () => {
    expect(rows[1]).toMatchObject({
      test: 'pp16',
      timesDense: 1.5,
      ideal: null,
      shareOfIdeal: null,
      bytesPerToken: null,
      bandwidthFraction: null,
    })
  })

  test('have ratios to dense in the same storage and in the first', () => {
    const fast = { storage: 'int8' as Storage }
    const both = [
      ...methods.slice(2, 4),
      measured(tg, 'dense', [40, 80, 120], fast),
      measured(tg, 'shadow', [60, 120, 180], fast),
    ]
    const [, , dense, shadow] = rowsOf(both, reads, context)
    expect([dense.timesDense, dense.timesFirst]).toEqual([1, expect.closeTo(4, 9)])
    expect([shadow.timesDense, shadow.timesFirst]).toEqual([1.5, 6].map((r) => expect.closeTo(r, 9)))
  })

  test('have ratios to dense with as many threads', () => {
    const more = { threads: 'auto', threadsUsed: 2 } as const
    const both = [
      ...methods.slice(2, 4),
      measured(tg, 'dense', [20, 40, 60], more),
      measured(tg, 'shadow', [30, 60, 90], more),
    ]
    const shadow = rowsOf(both, reads, context)[3]
    expect(shadow).toMatchObject({ threads: 2, threadsAsked: 'auto' })
    expect([shadow.timesDense, shadow.timesFirst]).toEqual([1.5, 3].map((r) => expect.closeTo(r, 9)))
  })

  test('include an interrupted round where it can be compared', () => {
    const stopped = [
      measured(tg, 'dense', [10, 20]),
      measured(tg, 'shadow', [20]),
      measured(tg, 'random', []),
      measured(pp, 'shadow', [7]),
    ]
    const [dense, shadow, alone, ...none] = rowsOf(stopped, reads, context)
    expect(none).toEqual([])
    expect(dense.tokensPerSecond).toBeCloseTo(15, 9)
    expect(shadow).toMatchObject({ timesDense: expect.closeTo(2, 9), deviation: null })
    expect(alone).toMatchObject({ timesDense: null, shareOfIdeal: null })
    expect(JSON.stringify([dense, shadow, alone])).not.toContain('NaN')
  })
})

describe('the table', () => {
  test('states common facts once, then figures and summary', () => {
    expect(formatBench(rowsOf(methods, reads, context), [5e9, 6e9, 7e9])).toBe(
      `tiny (random weights), params 0.0 M, f32, wasm, threads 1, cache f32

test  planner  asked (%)  heads (%)  neurons (%)  weights (%)  d/g/p    t/s      ±  × dense  ideal  of ideal (%)  predictor (%)  packing (%)  reading (%)
----  -------  ---------  ---------  -----------  -----------  -----  -----  -----  -------  -----  ------------  -------------  -----------  -----------
pp16  dense          0.0        0.0          0.0          0.0  4/0/0  100.0  0.000     1.00      -             -            0.0          0.0            -
pp16  shadow        50.0       25.0         25.0         25.0  2/1/1  150.0  0.000     1.50      -             -           25.0         12.5            -

tg8   dense          0.0        0.0          0.0          0.0  4/0/0  20.00  10.00     1.00   1.00           100            0.0          0.0          100
tg8   shadow        50.0       25.0         25.0         25.0  2/1/1  24.00  23.81     1.50   1.12           134           25.0         12.5          134
tg8   dejavu        50.0       25.0         25.0         25.0  2/1/1  12.00  7.506     0.60   0.73            82           25.0         12.5           82

  pp16     a prompt of 16 tokens is read
  tg8      8 tokens are generated one by one after a prompt of 32, with the time of planning and packing
  asked    sparsity of the ranked units
  heads    share of all heads that is skipped, as neurons is
  weights  share of the weights of all layers that is skipped
  d/g/p    how the halves of layers (attention, MLP) run: how many dense / by gathering kept rows / on packed copies
  t/s      tokens per second, and the standard deviation over rounds
  × dense  speed over that of the dense method of the same storage, backend and threads
  ideal    the same ratio if only reading weights took time: lm_head and layer 0 whole, weights of the predictor divided among the tokens it is run for
  packing  share of the time that it took, as predictor is that of the planner
  reading  speed at which weights are read, as a share of that at which one thread reads memory forward; can exceed 100 %

tiny (random weights), f32, tg8: shadow 50 % is 3.00 times as fast as dejavu.

Memory is read forward at 6.0 GB/s here. × is the median of ratios within a round, which need not be the ratio of two medians in t/s. Figures of one run can be compared, those of two cannot.
`,
    )
  })

  test('has a column for each fact that differs, and for the first of several storages', () => {
    const both = [measured(tg, 'dense', [10]), measured(tg, 'dense', [20], { storage: 'bf16' })]
    const [head, , heading, , ...lines] = formatBench(rowsOf(both, [], context), []).split('\n')
    expect(head).toBe('tiny (random weights), params 0.0 M, wasm, threads 1, cache f32')
    expect(heading).toMatch(/^storage {2}test .* × dense {2}× f32 {2}ideal/)
    expect(lines[0]).toMatch(/^f32 .* 1\.00 +1\.00 +1\.00/)
    expect(lines.find((line) => line.startsWith('bf16'))).toMatch(/ 1\.00 +2\.00 +1\.00/)
  })

  test('distinguishes requested and actual threads', () => {
    const auto = { threads: 'auto', threadsUsed: 2 } as const
    const both = [measured(tg, 'dense', [10]), measured(tg, 'dense', [20], auto)]
    const [head, , heading, , ...lines] = formatBench(rowsOf(both, [], context), []).split('\n')
    expect(head).toBe('tiny (random weights), params 0.0 M, f32, wasm, cache f32')
    expect(heading).toMatch(/^threads {2}test .* × dense {2}× 1 thread {2}ideal/)
    expect(lines.find((line) => line.startsWith('auto: 2'))).toMatch(/ 1\.00 +2\.00 +1\.00/)
  })

  test('has a column for the median device time of a token, and names the device', () => {
    const times = [8, 24, 16].map((device) => turn(10, 8, { device }))
    const rows = rowsOf([measured(tg, 'dense', [], { turns: times })], [], context)
    expect(rows[0].deviceMilliseconds).toBe(2)
    const table = formatBench(rows, [], { name: 'a device', graphs: true })
    expect(table).toMatch(/ t\/s +± +device \(ms per token\) +× dense /)
    expect(table).toMatch(/^tg8 .* 2\.000 +1\.00 /m)
    expect(table).toContain('Device: a device; its own clock, from the first kernel to the last')
    expect(table).toContain('; launches that come again as graphs.\n')
    const withoutClock = formatBench(rows, [], { name: 'a device', graphs: null })
    expect(withoutClock).toContain('Device: a device.\n')
    expect(withoutClock).not.toContain('ms per token')
    expect(formatBench(rows, [], { name: 'a device', graphs: false })).toContain(
      '; every launch by itself.\n',
    )
  })

  test('explains what it shows, and random masks where there are any', () => {
    const explained = (table: string): string[] =>
      [...table.matchAll(/^  (\S+(?: \S+)*) {2,}\S/gm)].map(([, name]) => name)
    const first = formatBench(rowsOf([measured(tg, 'dense', [10])], [], context), [])
    expect(explained(first)).toEqual([
      'tg8',
      'asked',
      'heads',
      'weights',
      'd/g/p',
      't/s',
      '× dense',
      'ideal',
      'packing',
      'reading',
    ])
    expect(first).not.toContain('random tells')
    const clocked = rowsOf([measured(tg, 'random', [], { turns: [turn(10, 8, { device: 8 })] })], [], context)
    const second = formatBench(clocked, [], { name: 'a device', graphs: true })
    expect(explained(second)).toContain('device')
    expect(second).toContain('random tells the speed of a mask')
    expect(allLegendRows.join('\n')).toMatch(/^ {2}× f32, × webgpu {2}over/m)
  })

  test('without rows says so', () => expect(formatBench([], [])).toBe('Nothing was measured.\n'))
})

describe('findings', () => {
  const sentences = (all: readonly Measured[]): string[] => findingsOf(rowsOf(all, reads, context), [])

  test('compare contexts with equally many tokens against the shortest', () => {
    const at = (name: string, rate: number, more?: Partial<Measured>): Measured =>
      measured(parseTest(name), 'dense', [rate], more)
    const [found] = sentences([at('tg8', 12), at('tg8@48', 10), at('tg8@16', 15), at('tg4@50', 1)])
    expect(found.split('\n')).toEqual([
      'tiny (random weights), f32, dense: a token at a context of 32 takes 1.25 times one at 16.',
      'tiny (random weights), f32, dense: a token at a context of 48 takes 1.50 times one at 16.',
    ])
  })

  test('compare rows of the same backend only, which is named where there are several', () => {
    const on = (backend: 'wasm' | 'webgpu', name: string, rate: number): Measured =>
      measured(parseTest(name), 'dense', [rate], { backend })
    const [found] = sentences([
      on('wasm', 'tg8@16', 15),
      on('webgpu', 'tg8@16', 30),
      on('webgpu', 'tg8@48', 10),
    ])
    expect(found).toBe(
      'tiny (random weights), f32, webgpu, dense: a token at a context of 48 takes 3.00 times one at 16.',
    )
  })

  test('compare predictors at the same sparsity, storage and test only', () => {
    const other = { method: { planner: 'dejavu', sparsity: 0.9 } } as const
    const all = [
      measured(tg, 'shadow', [10]),
      measured(tg, 'dejavu', [5], other),
      measured(tg, 'dejavu-style', [4]),
      measured(tg, 'dejavu', [5], { storage: 'f16' }),
      measured(parseTest('tg4'), 'dejavu', [5]),
    ]
    const [found] = sentences(all)
    expect(found).toBe('tiny (random weights), f32, tg8: shadow 50 % is 2.50 times as fast as dejavu-style.')
  })
})

describe('the last lines', () => {
  const verdicts = (...all: readonly Measured[]): string => formatVerdicts(rowsOf(all, [], context))

  test('say of each test which rows are faster than dense, which slower, and which cannot be told', () => {
    const rows = [
      measured(pp, 'dense', [10, 20, 30]),
      measured(pp, 'shadow', [20, 50, 60]),
      measured(tg, 'dense', [10, 20, 30]),
      measured(tg, 'shadow', [5, 16, 27]),
      measured(tg, 'random', [9, 22, 60]),
    ]
    expect(verdicts(...rows)).toBe(
      `tiny (random weights), f32, pp16: shadow 50 % is 2.00 × as fast as dense (2.00 to 2.50 in 3 rounds).
tiny (random weights), f32, tg8: shadow 50 % is 0.80 × as fast as dense (0.50 to 0.90 in 3 rounds); random 50 % may be faster or slower than dense (0.90 to 2.00 in 3 rounds).
`,
    )
  })

  test('compare with the dense row of the same storage, backend and threads, and dense rows with the first', () => {
    const fast = { storage: 'int8', backend: 'webgpu' } as const
    const rows = [
      measured(tg, 'dense', [10, 10]),
      measured(tg, 'dense', [40, 50], fast),
      measured(tg, 'shadow', [20, 100], fast),
    ]
    expect(verdicts(...rows)).toBe(
      'tiny (random weights), int8, webgpu, tg8: dense is 4.50 × as fast as in tiny (random weights), f32, wasm (4.00 to 5.00 in 2 rounds); shadow 50 % may be faster or slower than dense (0.50 to 2.00 in 2 rounds).\n',
    )
  })

  test('say that one round does not tell, and nothing of rows without a dense one', () => {
    expect(verdicts(measured(tg, 'dense', [10]), measured(tg, 'shadow', [20]))).toContain(
      'shadow 50 % ran 2.00 × as fast as dense in one round, which is too few to tell.',
    )
    expect([verdicts(measured(tg, 'shadow', [20])), verdicts(measured(tg, 'dense', [20]))]).toEqual(['', ''])
  })
})

describe('a profile', () => {
  const times = [
    { what: 'fc1', op: 'linear', calls: 4, milliseconds: 6, bytes: 12e6 },
    { what: 'rest', op: 'relu', calls: 4, milliseconds: 1, bytes: 1e6 },
  ] as const
  const turns = [turn(200, 2, { planning: 2, preparing: 0.5 }), turn(200, 2, { planning: 1, preparing: 0.5 })]

  test('consists of ops, planner, selection, packing and host', () => {
    const { lines, milliseconds } = profileOf(times, turns, 0.8)
    expect(milliseconds).toBe(5)
    expect(lines.map(({ what, milliseconds: each }) => [what, +each.toFixed(9)])).toEqual([
      ['host', 2.25],
      ['fc1', 1.5],
      ['predictor', 0.55],
      ['rest', 0.25],
      ['packing', 0.25],
      ['selection', 0.2],
    ])
    expect(lines.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12)
    expect(lines.find(({ op }) => op === 'linear')).toMatchObject({
      calls: 1,
      share: 0.3,
      bytesPerSecond: 2e9,
    })
  })

  test('is shown with the cost of profiling', () => {
    const profile = {
      model: 'tiny',
      storage: 'f32',
      threadsAsked: 1,
      planner: 'shadow',
      requested: 0.5,
      test: 'tg2',
      overhead: 0.0125,
      ...profileOf(times, turns.slice(0, 1), 0),
    } as const
    expect(formatProfile(profile))
      .toBe(`tiny, f32, tg2, shadow 50 %: a watched token takes 5.00 ms, 1.01 times an unwatched one

what          calls (per token)  time (ms per token)  share (%)  touched (GB/s)
------------  -----------------  -------------------  ---------  --------------
fc1 (linear)              2.000                3.000       60.0             2.0
predictor                     -                1.000       20.0               -
rest (relu)               2.000                0.500       10.0             1.0
packing                       -                0.250        5.0               -
host                          -                0.250        5.0               -
`)
  })
})
