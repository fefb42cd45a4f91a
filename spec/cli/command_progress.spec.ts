/**
 * How far commands say that they are: every stage counts up to its whole, and what is shown beside the bar follows from the
 * same counts and from the seconds that were recorded.
 *
 * Tests src/cli/open_model.ts.
 */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ProgressUpdate } from '../../src/cli/progress.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { largeCheckpoint } from './large_checkpoint.ts'
import type { CurveRow } from './small_pretraining.ts'
import type { Seen } from './options/observe.ts'
import { smallConfig } from './options/small_files.ts'
import { useSurroundings } from './options/surroundings.ts'

const { run, place } = useSurroundings()

/** The bytes of the small model. */
const modelBytes = [...parameterShapes(smallConfig).values()].reduce(
  (sum, shape) => sum + 4 * shape.reduce((product, size) => product * size, 1),
  0,
)
const loading = `loading ${modelBytes} of ${modelBytes}`

/** Command lines, and how far each of their stages is at its end. */
const lines: readonly [line: string, ends: readonly string[]][] = [
  ['generate abc -m {model} --max-tokens 2', [loading]],
  ['convert {model} {out}/c', [`convert ${modelBytes} of ${modelBytes}`]],
  [
    'calibrate -m {model} --output {out}/c --json --text {long.txt} --limit 4 --prompt 12 --continuation 8',
    [loading, 'check 1 of 1', 'calibrate 4 of 4'],
  ],
  // Four layers, the first of them whole: heads and neurons of three, two epochs each; eight examples, two held out.
  [
    'train --calibration {traces} --output {out}/p --epochs 2 --json --kind dejavu',
    ['reading 8 of 8', 'training 12 of 12', 'judging 0 of 2'],
  ],
  [
    'pretrain -o {out}/p --config {model} --text {long.txt} --steps 2 --batch 2 --length 16 --warmup 1 --json',
    ['reading 1 of 1', 'training 2 of 2'],
  ],
  ['eval -m {model} --json --tasks piqa,copa --data {rows}', [loading, 'piqa 4 of 4', 'copa 1 of 1']],
  ['parity run --ops top_k,relu --small', ['ops 2 of 2']],
  ['parity export -m {model} --cases {cases.safetensors} --output {out}/case', [loading, 'running 1 of 1']],
  // Named before each is written.
  ['parity export-ops --output {out}/ops --ops relu,add --small', ['writing 1 of 2']],
  ['parity check-ops {expected-ops} {actual-ops}', ['checking 1 of 1']],
]

/** Command lines that measure how long they take, and how many times each reports. */
const timed: readonly [line: string, counted: number][] = [
  ['train --calibration {traces} --output {out}/p --epochs 3 --json', 1],
  [
    'calibrate -m {model} --output {out}/c --json --text {long.txt} --limit 5 --prompt 12 --continuation 8',
    1,
  ],
  ['parity run --ops top_k,relu --small --json', 4],
  ['perplexity -m {model} --json --text {a.txt} --by stream --prompt 20', 1],
  ['eval -m {model} --json --tasks copa --data {rows}', 1],
  ['generate abc -m {model} --max-tokens 3 --json', 2],
]

/** Counts that stay within their whole, and never go back within a stage. @returns where each stage ends */
function endsOf(updates: readonly ProgressUpdate[]): string[] {
  const ends: string[] = []
  updates.forEach(({ stage, done, total }, i) => {
    const last = updates[i - 1]
    const from = last?.stage === stage ? last : { done: 0, total }
    expect(total, stage).toBe(from.total)
    expect(done, stage).toBeGreaterThanOrEqual(from.done)
    expect(done, stage).toBeLessThanOrEqual(total)
    if (updates[i + 1]?.stage !== stage) ends.push(`${stage} ${done} of ${total}`)
  })
  return ends
}

/** The counts of MiB beside each bar are those of the bar. */
function sharesAgree({ updates }: Seen): void {
  const counts = updates.map(({ done, total, note }) => {
    const shown = /^([\d,]+) of ([\d,]+) MiB$/.exec(note ?? '') ?? []
    return { shown: shown.slice(1).map((text) => Number(text.replaceAll(',', ''))), is: [done, total] }
  })
  expect(counts.length).toBeGreaterThan(1)
  for (const { shown, is } of counts) expect(shown).toEqual(is.map((bytes) => Math.round(bytes / 2 ** 20)))
}

