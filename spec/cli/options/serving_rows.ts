/**
 * The flags of `serve`, by what its server answers.
 */
import {
  compensationRows,
  deciderRows,
  hubRows,
  modeRow,
  quietRow,
  storageRow,
  threadsRow,
  wideRow,
} from './shared_rows.ts'
import { generateTable } from './writing_rows.ts'
import type { Seen } from './observe.ts'
import type { CommandTable, Row } from './table.ts'

/** A port that no other run of the tests takes. */
const port = 20_000 + (process.pid % 20_000)

const texts = ({ served }: Seen): unknown => served?.texts
/** What planners decide, where they see the first tokens of a prompt. */
const scores = ({ served }: Seen): unknown => served?.scores

/** The rows of a planner and its shares, as `generate` has them, without what a request says itself. */
const planning = generateTable.rows
  .filter(({ flag }) =>
    ['--planner', '--sparsity', '--head-sparsity', '--neuron-sparsity', '--every', '--check'].includes(flag),
  )
  .map((row): Row => ({ ...row, beside: row.beside?.replace('--temperature 1.5', ''), shows: undefined }))

export const servingTable: CommandTable = {
  command: 'serve',
  always: '-m {model} --port 0',
  result: (seen) => [texts(seen), scores(seen)],
  rows: [
    {
      flag: '--host',
      values: [null, 'localhost'],
      shows: ({ served }) => served?.url.hostname,
      is: ['127.0.0.1', 'localhost'],
    },
    {
      flag: '--port',
      values: ['0', `${port}`],
      shows: ({ served }) => Number(served?.url.port) === port,
      is: [false, true],
    },
    { flag: '--name', values: [null, 'a', 'b'], shows: ({ served }) => served?.model },
    { flag: '--api-key', values: [null, 'key'], shows: ({ served }) => served?.status, is: [200, 401] },
    {
      flag: '--cors',
      values: [null, 'https://a.example', 'https://b.example', '*'],
      shows: ({ served }) => served?.ofPage,
      is: [403, 200, 403, 200],
    },
    {
      flag: '--parallel',
      values: ['1', '3', '4'],
      shows: ({ served }) => served?.crowd,
      is: [
        [1, 3],
        [3, 1],
        [4, 0],
      ],
    },
    {
      flag: '--waiting',
      beside: '--parallel 1',
      values: [null, '0', '2'],
      shows: ({ served }) => served?.crowd,
      is: [
        [1, 3],
        [1, 0],
        [1, 2],
      ],
    },
    {
      flag: '--connections',
      beside: '--parallel 1 --waiting 1',
      values: ['500', '3'],
      shows: ({ served }) => served?.isFull,
      is: [false, true],
    },
    {
      flag: '--kept',
      values: ['0', '64'],
      shows: ({ served }) => served?.cached,
      is: [false, true],
    },
    { flag: '--mask-tokens', beside: '--planner random', values: [null, '2', '3'], shows: scores },
    { flag: '--read', values: ['60', '0.001'], shows: ({ served }) => served?.read, is: [200, 400] },
    {
      flag: '--chat-template-kwargs',
      values: ['{"terse":false}', '{"terse":true}'],
      shows: ({ served }) => served?.chat,
    },
    { flag: '--drain', values: ['30', '0'], shows: ({ served }) => served?.last, is: [200, 503] },
    { flag: '--model', values: ['{model}', '{other}'] },
    ...hubRows(),
    {
      flag: '--backend',
      values: [null, 'reference'],
      shows: ({ models }) => models.at(-1)?.backend,
      is: ['wasm', 'reference'],
    },
    wideRow,
    ...planning,
    ...deciderRows(),
    ...compensationRows(),
    { flag: '--seed', values: [null, '1', '2'], shows: texts },
    storageRow,
    threadsRow,
    modeRow('--planner random'),
    {
      flag: '--cache',
      values: [null, 'f32', 'int8'],
      shows: ({ sequences: [{ cache }] }) => cache,
      is: ['none', 'f32', 'int8'],
    },
    quietRow,
  ],
}
