/**
 * The flags of the commands that write files for other commands: `calibrate`, `train`, `learn`, `pretrain`, `convert`. Their result
 * is what they write.
 */
import { hubRows, jsonRow, lasting, modelRows, quietRow, threadsRow, wideRow } from './shared_rows.ts'
import type { Seen } from './observe.ts'
import type { CommandTable } from './table.ts'

const calibrationOf = (seen: Seen): unknown => [
  seen.file('c/calibration.json'),
  seen.file('c/part-00000.safetensors'),
  seen.file('c/dataset.safetensors'),
]

const windowsOf = ({ json }: Seen): number => json.manifest.data.windows as number

const calibrateTable: CommandTable = {
  command: 'calibrate',
  always: '-m {model} --output {out}/c --json --text {long.txt} --limit 4 --prompt 12 --continuation 8',
  result: calibrationOf,
  rows: [
    ...modelRows(),
    {
      flag: '--output',
      values: ['{out}/c', '{out}/d'],
      shows: (seen) => seen.file('c/calibration.json') !== null,
      is: [true, false],
    },
    { flag: '--limit', values: ['1', '3'], shows: windowsOf, is: [1, 3] },
    {
      flag: '--criteria',
      values: [null, 'l2norm', 'l2norm,jacov'],
      shows: ({ json }) =>
        ['criteria', 'datasetCriteria'].map((list) =>
          (json.manifest[list] as { name: string }[]).map(({ name }) => name).join(),
        ),
      is: [
        ['plainact', ''],
        ['l2norm', ''],
        ['l2norm', 'jacov'],
      ],
    },
    { flag: '--criteria', values: [null, 'l2norm', 'l2norm,jacov'] },
    { flag: '--text', values: ['{a.txt}', '{b.txt}', '{b.txt} {a.txt}'] },
    { flag: '--prompt', values: ['11', '13'], shows: ({ fed }) => fed },
    { flag: '--continuation', values: ['7', '9'], shows: ({ fed }) => fed },
    // The length of the kept sequences follows --prompt, and not --continuation, which is 8.
    {
      flag: '--prompt',
      beside: '--keep-sequence',
      values: ['8', '13'],
      shows: (seen) =>
        Number(/"sequence":.*?"shape":\[(\d+)/.exec(seen.file('c/part-00000.safetensors') ?? '')?.[1]) >
        4 * 8,
      is: [false, true],
    },
    { flag: '--mask', values: [null, '{mask.safetensors}'] },
    { flag: '--keep-sequence', values: [null, ''] },
    {
      flag: '--moments',
      values: [null, ''],
      shows: (seen) => seen.file('c/moments.safetensors') !== null,
      is: [false, true],
    },
    { flag: '--seed', values: [null, '1', '4294967295'] },
    { flag: '--seed', beside: '--criteria random', values: [null, '1'] },
    {
      flag: '--threads',
      // The first eight examples are timed in this thread.
      beside: '--limit 11',
      values: [null, '1', '2'],
      shows: ({ workers }) => workers,
      is: [0, 0, 2],
    },
  ],
}

const calibrateTasks: CommandTable = {
  command: 'calibrate',
  always: '-m {model} --output {out}/c --limit 3',
  result: ({ fed }) => fed,
  rows: [
    { ...jsonRow, beside: '--text {long.txt} --prompt 12 --continuation 8' },
    { flag: '--tasks', beside: '--data {rows}', values: ['piqa', 'copa', 'copa,piqa'] },
    { flag: '--data', beside: '--tasks piqa', values: ['{rows}', '{other-rows}'] },
    {
      flag: '--rows',
      beside: '--tasks piqa --data {rows}',
      values: [null, 'piqa={other-rows/piqa.jsonl}'],
    },
    { flag: '--shots', beside: '--tasks piqa --data {rows}', values: [null, '1', '2'] },
    { flag: '--seed', beside: '--tasks piqa --data {rows} --shots 1', values: [null, '1'] },
  ],
}

const card =
  (name: string) =>
  ({ json }: Seen): unknown =>
    json.card[name] as unknown
const predictorOf = (seen: Seen): unknown => seen.file('p')

const trainTable: CommandTable = {
  command: 'train',
  always: '--calibration {traces} --output {out}/p --epochs 2 --json',
  result: predictorOf,
  rows: [
    { flag: '--calibration', values: ['{traces}', '{other-traces}'] },
    {
      flag: '--output',
      values: ['{out}/p', '{out}/q'],
      shows: (seen) => seen.file('p') !== null,
      is: [true, false],
    },
    {
      flag: '--kind',
      values: [null, 'dejavu-style', 'dejavu'],
      shows: card('kind'),
      is: ['shadow', 'dejavu-style', 'dejavu'],
    },
    { flag: '--criterion', values: [null, 'l2norm'] },
    { flag: '--criterion', values: [null, 'l2norm'], shows: card('criterion'), is: ['plainact', 'l2norm'] },
    { flag: '--width', values: [null, '3'], shows: card('neuronHidden'), is: [32, 3] },
    { flag: '--head-width', values: [null, '3'], shows: card('headHidden'), is: [64, 3] },
    { flag: '--source-layer', values: [null, '1', '2'], shows: card('sourceLayer'), is: [0, 1, 2] },
    { flag: '--source-layer', values: [null, '1', '2'] },
    { flag: '--pooling', values: [null, 'mean', 'attention'] },
    { flag: '--features', values: [null, 'min_max', 'dataset', 'none'] },
    { flag: '--targets', values: [null, 'per_layer', 'rank'] },
    { flag: '--loss', values: [null, 'bce'] },
    { flag: '--loss', values: [null, 'bce'], shows: card('loss'), is: ['mse', 'bce'] },
    { flag: '--top', beside: '--loss bce', values: [null, '0.5', '0.25,0.5'] },
    { flag: '--epochs', values: ['1', '3'] },
    { flag: '--rate', values: [null, '0.01'] },
    { flag: '--batch', values: [null, '1', '3'] },
    { flag: '--decay', values: [null, '0', '0.5'] },
    { flag: '--matrices', values: [null, 'bf16'] },
    { flag: '--spread', values: [null, 'unit'] },
    // At this rate the first epoch is the best one.
    { flag: '--patience', beside: '--epochs 12 --rate 0.3', values: ['1', '11'], shows: progressOf },
    {
      flag: '--held-out',
      values: [null, '0', '0.5'],
      shows: ({ json }) => [json.examples.trained, json.examples.heldOut] as number[],
      is: [
        [6, 2],
        [8, 0],
        [4, 4],
      ],
    },
    {
      flag: '--sparsity',
      values: [null, '0.25'],
      shows: ({ json }) => json.verdict.sparsities as number[],
      is: [[0.5, 0.7, 0.8], [0.25]],
    },
    { flag: '--sparsity', values: ['0.5', '0.25'], shows: recall },
    {
      flag: '--scope',
      values: [null, 'per-layer', 'hybrid'],
      shows: ({ json }) => json.verdict.scope as string,
      is: ['global', 'per-layer', 'hybrid'],
    },
    { flag: '--scope', beside: '--sparsity 0.25', values: ['global', 'per-layer'], shows: recall },
    { flag: '--seed', values: [null, '1', '2'] },
    // The mean of the targets depends only on which examples are held out.
    {
      flag: '--seed',
      beside: '--held-out 0.5',
      values: [null, '1'],
      shows: ({ json }) => json.verdict.qualities['mean-target'] as unknown,
    },
    {
      flag: '--backend',
      values: [null, 'reference'],
      shows: ({ instances }) => instances > 0,
      is: [true, false],
    },
    wideRow,
    quietRow,
  ],
}

function recall({ json }: Seen): unknown {
  return lasting(json.verdict.qualities)
}

/** How many epochs were reported. */
function progressOf({ updates }: Seen): unknown {
  return updates.filter(({ stage }) => stage === 'training').length
}

const trainWords: CommandTable = {
  ...trainTable,
  always: '--calibration {traces} --output {out}/p --epochs 1',
  rows: [jsonRow],
}

const learnTable: CommandTable = {
  command: 'learn',
  always:
    '-m {model} --calibration {traces} --output {out}/p --text {long.txt} --prompt 12 --continuation 8 --steps 4 --json',
  result: predictorOf,
  rows: [
    ...modelRows(),
    { flag: '--calibration', values: ['{traces}', '{other-traces}'] },
    {
      flag: '--output',
      values: ['{out}/p', '{out}/q'],
      shows: (seen) => seen.file('p') !== null,
      is: [true, false],
    },
    { flag: '--criterion', values: [null, 'l2norm'] },
    { flag: '--sparsity', values: ['0.25', '0.75'] },
    { flag: '--head-sparsity', values: ['0', '0.5'], beside: '--neuron-sparsity 0.5' },
    { flag: '--neuron-sparsity', values: ['0.25', '0.5'] },
    { flag: '--scope', values: [null, 'global'] },
    { flag: '--prefill', values: [null, 'masked'] },
    { flag: '--compensate', values: [null, 'least-squares'] },
    {
      flag: '--moments',
      beside: '--compensate least-squares',
      values: [null, '{other-traces/moments.safetensors}'],
    },
    { flag: '--steps', values: ['3', '5'] },
    { flag: '--rate', values: [null, '0.1'] },
    { flag: '--source-layer', values: ['0', '1'], shows: card('sourceLayer'), is: [0, 1] },
    { flag: '--source-layer', values: ['0', '1'] },
    { flag: '--rank', values: ['0', '1', '2'] },
    { flag: '--penalty', values: [null, '0.5'] },
    { flag: '--text', values: ['{long.txt}', '{long.txt} {a.txt}'] },
    { flag: '--prompt', values: ['11', '13'] },
    { flag: '--continuation', values: ['7', '9'] },
    { flag: '--matrices', values: [null, 'f32'] },
    { flag: '--seed', values: [null, '1'] },
    threadsRow,
  ],
}

const learnWords: CommandTable = {
  ...learnTable,
  always:
    '-m {model} --calibration {traces} --output {out}/p --text {long.txt} --prompt 12 --continuation 8 --steps 1',
  rows: [jsonRow],
}

const settingsOf = ({ json }: Seen): unknown => json.settings as unknown
const weightsOf = (seen: Seen): unknown => seen.file('p/model.safetensors')
const curveOf = (seen: Seen): { step: number; heldOut?: number }[] =>
  (seen.file('p/loss.jsonl') ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { step: number; heldOut?: number })

const setting = (name: string, ...values: number[]) => [
  { flag: `--${name}`, beside: '--steps 3', values: values.map(String) },
  {
    flag: `--${name}`,
    values: values.map(String),
    shows: ({ json }: Seen) => json.settings[name] as number,
    is: values,
  },
]

const pretrainTable: CommandTable = {
  command: 'pretrain',
  always: '-o {out}/p --config {model} --text {long.txt} --steps 2 --batch 2 --length 16 --warmup 1 --json',
  result: weightsOf,
  rows: [
    {
      flag: '--output',
      values: ['{out}/p', '{out}/q'],
      shows: (seen) => seen.file('p/model.safetensors') !== null,
      is: [true, false],
    },
    { flag: '--config', values: ['{model}', '{small-config}'] },
    {
      flag: '--tokenizer',
      values: [null, '{swapped-tokenizer}'],
    },
    { flag: '--text', values: ['{long.txt}', '{wiki.raw}', '{a.txt} {long.txt}'] },
    {
      flag: '--held-out',
      values: [null, '{a.txt}', '{b.txt}'],
      shows: (seen) => curveOf(seen).flatMap(({ heldOut }) => heldOut ?? []),
    },
    ...setting('steps', 1, 2),
    ...setting('batch', 1, 3),
    ...setting('length', 15, 17),
    ...setting('rate', 0.001, 0.1),
    ...setting('warmup', 0, 3),
    ...setting('floor', 0, 0.5),
    ...setting('decay', 0, 0.9),
    ...setting('clip', 0.001, 0.01),
    ...setting('seed', 0, 1),
    {
      flag: '--evaluate-every',
      beside: '--steps 4',
      values: [null, '1', '3'],
      shows: (seen) => curveOf(seen).flatMap(({ step, heldOut }) => (heldOut === undefined ? [] : [step])),
      is: [
        [0, 4],
        [0, 1, 2, 3, 4],
        [0, 3, 4],
      ],
    },
    {
      flag: '--resume',
      values: [null, ''],
      beside: '--output {begun}',
      shows: ({ code }) => code,
      is: [2, 0],
      mayFail: true,
    },
    {
      flag: '--save-every',
      beside: '--steps 4',
      values: [null, '1', '2'],
      shows: ({ states }) => states,
      is: [3, 6, 4],
    },
    {
      flag: '--backend',
      values: [null, 'reference'],
      shows: ({ models: [{ backend }] }) => backend,
      is: ['wasm', 'reference'],
    },
    wideRow,
    quietRow,
  ],
}

const pretrainWords: CommandTable = {
  ...pretrainTable,
  always: '-o {out}/p --config {model} --text {long.txt} --steps 1 --batch 1 --length 8 --warmup 0',
  result: settingsOf,
  rows: [jsonRow],
}

const convertTable: CommandTable = {
  command: 'convert',
  always: '{model} {out}/c',
  result: (seen) => seen.file('c/model.safetensors'),
  rows: [
    {
      flag: '--shard-size',
      beside: '--json',
      values: [null, '20kB', '1GiB'],
      shows: ({ json }) => (json.files as object[]).length,
      is: [5, 9, 5],
    },
    { flag: '--mask', values: [null, '{mask.safetensors}'] },
    {
      flag: '--moments',
      beside: '--mask {mask.safetensors}',
      values: [null, '{traces/moments.safetensors}', '{other-traces/moments.safetensors}'],
    },
    {
      flag: '--ridge',
      beside: '--mask {mask.safetensors} --moments {traces/moments.safetensors}',
      values: [null, '0.1', '1'],
    },
    jsonRow,
    quietRow,
  ],
}

/** The same of a GGUF file, to another. */
const convertGguf: CommandTable = {
  ...convertTable,
  always: '{model.gguf} {out}/c.gguf',
  result: (seen) => seen.file('c.gguf'),
  rows: [{ flag: '--type', values: [null, 'F16', 'Q8_0'] }],
}

const convertOver: CommandTable = {
  ...convertTable,
  always: '{model} {filled}',
  rows: [{ flag: '--force', values: [null, ''], shows: ({ code }) => code, is: [2, 0], mayFail: true }],
}

const convertHub: CommandTable = { ...convertTable, always: 'tiny/model {out}/c', rows: hubRows('') }

/** Pages of WikiText in place of texts. */
const wikitextRow = { flag: '--wikitext', values: ['{wiki.raw}', '{other-wiki.raw}'] }
const calibratePages: CommandTable = {
  ...calibrateTable,
  always: '-m {model} --output {out}/c --json --limit 1 --prompt 8 --continuation 8',
  rows: [wikitextRow],
}
const learnPages: CommandTable = {
  ...learnTable,
  always:
    '-m {model} --calibration {traces} --output {out}/p --prompt 8 --continuation 8 --steps 1 --rank 0 --json',
  rows: [wikitextRow],
}

export const makingTables: readonly CommandTable[] = [
  calibrateTable,
  calibratePages,
  calibrateTasks,
  trainTable,
  trainWords,
  learnTable,
  learnPages,
  learnWords,
  pretrainTable,
  pretrainWords,
  convertTable,
  convertGguf,
  convertOver,
  convertHub,
]
