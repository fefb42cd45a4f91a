/**
 * The flags whose rows take seconds: those of `reproduce`, `bench`, `parity run` of a model, `inspect --storage` and `doctor`.
 *
 * Where every run of a command has a value of a flag, a row begins with null, which is that run, and adds another value behind it.
 */
import {
  hubRows,
  jsonResult,
  jsonRow,
  lasting,
  modeRow,
  provenance,
  quietRow,
  threadsRow,
  wideRow,
} from './shared_rows.ts'
import type { KnownFlag } from './commands.ts'
import type { Seen } from './observe.ts'
import type { CommandTable } from './table.ts'

/** Rows without speeds, which differ from run to run. */
const rowsOf = ({ json }: Seen): unknown => lasting(json.rows)
const seedOf = (seen: Seen): unknown => provenance(seen).seed
const masksOf = ({ sequences }: Seen): unknown => sequences.map(({ mask }) => mask)

const reproduceTable: CommandTable = {
  command: 'reproduce',
  always: '-m {model} --quick --no-speed --cache {out}/parts --limit 1 --examples 4 --sparsity 0.5 --json',
  result: rowsOf,
  rows: [
    { flag: '--sparsity', values: [null, '0.75'] },
    { flag: '--criterion', values: [null, 'l2norm'] },
    { flag: '--scope', values: [null, 'per-layer'] },
    {
      flag: '--limit',
      values: [null, '2'],
      shows: ({ json }) => json.evaluationWindows as number,
      is: [1, 2],
    },
    {
      flag: '--examples',
      values: [null, '5'],
      shows: ({ json }) => json.calibrationWindows as number,
      is: [4, 5],
    },
    {
      flag: '--features',
      beside: '--save-predictor {out}/p',
      values: [null, 'min_max'],
      shows: (seen) => seen.file('p'),
    },
    { flag: '--targets', values: [null, 'per_layer'] },
    { flag: '--seed', values: [null, '1'] },
    {
      flag: '--cache',
      values: [null, '{out}/others'],
      shows: (seen) => seen.has('parts'),
      is: [true, false],
    },
    { flag: '--no-cache', values: [null, ''], shows: (seen) => seen.has('parts'), is: [true, false] },
    {
      flag: '--output',
      values: [null, '{out}/report'],
      // A file is read byte by byte.
      shows: (seen) => seen.file('report') === Buffer.from(seen.stdout).toString('latin1'),
      is: [false, true],
    },
    {
      flag: '--html',
      values: [null, '{out}/page'],
      shows: (seen) =>
        seen.file('page')?.match(/^<!doctype html>[^]*shadowllm reproduce -m /)?.length ?? null,
      is: [null, 1],
    },
    {
      flag: '--save-predictor',
      values: [null, '{out}/p'],
      shows: (seen) => seen.has('p'),
      is: [false, true],
    },
    {
      flag: '--experiment',
      values: ['sparsity-curve', 'sparsity-curve,cost'],
      shows: ({ json }) => (json.experiments as { name: string }[]).map(({ name }) => name),
      is: [['sparsity-curve'], ['sparsity-curve', 'cost']],
    },
    {
      flag: '--seeds',
      beside: '--experiment sparsity-curve',
      values: [null, '1', '1,2'],
      shows: ({ json }) => lasting(json.experiments),
    },
  ],
}

const reproduceWhole: CommandTable = {
  ...reproduceTable,
  always: '-m {model} --no-cache --limit 1 --examples 4 --sparsity 0.5',
  rows: [
    { ...jsonRow, beside: '--quick --no-speed' },
    // Windows that are not short are longer than the context of the small model.
    {
      flag: '--quick',
      beside: '--no-speed --json',
      values: [null, ''],
      shows: ({ code }) => code,
      is: [2, 0],
      mayFail: true,
    },
    {
      flag: '--full',
      beside: '--quick --no-speed --json',
      values: [null, ''],
      shows: ({ code }) => code,
      is: [0, 2],
      mayFail: true,
    },
    {
      flag: '--no-speed',
      beside: '--quick --json',
      values: [null, ''],
      shows: ({ json }) =>
        (json.rows as { decodeTokensPerSecond: number | null }[]).some(
          ({ decodeTokensPerSecond }) => decodeTokensPerSecond !== null,
        ),
      is: [true, false],
    },
  ],
}