const steps = 12
const training = `pretrain -o {out}/p --config {model} --text {long.txt} --steps ${steps} --batch 2 --length 16 --warmup 1`

/** What each step took, as the run recorded it. */
function stepsOf(seen: Seen): Required<Pick<CurveRow, 'step' | 'loss' | 'seconds' | 'tokens'>>[] {
  const rows = (seen.file('p/loss.jsonl') ?? '').trimEnd().split('\n')
  return rows.map((row) => JSON.parse(row)).filter((row) => 'loss' in row)
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const rateOf = (rows: readonly { readonly tokens: number; readonly seconds: number }[]): number =>
  sum(rows.map(({ tokens }) => tokens)) / sum(rows.map(({ seconds }) => seconds))
const words = (rate: number): string => `${Math.round(rate).toLocaleString('en')} tokens/s`

/** Every duration in a report, by its name. */
function timesOf(report: unknown, name = ''): { name: string; milliseconds: number }[] {
  if (typeof report === 'number') {
    const unit = /milliseconds$/i.test(name) ? 1 : /seconds$/i.test(name) ? 1000 : 0
    return unit === 0 ? [] : [{ name, milliseconds: report * unit }]
  }
  if (typeof report !== 'object' || report === null) return []
  return Object.entries(report).flatMap(([key, value]) => timesOf(value, `${name}.${key}`))
}

test.each(lines)('progress of `%s` counts each stage up to its whole', async (line, ends) => {
  const { stderr, updates } = await run(line.split(' '))
  expect(stderr).toBe('')
  expect(endsOf(updates)).toEqual(ends)
})

test('progress in bytes states the numbers of its bar', async () => {
  const large = largeCheckpoint(join(place('filled'), '..'), 2 ** 24)
  sharesAgree(await run(['convert', large, '{out}/c']))
  sharesAgree(await run(['generate', 'a', '-m', 'embedded', '--max-tokens', '1']))
})

test('progress of a pretraining shows the pace of the last ten steps, as the curve recorded them', async () => {
  const seen = await run([...training.split(' '), '--json'])
  const rows = stepsOf(seen)
  const updates = seen.updates.filter(({ stage }) => stage === 'training')
  expect(updates).toHaveLength(steps)
  updates.forEach(({ secondsLeft, note }, i) => {
    const recent = rows.slice(Math.max(0, i - 9), i + 1)
    const mean = sum(recent.map(({ seconds }) => seconds)) / recent.length
    expect(secondsLeft).toBeCloseTo(mean * (steps - i - 1), 9)
    expect(note).toBe(`loss ${rows[i].loss.toFixed(3)}  ${words(rateOf(recent))}`)
  })
  expect(seen.json.tokensPerSecond).toBeCloseTo(rateOf(rows), 6)
})

test('a pretraining prints the mean loss and the pace since the line before', async () => {
  const seen = await run([...training.split(' '), '--evaluate-every', '5'])
  const rows = stepsOf(seen)
  const printed = [...seen.stdout.matchAll(/^step (\d+) of 12: .* training ([\d.]+), (.*)$/gm)]
  expect(printed.map(([, step, mean, rate]) => [Number(step), mean, rate])).toEqual(
    [
      [0, 5],
      [5, 10],
      [10, 12],
    ].map(([from, to]) => {
      const since = rows.slice(from, to)
      const mean = sum(since.map(({ loss }) => loss)) / since.length
      return [to, mean.toFixed(4), words(rateOf(since))]
    }),
  )
})

test.each(timed)('the report of `%s` has no time that the command did not take', async (line, counted) => {
  const start = performance.now()
  const { stderr, json } = await run(line.split(' '))
  const took = performance.now() - start
  expect(stderr).toBe('')
  const times = timesOf(json)
  expect(times.length).toBe(counted)
  for (const { name, milliseconds } of times) {
    expect(milliseconds, name).toBeGreaterThanOrEqual(0)
    expect(milliseconds, name).toBeLessThanOrEqual(took)
  }
})
