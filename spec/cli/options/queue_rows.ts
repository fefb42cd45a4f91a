/**
 * The flags of the commands that put work into a queue, take it from there, or show it.
 */
import { hubRows, jsonRow, quietRow, wideRow } from './shared_rows.ts'
import type { Seen } from './observe.ts'
import type { CommandTable, Row } from './table.ts'

const code = ({ code: found }: Seen): unknown => found

/** The arguments of one name in all calls of the stand-ins for a queue. */
const callsWith =
  (name: string) =>
  ({ calls }: Seen): unknown =>
    calls.flatMap((one) => (name in one ? [one[name]] : []))

/** The rows of `--queue` and `--shards`; a command takes both or neither. */
const bothRows: readonly Row[] = [
  {
    flag: '--queue',
    beside: '--shards {out}/shards',
    values: [null, 'redis://a:1'],
    shows: code,
    is: [2, 0],
    mayFail: true,
  },
  {
    flag: '--shards',
    beside: '--queue redis://a:1',
    values: [null, '{out}/shards'],
    shows: code,
    is: [2, 0],
    mayFail: true,
  },
  {
    flag: '--shards',
    beside: '--queue redis://a:1',
    values: ['{out}/shards', '{out}/others'],
    shows: (seen) => seen.has('shards'),
    is: [true, false],
  },
  {
    flag: '--queue',
    beside: '--shards {out}/shards',
    values: ['redis://a:1', 'redis://b:2'],
    shows: callsWith('address'),
  },
]

export const calibrateQueue: CommandTable = {
  command: 'calibrate',
  always: '-m {model} --output {out}/c --json --text {long.txt} --limit 11 --prompt 12 --continuation 8',
  result: (seen) => seen.file('c/part-00000.safetensors'),
  rows: bothRows,
}

export const evalQueue: CommandTable = {
  command: 'eval',
  always: '-m {model} --json --tasks piqa --data {rows} --planner random',
  result: ({ json }) => [json.rows, json.results] as unknown,
  rows: bothRows,
}

const workerTable: CommandTable = {
  command: 'worker',
  always: '-m {model} --queue redis://a:1 --shards {out}/shards',
  result: ({ stdout }) => stdout,
  rows: [
    { flag: '--queue', values: ['redis://b:2', 'redis://c:3'], shows: callsWith('address') },
    {
      flag: '--shards',
      values: ['{out}/shards', '{out}/others'],
      shows: (seen) => seen.has('shards'),
      is: [true, false],
    },
    { flag: '--model', values: ['{model}', '{other}'], shows: callsWith('queue') },
    { flag: '--model', values: ['{model}', '{other}'], shows: callsWith('path') },
    ...hubRows('-m tiny/model', callsWith('queue')),
    { flag: '--backend', values: [null, 'wasm-relaxed'], shows: callsWith('queue') },
    {
      flag: '--backend',
      values: [null, 'reference'],
      shows: callsWith('backend'),
      is: [['wasm'], ['reference']],
    },
    wideRow,
    {
      flag: '--concurrency',
      values: [null, '2', '64'],
      shows: callsWith('concurrency'),
      is: [[1], [2], [64]],
    },
    { flag: '--grace', values: [null, '0', '1.5'], shows: callsWith('grace'), is: [[30_000], [0], [1500]] },
    { flag: '--idle', values: [null, '0.5', '60'], shows: callsWith('idle'), is: [[null], [500], [60_000]] },
    { flag: '--lock', values: [null, '1', '2.5'], shows: callsWith('lock'), is: [[30_000], [1000], [2500]] },
    jsonRow,
    quietRow,
  ],
}

const jobsTable: CommandTable = {
  command: 'jobs',
  always: '--queue redis://a:1',
  result: ({ stdout }) => stdout,
  rows: [
    jsonRow,
    { flag: '--queue', values: ['redis://b:2', 'redis://c:3'], shows: callsWith('address') },
    {
      flag: '--retry',
      beside: '--json',
      values: [null, ''],
      shows: ({ json }) => json.retried as number,
      is: [0, 3],
    },
  ],
}

export const queueTables: readonly CommandTable[] = [calibrateQueue, evalQueue, workerTable, jobsTable]
