/**
 * The rows of a bench as people read them, and what they come to in a few sentences.
 */
import type { Column, Row } from '../results/experiment_result.ts'
import { cell } from '../results/cells.ts'
import { GAP, wrapLines } from '../results/fold.ts'
import { formatTable } from '../results/terminal.ts'
import { isTold, median, medianRatio, ratioRange } from '../results/interleaved_rounds.ts'
import { methodName } from './methods.ts'
import type { MethodProfile, BenchDevice } from './bench.ts'
import type { Depths } from './depths.ts'
import type { Threads } from './job.ts'
import type { BenchRow } from './rows.ts'
import { parseTest, testWords } from './tests.ts'

/** What is often the same in all rows, and is said once then. */
const subjectColumns: readonly Column[] = [
  { key: 'model', label: 'model' },
  { key: 'parameters', label: 'params', unit: 'M', digits: 1 },
  { key: 'storage', label: 'storage' },
  { key: 'backend', label: 'backend' },
  { key: 'threads', label: 'threads' },
  { key: 'cache', label: 'cache' },
]

/** Values that say what they are. */
const selfEvident: readonly string[] = ['model', 'storage', 'backend']

/** How many of the following columns name a row of one subject: test, planner, asked. */
const rowNames = 3

/** A column, and what it is where its label does not say so. */
interface FigureColumn extends Column {
  readonly words?: string
}

/** The figures of a row. @param first what rows are compared with @param hasDevice whether one took the time */
function figureColumns(first: string | null, hasDevice: boolean): FigureColumn[] {
  return [
    { key: 'test', label: 'test' },
    { key: 'planner', label: 'planner' },
    { key: 'asked', label: 'asked', unit: '%', digits: 1, words: 'sparsity of the ranked units' },
    {
      key: 'heads',
      label: 'heads',
      unit: '%',
      digits: 1,
      words: 'share of all heads that is skipped, as neurons is',
    },
    { key: 'neurons', label: 'neurons', unit: '%', digits: 1 },
    {
      key: 'weights',
      label: 'weights',
      unit: '%',
      digits: 1,
      words: 'share of the weights of all layers that is skipped',
    },
    {
      key: 'ways',
      label: 'd/g/p',
      words:
        'how the halves of layers (attention, MLP) run: how many dense / by gathering kept rows / on packed copies',
    },
    { key: 'rate', label: 't/s', words: 'tokens per second, and the standard deviation over rounds' },
    { key: 'deviation', label: '±' },
    ...(hasDevice
      ? [
          {
            key: 'device',
            label: 'device',
            unit: 'ms per token',
            digits: 3,
            words: 'by the clock of the GPU or of its emulator',
          },
        ]
      : []),
    {
      key: 'timesDense',
      label: '× dense',
      digits: 2,
      words: 'speed over that of the dense method of the same storage, backend and threads',
    },
    ...(first === null
      ? []
      : [
          {
            key: 'timesFirst',
            label: `× ${first}`,
            digits: 2,
            words: 'over that of the first storage, backend and threads in the lists',
          },
        ]),
    {
      key: 'ideal',
      label: 'ideal',
      digits: 2,
      words:
        'the same ratio if only reading weights took time: lm_head and layer 0 whole, weights of the predictor divided among the tokens it is run for',
    },
    { key: 'shareOfIdeal', label: 'of ideal', unit: '%', digits: 0 },
    { key: 'predictor', label: 'predictor', unit: '%', digits: 1 },
    {
      key: 'packing',
      label: 'packing',
      unit: '%',
      digits: 1,
      words: 'share of the time that it took, as predictor is that of the planner',
    },
    {
      key: 'bandwidth',
      label: 'reading',
      unit: '%',
      digits: 0,
      words:
        'speed at which weights are read, as a share of that at which one thread reads memory forward; can exceed 100 %',
    },
  ]
}

/** What tests and columns are, as rows of names and words. */
function legendRows(tests: readonly string[], columns: readonly FigureColumn[]): string[] {
  const rows = [
    ...tests.map((test) => [test, testWords(test)]),
    ...columns.flatMap(({ label, words }) => (words === undefined ? [] : [[label, words]])),
  ]
  const width = Math.max(...rows.map(([name]) => name.length)) + GAP
  return rows.map(([name, words]) => `  ${name.padEnd(width)}${words}`)
}

