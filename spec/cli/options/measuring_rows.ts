/**
 * The flags of the commands that compare planners: `perplexity` and `eval`. Runs are compared by their masks and the tokens
 * they fed, because a table of four questions has few numbers.
 */
import {
  compensationRows,
  deciderRows,
  jsonResult,
  jsonRow,
  modelRows,
  modeRow,
  provenance,
  storageRow,
  threadsRow,
} from './shared_rows.ts'
import type { Seen } from './observe.ts'
import type { CommandTable, Row } from './table.ts'

const masksOf = ({ sequences }: Seen): unknown => sequences.map(({ mask }) => mask)
const plannersOf = ({ json }: Seen): unknown =>
  (json.rows as { planner: string }[]).map(({ planner }) => planner)
const sparsitiesOf = ({ json }: Seen): unknown =>
  (json.rows as { sparsity: number }[]).map(({ sparsity }) => sparsity)

/** The flags that decide which rows a report has, and their planners. */
function rowRows(): Row[] {
  return [
    {
      flag: '--planner',
      values: [null, 'random', 'shadow,random'],
      shows: plannersOf,
      is: [['dense'], ['dense', 'random'], ['dense', 'shadow', 'random']],
    },
    {
      flag: '--planner',
      values: ['random', 'shadow', 'oracle', 'prompt-plainact', 'griffin'],
      shows: masksOf,
    },
    {
      flag: '--prefill',
      beside: '--planner random',
      values: [null, 'dense', 'masked'],
      shows: ({ json }) => (json.rows as { prefill: string }[]).map(({ prefill }) => prefill),
      is: [
        ['dense', 'masked'],
        ['dense', 'dense'],
        ['dense', 'masked'],
      ],
    },
    {
      flag: '--prefill',
      beside: '--planner random',
      values: [null, 'dense'],
      shows: ({ json }) => json.rows as unknown,
    },
    {
      flag: '--sparsity',
      beside: '--planner random',
      values: [null, '0.25', '0.75,0.25'],
      shows: sparsitiesOf,
      is: [
        [0, 0.5],
        [0, 0.25],
        [0, 0.25, 0.75],
      ],
    },
    { flag: '--sparsity', beside: '--planner random', values: [null, '0.25', '1'], shows: masksOf },
    { flag: '--head-sparsity', beside: '--planner random', values: [null, '0'], shows: masksOf },
    { flag: '--neuron-sparsity', beside: '--planner random', values: [null, '0'], shows: masksOf },
    ...deciderRows().map((row) => ({ ...row, shows: masksOf })),
    { flag: '--criterion', beside: '--planner oracle', values: [null, 'l2norm'], shows: masksOf },
    modeRow('--planner random'),
    { flag: '--leaky', beside: '--planner prompt-plainact', values: [null, ''], shows: masksOf },
    {
      flag: '--leaky',
      beside: '--planner random',
      values: [null, ''],
      shows: ({ json }) => (json.rows as { leaky: boolean }[]).map(({ leaky }) => leaky),
      is: [
        [false, false],
        [false, true],
      ],
    },
    { flag: '--seed', beside: '--planner random', values: [null, '1', '4294967295'], shows: masksOf },
    {
      flag: '--seed',
      values: [null, '7'],
      shows: (seen) => provenance(seen).seed,
      is: [0, 7],
    },
    storageRow,
    threadsRow,
    {
      flag: '--output',
      values: ['{out}/report', '{out}/other'],
      shows: (seen) => seen.file('report') === seen.stdout,
      is: [true, false],
    },
  ]
}

const windows = ({ json }: Seen): unknown => json.protocol as unknown
const fed = ({ fed: all }: Seen): unknown => all

