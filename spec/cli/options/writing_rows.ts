/**
 * The flags of the commands that run one planner: `generate` and `masks`.
 */
import {
  compensationRows,
  deciderRows,
  jsonRow,
  modelRows,
  modeRow,
  storageRow,
  threadsRow,
} from './shared_rows.ts'
import type { Seen } from './observe.ts'
import type { CommandTable, Row } from './table.ts'

/** The planner, its sparsities and its seed. */
const shareRows: readonly Row[] = [
  { flag: '--planner', values: ['dense', 'random', 'prompt-plainact', 'griffin', 'shadow'] },
  { flag: '--sparsity', beside: '--planner random', values: [null, '0.25', '1'] },
  { flag: '--head-sparsity', beside: '--planner random', values: [null, '0', '1'] },
  { flag: '--neuron-sparsity', beside: '--planner random', values: [null, '0', '1'] },
  { flag: '--seed', beside: '--planner random', values: [null, '1', '4294967295'] },
]

const drawn = '--temperature 1.5'

const variablesRow: Omit<Row, 'flag'> = { values: [null, '{"terse":true}'] }

const sessionRow: Omit<Row, 'flag'> = {
  values: [null, '{out}/a.session', '{out}/b.session'],
  shows: (seen) => ['a.session', 'b.session'].map((name) => seen.file(name) !== null),
  is: [
    [false, false],
    [true, false],
    [false, true],
  ],
}

/** The result is the generated tokens. */
export const generateTable: CommandTable = {
  command: 'generate',
  always: 'abcdef -m {model} --json --max-tokens 12',
  result: ({ json }) => json.tokens as number[],
  rows: [
    ...modelRows(),
    ...shareRows.map((row) => ({ ...row, beside: `${row.beside ?? ''} ${drawn}` })),
    ...[...deciderRows(), ...compensationRows()].map((row) => ({ ...row, beside: `${row.beside} ${drawn}` })),
    { flag: '--seed', beside: drawn, values: [null, '1', '2'] },
    { flag: '--every', beside: `--planner random ${drawn}`, values: [null, '1', '2'] },
    { flag: '--prefill', beside: `--planner random ${drawn}`, values: [null, 'dense'] },
    { flag: '--check', beside: `--planner random ${drawn}`, values: [null, '2'] },
    // After ReLU most gates are zero: to skip those changes nothing.
    { flag: '--planner', beside: `--sparsity 0.95 ${drawn}`, values: ['cats', 'teal', 'wina'] },
    {
      flag: '--max-tokens',
      values: ['1', '2', '40'],
      shows: ({ json }) => json.tokens.length as number,
      is: [1, 2, 40],
    },
    { flag: '--temperature', values: [null, '1', '2'] },
    { flag: '--top-k', beside: drawn, values: [null, '1', '2'] },
    { flag: '--top-p', beside: drawn, values: [null, '0.01', '0.3'] },
    { flag: '--repetition-penalty', values: [null, '1.5'] },
    { flag: '--min-p', beside: drawn, values: [null, '0.2', '1'] },
    { flag: '--presence-penalty', values: [null, '2'] },
    { flag: '--frequency-penalty', values: [null, '2'] },
    { flag: '--logit-bias', values: [null, '{"5":100}', '{"6":100}'] },
    { flag: '--chat', values: [null, ''] },
    { flag: '--system', beside: '--chat', values: [null, 'x', 'y'] },
    { flag: '--session', ...sessionRow },
    { flag: '--chat-template-kwargs', beside: '--chat', ...variablesRow },
    storageRow,
    threadsRow,
    modeRow('--planner random'),
    {
      flag: '--cache',
      values: [null, 'f32', 'int8'],
      shows: ({ sequences: [{ cache }], json }) => [cache, json.cache as string],
      is: [
        ['none', 'f32'],
        ['f32', 'f32'],
        ['int8', 'int8'],
      ],
    },
  ],
}

/** The rows that both have but for what they show. */
const ofGenerate = generateTable.rows.filter(
  ({ flag }) =>
    !['--max-tokens', '--cache', '--chat', '--system', '--session', '--chat-template-kwargs'].includes(flag),
)

/** A conversation of one message; the result is the generated tokens. */
const chatTable: CommandTable = {
  ...generateTable,
  command: 'chat',
  always: '-m {model} --json --max-tokens 12',
  rows: [
    ...ofGenerate,
    {
      flag: '--max-tokens',
      values: ['1', '2', '40'],
      shows: ({ json }) => json.tokens.length as number,
      is: [1, 2, 40],
    },
    { flag: '--system', values: [null, 'x', 'y'] },
    { flag: '--session', ...sessionRow },
    { flag: '--chat-template-kwargs', ...variablesRow },
    {
      flag: '--cache',
      values: [null, 'f32', 'int8'],
      shows: ({ sequences: [{ cache }] }) => cache,
      is: ['none', 'f32', 'int8'],
    },
  ],
}

const chatWords: CommandTable = {
  ...chatTable,
  always: '-m {model} --max-tokens 1',
  rows: [jsonRow],
}

/** The same command without `--json`. */
const generateWords: CommandTable = {
  ...generateTable,
  always: 'abcdef -m {model} --max-tokens 1',
  rows: [
    jsonRow,
    {
      flag: '--max-tokens',
      beside: '--json',
      values: ['64', '65'],
      shows: ({ json }) => json.tokens.length as number,
      is: [64, 65],
    },
  ],
}

const keptBy = ({ json }: Seen): unknown => json.layers as unknown

/** The result is the kept units of each layer. */
const masksTable: CommandTable = {
  command: 'masks',
  always: 'abcdef -m {model} --json',
  result: keptBy,
  rows: [
    ...modelRows(),
    ...shareRows,
    ...deciderRows(),
    { flag: '--planner', values: [null, 'dense', 'random', 'prompt-plainact', 'griffin'] },
    { flag: '--planner', beside: '--continuation ghi', values: ['shadow', 'oracle'] },
    storageRow,
    { flag: '--all-layers', beside: '--planner static --calibration {traces}', values: [null, ''] },
    {
      flag: '--tokens',
      values: [null, '1', '6'],
      shows: ({ json }) => json.tokens.length as number,
      is: [7, 1, 6],
    },
    {
      flag: '--continuation',
      beside: '--planner oracle',
      values: ['ghi', 'xyz'],
    },
    {
      flag: '--continuation',
      values: [null, 'ghi'],
      shows: ({ json }) => json.overlap === null,
      is: [true, false],
    },
    {
      flag: '--output',
      values: ['{out}/mask', '{out}/other'],
      shows: (seen) => seen.file('mask') !== null,
      is: [true, false],
    },
  ],
}

const masksWords: CommandTable = {
  command: 'masks',
  always: '-m {model}',
  result: keptBy,
  rows: [
    { ...jsonRow, beside: '--text {a.txt}' },
    {
      flag: '--text',
      beside: '--json',
      values: ['{a.txt}', '{b.txt}'],
      shows: ({ json }) => json.tokens as number[],
    },
  ],
}

export const writingTables: readonly CommandTable[] = [
  generateTable,
  generateWords,
  chatTable,
  chatWords,
  masksTable,
  masksWords,
]
