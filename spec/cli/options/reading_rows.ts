/**
 * The flags of the commands that read files or count: `cost`, `inspect`, `verify` and those of `parity`.
 */
import { hubRows, jsonResult, jsonRow, modelRows, provenance, quietRow, wideRow } from './shared_rows.ts'
import type { Seen } from './observe.ts'
import type { CommandTable } from './table.ts'

const namesOf =
  (key: string) =>
  ({ json }: Seen): unknown =>
    json[key] as unknown

const costTable: CommandTable = {
  command: 'cost',
  always: '--model opt-125m --bandwidth 10 --json',
  result: jsonResult,
  rows: [
    { flag: '--model', values: ['opt-350m', 'opt-350m,opt-125m'] },
    { flag: '--sparsity', values: [null, '0', '1'] },
    { flag: '--prompt', values: [null, '1', '100'] },
    { flag: '--tokens', values: [null, '1', '100'] },
    { flag: '--storage', values: [null, 'f16', 'int8'] },
    { flag: '--hidden', values: [null, '1', '100'] },
    { flag: '--bandwidth', values: ['1', '2'] },
    { flag: '--predictors', values: [null, ''], shows: namesOf('name') },
    {
      flag: '--html',
      values: [null, '{out}/page'],
      shows: (seen) => seen.file('page')?.startsWith('<!doctype html>') ?? null,
      is: [null, true],
    },
  ],
}

const costWords: CommandTable = { ...costTable, always: '--model opt-125m --bandwidth 10', rows: [jsonRow] }

const clusterTable: CommandTable = {
  command: 'cost',
  always: '--model opt-125m --json --gflops 10 --windows 16 --machines 4',
  result: jsonResult,
  rows: [
    { flag: '--cluster', values: [null, ''], shows: ({ code }) => code, is: [2, 0], mayFail: true },
    ...[
      { flag: '--machines', values: ['1', '3'] },
      { flag: '--windows', values: ['1', '17'] },
      { flag: '--gflops', values: ['1', '100'] },
      { flag: '--deaths', values: [null, '0', '60'] },
      { flag: '--seed', beside: '--deaths 60', values: [null, '1'] },
    ].map((row) => ({ ...row, beside: `--cluster ${row.beside ?? ''}` })),
  ],
}

const inspectTable: CommandTable = {
  command: 'inspect',
  always: '{model}',
  result: ({ stdout }) => stdout,
  rows: [jsonRow],
}

const inspectHub: CommandTable = {
  ...inspectTable,
  always: 'tiny/model --json',
  rows: hubRows('', ({ json }) => json.hub.commit as string),
}

const laws = ({ json }: Seen): unknown =>
  (json.laws as { law: string; runs: number; digest: string }[]).map(({ law, runs, digest }) => [
    law,
    runs,
    digest,
  ])

const verifyTable: CommandTable = {
  command: 'verify',
  always: '--backend reference --law top_k --seed 1 --json --runs 0.01',
  result: laws,
  rows: [
    {
      flag: '--backend',
      values: ['reference', 'wasm', 'wasm,reference'],
      shows: ({ json }) => Object.keys(json.digests as object),
      is: [['reference'], ['wasm'], ['wasm', 'reference']],
    },
    { flag: '--seed', values: ['2', '2147483647'] },
    { flag: '--runs', values: ['0.02', '0.03'] },
    { flag: '--law', values: ['relu', 'softmax'] },
    quietRow,
  ],
}

const verifyWords: CommandTable = {
  ...verifyTable,
  always: '--backend reference --law top_k --seed 1 --runs 0.01',
  rows: [jsonRow],
}