const perplexityTable: CommandTable = {
  command: 'perplexity',
  always: '-m {model} --json --text {a.txt} --by stream --prompt 20',
  result: jsonResult,
  rows: [
    ...modelRows(),
    ...rowRows(),
    ...compensationRows(),
    // Tokens are fed in parts if the planner is called again.
    { flag: '--every', beside: '--planner random', values: [null, '1', '60'], shows: masksOf },
    {
      flag: '--text',
      values: ['{b.txt}', '{b.txt} {a.txt}'],
      shows: ({ json }) => [json.text.pages, json.text.name.length] as number[],
    },
    {
      flag: '--by',
      values: ['page', 'stream', 'both'],
      shows: ({ json }) => Object.keys(json.protocol.windows as object),
      is: [['page'], ['stream'], ['page', 'stream']],
    },
    { flag: '--context', values: [null, '50', '51'], shows: fed },
    { flag: '--windows', beside: '--context 40', values: [null, '1', '2'], shows: fed },
    { flag: '--stride', values: [null, '50', '51'], shows: fed },
    { flag: '--prefix', values: [null, 'window', 'none'], shows: fed },
    {
      flag: '--prompt',
      beside: '--planner shadow',
      values: ['1', '2', '100'],
      shows: ({ json }) => json.protocol.prompt as number,
      is: [1, 2, 100],
    },
    { flag: '--prompt', beside: '--planner shadow', values: ['1', '2', '100'], shows: masksOf },
    { flag: '--limit', beside: '--text {b.txt} {a.txt}', values: [null, '1'], shows: fed },
    {
      flag: '--cache',
      beside: '--planner random',
      values: [null, 'int8'],
      shows: ({ sequences, json }) => [sequences.at(-1)?.cache, json.protocol.cache as string],
      is: [
        ['f32', 'f32'],
        ['int8', 'int8'],
      ],
    },
  ],
}

const perplexityWords: CommandTable = {
  command: 'perplexity',
  always: '-m {model} --by stream',
  result: windows,
  rows: [
    { ...jsonRow, beside: '--text {a.txt}' },
    { flag: '--wikitext', beside: '--json', values: ['{wiki.raw}', '{other-wiki.raw}'], shows: fed },
  ],
}

const evalTable: CommandTable = {
  command: 'eval',
  always: '-m {model} --json --tasks piqa --data {rows}',
  result: fed,
  rows: [
    ...modelRows().map((row) =>
      row.flag === '--model' || row.flag === '--revision' ? { ...row, shows: provenanceModel } : row,
    ),
    ...rowRows(),
    ...compensationRows().map((row) => ({
      ...row,
      beside: `${row.beside} --log-samples`,
      shows: ({ json }: Seen) => json.samples as unknown,
    })),
    { flag: '--every', beside: '--planner random', values: [null, '1', '5'], shows: masksOf },
    { flag: '--tasks', values: ['piqa', 'copa', 'copa,piqa'] },
    { flag: '--data', values: ['{rows}', '{other-rows}'] },
    { flag: '--rows', values: [null, 'piqa={other-rows/piqa.jsonl}'] },
    { flag: '--shots', values: [null, '1', '2'] },
    { flag: '--seed', beside: '--shots 1', values: [null, '1'] },
    { flag: '--limit', values: [null, '1', '2'] },
    { flag: '--bos', values: [null, ''] },
    {
      flag: '--log-samples',
      values: [null, ''],
      shows: ({ json }) => (json.samples as unknown[] | undefined)?.length ?? null,
      is: [null, 4],
    },
  ],
}

function provenanceModel(seen: Seen): unknown {
  return (provenance(seen).model as { hash: string }).hash
}

const continuationTable: CommandTable = {
  command: 'eval',
  always: '-m {model} --tasks continuation --limit 2',
  result: fed,
  rows: [
    { ...jsonRow, beside: '--text {long.txt}' },
    { flag: '--text', values: ['{long.txt}', '{longer.txt}'] },
    { flag: '--prompt', beside: '--text {long.txt}', values: [null, '10', '20'] },
    { flag: '--continuation', beside: '--text {long.txt}', values: [null, '8', '12'] },
    ...['prompt', 'continuation'].map((name) => ({
      flag: `--${name}`,
      beside: '--text {long.txt} --json',
      values: ['9', '11'],
      shows: ({ json }: Seen) => json.configs.continuation[name] as number,
      is: [9, 11],
    })),
    { flag: '--limit', beside: '--text {long.txt}', values: ['1', '3'] },
    { flag: '--seed', beside: '--text {long.txt}', values: [null, '1'] },
  ],
}

export const measuringTables: readonly CommandTable[] = [
  perplexityTable,
  perplexityWords,
  evalTable,
  continuationTable,
]