/** The same of all columns and of tests of each kind, for a help. */
export const allLegendRows: readonly string[] = legendRows(
  ['pp128', 'tg128', 'tg32@2000'],
  figureColumns('f32, × webgpu', true),
)

/**
 * The table, and what is to be said of it, ending with a line break.
 * @param reads bytes per second, all rounds
 * @param device what took the time of the column `device`
 * @param width characters of a line
 */
export function formatBench(
  rows: readonly BenchRow[],
  reads: readonly number[],
  device: BenchDevice | null = null,
  width = Infinity,
): string {
  if (rows.length === 0) return 'Nothing was measured.\n'
  const cells = rows.map(cellsOf)
  const isCommon = ({ key }: Column): boolean => cells.every((row) => row[key] === cells[0][key])
  const common = subjectColumns.filter(isCommon).map((column) => describeCell(cells[0], column))
  const subjects = subjectColumns.filter((column) => !isCommon(column))
  const hasClock = device !== null && device.graphs !== null
  const columns = [...subjects, ...figureColumns(firstOf(rows), hasClock)]
  const words = [...(device === null ? [] : [describeDevice(device)]), ...findingsOf(rows, reads)]
  const legend = legendRows([...new Set(rows.map(({ test }) => test))], columns)
  const parts = [
    wrapLines(common.join(', '), width),
    formatTable(columns, cells, { columns: width, keys: subjects.length + rowNames }),
    legend.map((row) => wrapLines(row, width, '      ')).join('\n'),
    ...words.map((text) => wrapLines(text, width)),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

function describeDevice({ name, graphs }: BenchDevice): string {
  if (graphs === null) return `Device: ${name}.`
  const how = graphs ? 'launches that come again as graphs' : 'every launch by itself'
  return `Device: ${name}; its own clock, from the first kernel to the last before a result is waited for; ${how}.`
}

/** What rows are compared with that differ in storage, backend or threads; null where they do not. */
function firstOf(rows: readonly BenchRow[]): string | null {
  const [{ storage, backend, threadsAsked }] = rows
  const words = [
    ...(rows.some((row) => row.storage !== storage) ? [storage] : []),
    ...(rows.some((row) => row.backend !== backend) ? [backend] : []),
    ...(rows.some((row) => row.threadsAsked !== threadsAsked) ? [threadWords(threadsAsked)] : []),
  ]
  return words.length === 0 ? null : words.join(', ')
}

/** A value and what it is of. */
function describeCell(row: Row, column: Column): string {
  const text = cell(row, column)
  if (selfEvident.includes(column.key)) return text
  return `${column.label} ${text}${column.unit === undefined ? '' : ` ${column.unit}`}`
}

function cellsOf(row: BenchRow): Row {
  const percent = (share: number | null): number | null => (share === null ? null : 100 * share)
  const { sparsity, ways } = row
  return {
    model: row.model,
    parameters: row.parameters / 1e6,
    storage: row.storage,
    backend: row.backend,
    threads: row.threadsAsked === 'auto' ? `auto: ${row.threads}` : String(row.threadsAsked),
    cache: row.cache,
    test: row.test,
    planner: row.planner,
    asked: percent(sparsity.requested),
    heads: percent(sparsity.heads),
    neurons: percent(sparsity.neurons),
    weights: percent(sparsity.weights),
    ways: `${ways.dense}/${ways.gather}/${ways.packed}`,
    rate: row.tokensPerSecond,
    deviation: row.deviation,
    device: row.deviceMilliseconds,
    timesDense: row.timesDense,
    timesFirst: row.timesFirst,
    ideal: row.ideal,
    shareOfIdeal: percent(row.shareOfIdeal),
    predictor: percent(row.predictorShare),
    packing: percent(row.packingShare),
    bandwidth: percent(row.bandwidthFraction),
  }
}

/** Comparisons that no column makes, and what the columns are relative to. */
export function findingsOf(rows: readonly BenchRow[], reads: readonly number[]): string[] {
  const found = [...againstDejavu(rows), ...acrossContexts(rows)]
  const read =
    reads.length === 0 ? [] : [`Memory is read forward at ${(median(reads) / 1e9).toFixed(1)} GB/s here.`]
  // A machine that slows down between rounds slows all rows of a round.
  const paired = rows.some(({ planner, timesDense }) => planner !== 'dense' && timesDense !== null)
    ? ['× is the median of ratios within a round, which need not be the ratio of two medians in t/s.']
    : []
  const random = rows.some(({ planner }) => planner === 'random')
    ? [
        'random tells the speed of a mask, without the time to choose one; "perplexity" tells what a mask costs.',
      ]
    : []
  const notes = [...read, ...paired, ...random, 'Figures of one run can be compared, those of two cannot.']
  return [...(found.length > 0 ? [found.join('\n')] : []), notes.join(' ')]
}

/**
 * What the table says, a sentence a test, ending with a line break: which rows are faster than the dense model, or dense rows than those of
 * the first storage, backend and threads, and by how much. Nothing where nothing is compared.
 * @param width characters of a line
 */
export function formatVerdicts(rows: readonly BenchRow[], width = Infinity): string {
  const found = new Map<string, string[]>()
  for (const row of rows) {
    const isDense = row.planner === 'dense'
    const base = rows.find(
      (other) =>
        other.planner === 'dense' &&
        other.model === row.model &&
        other.test === row.test &&
        (isDense || placeName(other, rows) === placeName(row, rows)),
    )
    if (base === undefined || base === row) continue
    const place = `${placeName(row, rows)}, ${row.test}`
    const against = isDense ? `in ${placeName(base, rows)}` : 'dense'
    found.set(place, [...(found.get(place) ?? []), `${rowName(row)} ${verdictOf(row, base, against)}`])
  }
  return [...found]
    .map(([place, verdicts]) => `${wrapLines(`${place}: ${verdicts.join('; ')}.`, width)}\n`)
    .join('')
}

function verdictOf({ samples }: BenchRow, { samples: others }: BenchRow, against: string): string {
  const range = ratioRange(samples, others, 0.05)
  const times = `${medianRatio(samples, others).toFixed(2)} × as fast as ${against}`
  if (range === null) return `ran ${times} in one round, which is too few to tell`
  const { low, high } = range
  const rounds = `(${low.toFixed(2)} to ${high.toFixed(2)} in ${Math.min(samples.length, others.length)} rounds)`
  return isTold(range) ? `is ${times} ${rounds}` : `may be faster or slower than ${against} ${rounds}`
}

/** What is the same of two rows, all but these. */
function sameBut(row: BenchRow, ...but: ('planner' | 'test')[]): string {
  const { model, storage, backend, threadsAsked, planner, test, sparsity } = row
  const all = { model, storage, backend, threadsAsked, planner, test, requested: sparsity.requested }
  return JSON.stringify({ ...all, ...Object.fromEntries(but.map((key) => [key, null])) })
}

/** The subject of a sentence or a profile. */
function subjectName({
  model,
  storage,
  threadsAsked,
}: Pick<BenchRow, 'model' | 'storage' | 'threadsAsked'>): string {
  return [model, storage, ...(threadsAsked === 1 ? [] : [threadWords(threadsAsked)])].join(', ')
}

/** The subject of a sentence beside rows of other backends. */
function placeName(row: BenchRow, rows: readonly BenchRow[]): string {
  return [
    subjectName(row),
    ...(rows.some(({ backend }) => backend !== row.backend) ? [row.backend] : []),
  ].join(', ')
}

function rowName({ planner, sparsity }: BenchRow): string {
  return methodName({ planner, sparsity: sparsity.requested })
}

function threadWords(threads: Threads): string {
  return threads === 1 ? '1 thread' : `${threads} threads`
}

/** ShadowLLM against each kind of predictors per layer, all else equal. */
function againstDejavu(rows: readonly BenchRow[]): string[] {
  return rows
    .filter(({ planner, test }) => planner === 'shadow' && test.startsWith('tg'))
    .flatMap((shadow) =>
      rows
        .filter(({ planner }) => planner === 'dejavu' || planner === 'dejavu-style')
        .filter((other) => sameBut(other, 'planner') === sameBut(shadow, 'planner'))
        .map((other) => {
          const ratio = medianRatio(shadow.samples, other.samples).toFixed(2)
          return `${placeName(shadow, rows)}, ${shadow.test}: ${rowName(shadow)} is ${ratio} times as fast as ${other.planner}.`
        }),
    )
}

/** The time of a token at a long context against that at the shortest one under which as many were generated. */
function acrossContexts(rows: readonly BenchRow[]): string[] {
  const at = ({ test }: BenchRow): number => parseTest(test).context
  const tokens = ({ test }: BenchRow): string => test.split('@')[0]
  return rows.flatMap((long) => {
    const [short] = rows
      .filter((row) => sameBut(row, 'test') === sameBut(long, 'test') && tokens(row) === tokens(long))
      .filter((row) => at(row) < at(long))
      .toSorted((a, b) => at(a) - at(b))
    if (short === undefined) return []
    const ratio = medianRatio(short.samples, long.samples).toFixed(2)
    return [
      `${placeName(long, rows)}, ${rowName(long)}: a token at a context of ${at(long)} takes ${ratio} times one at ${at(short)}.`,
    ]
  })
}

const profileColumns: readonly Column[] = [
  { key: 'what', label: 'what' },
  { key: 'calls', label: 'calls', unit: 'per token' },
  { key: 'milliseconds', label: 'time', unit: 'ms per token', digits: 3 },
  { key: 'share', label: 'share', unit: '%', digits: 1 },
  { key: 'gigabytes', label: 'touched', unit: 'GB/s', digits: 1 },
]

/** Where the time of a method goes, ending with a line break. @param width characters of a line */
export function formatProfile(profile: MethodProfile, width = Infinity): string {
  const { planner, requested, test, lines, milliseconds, overhead } = profile
  const rows = lines.map((line): Row => ({
    what: line.op === null ? line.what : `${line.what} (${line.op})`,
    calls: line.calls,
    milliseconds: line.milliseconds,
    share: 100 * line.share,
    gigabytes: line.bytesPerSecond === null ? null : line.bytesPerSecond / 1e9,
  }))
  const name = methodName({ planner, sparsity: requested })
  const title = `${subjectName(profile)}, ${test}, ${name}`
  const whole = `a watched token takes ${milliseconds.toFixed(2)} ms, ${(1 + overhead).toFixed(2)} times an unwatched one`
  return `${wrapLines(`${title}: ${whole}`, width)}\n\n${formatTable(profileColumns, rows, { columns: width })}\n`
}

const depthColumns: readonly Column[] = [
  { key: 'model', label: 'model' },
  { key: 'storage', label: 'storage' },
  { key: 'threads', label: 'threads' },
  { key: 'length', label: 'text', unit: 'tokens' },
  { key: 'prompt', label: 'prompt', unit: 't/s', digits: 1 },
  { key: 'decode', label: 'decoding after it', unit: 't/s', digits: 1 },
]

/** The speed by the length of the text, and what was left out, ending with a line break. @param width characters of a line */
export function formatDepths({ rows, leftOut }: Depths, width = Infinity): string {
  const cells = rows.map((row): Row => ({
    ...row,
    threads: String(row.threadsAsked),
    length: String(row.length),
  }))
  const isCommon = ({ key }: Column): boolean => cells.every((row) => row[key] === cells[0][key])
  const columns = depthColumns.filter((column, i) => i >= 3 || !isCommon(column))
  const lengths = leftOut.join(', ')
  const words =
    leftOut.length === 0 ? [] : [`Left out, as time was up: ${lengths} tokens (--depths gives more seconds).`]
  const parts = [
    'The dense model by the length of its text; each prompt was read once:',
    formatTable(columns, cells, { columns: width, keys: columns.length - 2 }),
    ...words.map((text) => wrapLines(text, width)),
  ]
  return `${parts.join('\n\n')}\n`
}