const runOps: CommandTable = {
  command: 'parity run',
  always: '--ops top_k --small',
  result: ({ json }) => (json.ops as { op: string; cases: number }[]).map(({ op, cases }) => [op, cases]),
  rows: [
    jsonRow,
    quietRow,
    { flag: '--ops', beside: '--json', values: ['relu', 'relu,top_k'] },
    {
      flag: '--backend',
      beside: '--json',
      values: [null, 'reference', 'wasm-rust'],
      shows: namesOf('backend'),
      is: ['wasm', 'reference', 'wasm-rust'],
    },
    {
      flag: '--backend',
      values: [null, 'reference'],
      shows: ({ instances }) => instances > 0,
      is: [true, false],
    },
    wideRow,
    {
      flag: '--certificate',
      values: [null, '{out}/certificate'],
      shows: (seen) => seen.file('certificate') !== null,
      is: [false, true],
    },
    {
      flag: '--seed',
      beside: '--certificate {out}/certificate',
      values: [null, '1'],
      shows: (seen) =>
        (JSON.parse(seen.file('certificate') as string) as { provenance: { seed: number } }).provenance.seed,
      is: [0, 1],
    },
  ],
}

const runAllSizes: CommandTable = {
  ...runOps,
  always: '--ops relu --json',
  rows: [{ flag: '--small', values: [null, ''] }],
}

const verifyCertificate: CommandTable = {
  command: 'parity verify-certificate',
  always: '{certificate}',
  result: ({ stdout }) => stdout,
  rows: [jsonRow],
}

const opFile = (seen: Seen): unknown => seen.file('ops/relu.safetensors')

const exportOps: CommandTable = {
  command: 'parity export-ops',
  always: '--output {out}/ops --ops relu --small',
  result: opFile,
  rows: [
    {
      flag: '--output',
      values: ['{out}/ops', '{out}/others'],
      shows: (seen) => opFile(seen) !== null,
      is: [true, false],
    },
    {
      flag: '--ops',
      values: ['relu', 'add,relu', 'top_k'],
      shows: ({ stdout }) => stdout.replace(/^.*: /, ''),
    },
    { flag: '--seed', values: [null, '1', '4294967295'] },
    quietRow,
  ],
}

const exportAllSizes: CommandTable = {
  ...exportOps,
  always: '--output {out}/ops --ops relu',
  rows: [{ flag: '--small', values: [null, ''], shows: (seen) => seen.file('ops/relu.safetensors')?.length }],
}

const checkOps: CommandTable = {
  command: 'parity check-ops',
  always: '{expected-ops} {actual-ops}',
  result: ({ code, stdout }) => [code, stdout],
  rows: [
    { ...jsonRow, mayFail: true },
    { ...quietRow, mayFail: true },
    { flag: '--relaxed', values: [null, ''], mayFail: true },
    {
      flag: '--tolerance',
      values: ['0', '0.000001', '1'],
      shows: ({ code, stdout }) => [code, stdout],
      mayFail: true,
    },
  ],
}

/** An op without an answer. */
const checkFewerOps: CommandTable = {
  ...checkOps,
  always: '{two-ops} {one-op}',
  rows: [{ flag: '--strict', values: [null, ''], shows: ({ code }) => code, is: [0, 1], mayFail: true }],
}

const fileOf = (seen: Seen): unknown => seen.file('case')

const exportTable: CommandTable = {
  command: 'parity export',
  always: '-m {model} --cases {cases.safetensors} --output {out}/case',
  result: fileOf,
  rows: [
    ...modelRows(),
    { flag: '--cases', values: ['{cases.safetensors}', '{other-cases.safetensors}'] },
    {
      flag: '--output',
      values: ['{out}/case', '{out}/other'],
      shows: (seen) => fileOf(seen) !== null,
      is: [true, false],
    },
  ],
}

const checkTable: CommandTable = {
  command: 'parity check',
  always: '{first.safetensors} {second.safetensors}',
  result: ({ code }) => code,
  rows: [
    { ...jsonRow, mayFail: true },
    { flag: '--tolerance', values: ['0', '1'], is: [1, 0], mayFail: true },
  ],
}

export const readingTables: readonly CommandTable[] = [
  costTable,
  costWords,
  clusterTable,
  inspectTable,
  inspectHub,
  verifyTable,
  verifyWords,
  runOps,
  runAllSizes,
  verifyCertificate,
  exportOps,
  exportAllSizes,
  checkOps,
  checkFewerOps,
  exportTable,
  checkTable,
]
void provenance