const reproduceGrid: CommandTable = {
  command: 'reproduce',
  always:
    '-m {model} --quick --no-speed --no-cache --limit 1 --examples 2 --sparsity 0.5 --json --experiment grid --windows 24+16 --units neurons --prefill dense --every once --planner static',
  result: ({ json }) => lasting((json.experiments as { rows: unknown }[]).map(({ rows }) => rows)),
  rows: [
    // One grid takes a fifth of the time of a comparison, and opens its model in the same way.
    { flag: '--model', values: [null, '{other}'] },
    ...hubRows('-m tiny/model'),
    quietRow,
    { flag: '--planner', values: [null, 'griffin'] },
    { flag: '--scope', values: [null, 'global', 'per-layer'] },
    { flag: '--units', values: [null, 'heads'] },
    { flag: '--head-sparsity', beside: '--units both', values: [null, '0.25', '0.25,0.75'] },
    { flag: '--prefill', values: [null, 'masked'] },
    {
      flag: '--every',
      beside: '--planner shadow --predictor {predictors/shadow.safetensors}',
      values: [null, '1'],
    },
    { flag: '--windows', values: [null, '24+20'] },
    {
      flag: '--predictor',
      beside: '--planner shadow',
      values: ['{predictors/shadow.safetensors}', '{other-predictors/shadow.safetensors}'],
    },
    { flag: '--calibration', beside: '--planner static', values: ['{traces}', '{other-traces}'] },
    { flag: '--compensate', beside: '--calibration {traces}', values: [null, 'mean', 'least-squares'] },
    {
      flag: '--prompt-share',
      beside: '--calibration {traces} --compensate least-squares',
      values: ['0.05', '0.9'],
    },
    { flag: '--scores', beside: '--calibration {traces}', values: [null, 'obs'] },
    {
      flag: '--moments',
      beside: '--compensate least-squares',
      values: ['{traces/moments.safetensors}', '{other-traces/moments.safetensors}'],
    },
    { flag: '--wikitext', values: ['{wiki.raw}', '{other-wiki.raw}'] },
    { flag: '--final', values: [null, ''] },
    {
      flag: '--backend',
      values: [null, 'reference'],
      // The command that makes the result again names it.
      shows: ({ json, models }) => [
        models.at(-1)?.backend,
        / --backend (\S+)/.exec((json.experiments as { command: string }[])[0].command)?.[1] ?? null,
      ],
      is: [
        ['wasm', null],
        ['reference', 'reference'],
      ],
    },
    wideRow,
    // A thread starts with its first job, which has some windows.
    { ...threadsRow, beside: '--limit 9', is: [0, 0, 2] },
  ],
}

const benchRows = ({ json }: Seen): unknown[][] =>
  (json.rows as Record<string, unknown>[]).map(({ storage, planner, test, threadsAsked, cache }) => [
    storage,
    planner,
    test,
    threadsAsked,
    cache,
  ])
const skipped = ({ json }: Seen): unknown =>
  (json.rows as { sparsity: unknown }[]).map(({ sparsity }) => sparsity)

