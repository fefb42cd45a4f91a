/**
 * Prompts and decoding beside llama.cpp, from what `npm run bench:peers -- --json` printed.
 */
import type { Ratio, Skipping } from '../peers/report.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { markdownTable } from './table.ts'

/** The part of `bench:peers --json` that is told. */
export interface PeersResult {
  readonly host: string
  readonly load: readonly number[]
  readonly peers: Readonly<Record<string, string>>
  readonly model: string
  readonly rounds: number
  readonly rows: readonly {
    readonly arm: string
    readonly test: string
    readonly threads: number
    readonly tokensPerSecond: number
  }[]
  readonly ratios: readonly Ratio[]
  /** Absent in files from before it was told. */
  readonly skipping?: readonly Skipping[]
}

/** What stands beside what: the same file, or the format that people use in its place. */
const beside: readonly (readonly [ours: string, peer: string])[] = [
  ['shadowllm f32', 'llama.cpp F32'],
  ['shadowllm f16', 'llama.cpp F16'],
  ['shadowllm int8', 'llama.cpp Q8_0'],
  ['shadowllm int4', 'llama.cpp Q4_0'],
  ['shadowllm int4', 'llama.cpp Q4_1'],
  ['shadowllm int8, 50 % skipped', 'llama.cpp Q8_0'],
  ['shadowllm int4, 50 % skipped', 'llama.cpp Q4_0'],
  // Long texts alone.
  ['shadowllm int8', 'llama.cpp Q8_0, flash attention'],
]

/**
 * Where it was measured, and a row for each pair: tokens per second of both, and the ratio with its quartiles, on one thread. Then what
 * leaving units out gives beside dense, and beside the weights that are read.
 */
export function peersTable(result: PeersResult): string {
  const { host, load, peers, model, rounds, rows, ratios, skipping = [] } = result
  const speed = (arm: string, test: string): string =>
    (rows.find((row) => row.arm === arm && row.test === test)?.tokensPerSecond ?? NaN).toFixed(0)
  const cells = beside.flatMap(([ours, peer]) =>
    ratios
      .filter((ratio) => ratio.ours === ours && ratio.peer === peer && ratio.threads === 1)
      .map(({ test, median, lower, upper }) => {
        const ratio = `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`
        return [ours, peer, test, speed(ours, test), speed(peer, test), ratio]
      }),
  )
  const words = Object.entries(peers).map((entry) => entry.join(' '))
  const where = `${model}, one thread; ${host}; ${words.join(', ')}; ${rounds} rounds, load ${load.map((one) => one.toFixed(1)).join(' to ')}.`
  const head = ['here', 'there', 'test', 'tokens/s', 'there', 'times as fast (quartiles)']
  const skipped = skipping
    .filter(({ threads }) => threads === 1)
    .map(({ arm, test, timesDense, weightsRatio, share }) => [
      arm,
      test,
      ...[timesDense, weightsRatio, share].map((value) => value.toFixed(2)),
    ])
  const told = ['here', 'test', 'times dense', 'ratio of weights read', 'of that ratio']
  const beneath = skipped.length > 0 ? `\n${markdownTable(told, skipped)}` : ''
  return `${where}\n\n${markdownTable(head, cells)}${beneath}`
}

/** The median ratio of a pair, on one thread. @throws InputError ROW for a pair that was not measured */
export function timesAsFast({ ratios }: PeersResult, ours: string, peer: string, test: string): string {
  const found = ratios.find(
    (one) => one.ours === ours && one.peer === peer && one.test === test && one.threads === 1,
  )
  if (found) return found.median.toFixed(2)
  throw new InputError('ROW', `peers.json: expected ${ours} beside ${peer} in ${test}, got none`)
}