const benchTable: CommandTable = {
  command: 'bench',
  always: '-m {model} --test tg2@4 --rounds 1 --json',
  result: benchRows,
  rows: [
    { flag: '--model', values: [null, '{other}'], shows: (seen) => provenance(seen).model },
    ...hubRows('-m tiny/model', (seen) => provenance(seen).model),
    {
      flag: '--backend',
      values: [null, 'reference', 'reference,wasm'],
      shows: ({ json }) => [...new Set((json.rows as { backend: string }[]).map(({ backend }) => backend))],
      is: [['wasm'], ['reference'], ['reference', 'wasm']],
    },
    wideRow,
    quietRow,
    { flag: '--storage', values: [null, 'int8', 'f32,bf16'] },
    { flag: '--planner', values: [null, 'shadow', 'dense'] },
    { flag: '--sparsity', values: ['0.25', '0.5,0.75'], shows: skipped },
    {
      flag: '--predictor',
      beside: '--planner dejavu',
      values: ['{predictors/dejavu.safetensors}', '{other-predictors/dejavu.safetensors}'],
      shows: masksOf,
    },
    { flag: '--mask', values: [null, '{mask.safetensors}'] },
    {
      flag: '--every',
      values: [null, '1'],
      shows: ({ json }) => (json.rows as { decisions: number }[]).map(({ decisions }) => decisions),
      is: [
        [0, 1, 1, 1],
        [0, 3, 3, 3],
      ],
    },
    {
      flag: '--check',
      values: [null, '2'],
      shows: ({ json }) =>
        (json.rows as { checked: { checks: number } | null }[]).map(({ checked }) => checked?.checks ?? 0),
      is: [
        [0, 0, 0, 0],
        [0, 2, 2, 2],
      ],
    },
    { flag: '--test', values: ['pp3', 'tg1@2,pp3'] },
    {
      flag: '--rounds',
      values: [null, '2'],
      shows: ({ json }) => (json.rows as { samples: number[] }[])[0].samples.length,
      is: [1, 2],
    },
    { flag: '--threads', values: [null, '2', '1,2'] },
    modeRow('--planner random'),
    { flag: '--cache', values: [null, 'int8'] },
    { flag: '--seed', values: [null, '5'], shows: seedOf, is: [0, 5] },
    { flag: '--seed', values: [null, '5'], shows: ({ fed }) => fed },
    { flag: '--profile', values: [null, ''], shows: ({ json }) => 'profiles' in json, is: [false, true] },
    {
      flag: '--depths',
      values: [null, '0', '1'],
      shows: ({ json }) => 'depths' in json,
      is: [false, false, true],
    },
  ],
}

const benchWords: CommandTable = {
  ...benchTable,
  always: '-m {model} --test tg1@2 --rounds 1',
  rows: [jsonRow],
}

const benchShapes: CommandTable = {
  ...benchTable,
  always: '--planner dense --test tg1@2 --rounds 1 --json --layers 1',
  result: ({ json }) =>
    (json.rows as { model: string; shape: string }[]).map(({ model, shape }) => [model, shape]),
  rows: [
    { flag: '--shape', values: ['opt-125m', 'opt-350m'] },
    { flag: '--layers', beside: '--shape opt-125m', values: [null, '2'] },
  ],
}

const benchQuick: CommandTable = {
  ...benchTable,
  always: '-m {model} --planner dense --json',
  rows: [{ flag: '--quick', values: [null, ''] }],
}

const inspectTable: CommandTable = {
  command: 'inspect',
  always: '{model} --json',
  result: jsonResult,
  rows: [
    { flag: '--storage', beside: '--texts 1', values: [null, 'int8', 'bf16,int8'] },
    {
      flag: '--texts',
      beside: '--storage int8',
      values: ['1', '2'],
      shows: ({ json }) => (json.storages as { tokens: number }[])[0].tokens,
    },
  ],
}

const parityTable: CommandTable = {
  command: 'parity run',
  always: '-m {model} --small --certificate {out}/certificate',
  result: (seen) =>
    (JSON.parse(seen.file('certificate') as string) as { provenance: { model: { hash: string } } }).provenance
      .model.hash,
  rows: [{ flag: '--model', values: [null, '{other}'] }, ...hubRows()],
}

/** The relaxed backend rounds differently, so the differences depend on the cases. */
const parityCases: CommandTable = {
  command: 'parity run',
  always: '--backend wasm-relaxed --ops linear --small --json',
  result: ({ json }) =>
    (json.ops as { worst: unknown; differing: number }[]).map(({ worst, differing }) => [worst, differing]),
  rows: [{ flag: '--seed', values: [null, '1'] }],
}

const doctorTable: CommandTable = {
  command: 'doctor',
  always: '',
  result: ({ stdout }) => stdout,
  rows: [{ ...jsonRow, mayFail: true }],
}

export const slowTables: readonly CommandTable[] = [
  reproduceTable,
  reproduceWhole,
  reproduceGrid,
  benchTable,
  benchWords,
  benchShapes,
  benchQuick,
  inspectTable,
  parityTable,
  parityCases,
  doctorTable,
]

/** Flags whose effect is not visible on every machine, and the spec that states it. */
export const statedElsewhere: readonly (KnownFlag & { readonly where: string })[] = [
  { command: 'serve', flag: '--stall', where: 'spec/server/load.full.spec.ts' },
  { command: 'bench', flag: '--no-graphs', where: 'spec/cli/commands/bench.full.spec.ts' },
  ...['--queue', '--shards'].map((flag) => ({
    command: 'reproduce',
    flag,
    where: 'spec/cli/commands/worker.full.spec.ts',
  })),
]
