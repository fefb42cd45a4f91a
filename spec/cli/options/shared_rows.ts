/**
 * Rows of the flags that several commands share.
 */
import type { Row } from './table.ts'
import type { Seen } from './observe.ts'

/** A value without numbers that differ from run to run and without names of files. */
export function lasting(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lasting)
  if (typeof value !== 'object' || value === null) return value
  const passing = ['seconds', 'provenance', 'path', 'output', 'decodeTokensPerSecond', 'decodeRatioRange']
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) => (passing.includes(key) ? [] : [[key, lasting(one)]])),
  )
}

/** The JSON output of a run, without what differs from run to run. */
export const jsonResult = (seen: Seen): unknown => lasting(seen.json)

/** The provenance in the JSON output of a run. */
export const provenance = (seen: Seen): Record<string, unknown> =>
  seen.json.provenance as Record<string, unknown>

const isJson = ({ stdout }: Seen): boolean => stdout.startsWith('{')

/** `--quiet` turns progress off. */
export const quietRow: Row = {
  flag: '--quiet',
  values: [null, ''],
  shows: ({ isQuiet }) => isQuiet,
  is: [false, true],
}

/** `--wide` allows vectors of 32 bytes or not. No result changes. */
export const wideRow: Row = {
  flag: '--wide',
  values: [null, 'on', 'off'],
  shows: ({ wide }) => wide,
  is: [null, 'on', 'off'],
}

/** `--json` prints one object in place of text; for commands whose other rows print text. */
export const jsonRow: Row = { flag: '--json', values: [null, ''], shows: isJson, is: [false, true] }

/** The revision of a model of the hub, and reading it from the cache. @param shows what differs between the two revisions */
export function hubRows(model = '-m tiny/model', shows?: Row['shows']): Row[] {
  return [
    { flag: '--revision', beside: `${model} --offline`, values: [null, 'other'], shows },
    {
      flag: '--offline',
      beside: model,
      values: [null, ''],
      shows: ({ code }) => code,
      is: [5, 0],
      mayFail: true,
    },
  ]
}

/** The model, its revision and the backend. */
export function modelRows(): Row[] {
  return [
    { flag: '--model', values: ['{model}', '{other}'] },
    ...hubRows(),
    {
      flag: '--backend',
      values: [null, 'reference', 'wasm-rust'],
      shows: ({ models }) => models.at(-1)?.backend,
      is: ['wasm', 'reference', 'wasm-rust'],
    },
    wideRow,
    quietRow,
  ]
}

/** The storage of weights. */
export const storageRow: Row = {
  flag: '--storage',
  values: [null, 'bf16', 'int8'],
  shows: ({ models: [{ storage }] }) => storage,
  is: ['f32', 'bf16', 'int8'],
}

/** The number of threads. No result changes, so started threads are counted. */
export const threadsRow: Row = {
  flag: '--threads',
  values: [null, '1', '2'],
  shows: ({ workers }) => workers,
  is: [0, 0, 1],
}

/** The mode of masks. No result changes, so the sequences are compared. @param beside a planner */
export const modeRow = (beside: string): Row => ({
  flag: '--mode',
  beside,
  values: [null, 'pack', 'simulate'],
  shows: ({ sequences }) => sequences.at(-1)?.mode,
  is: ['auto', 'pack', 'simulate'],
})

/** The flags that planners decide by, in all commands. */
export function deciderRows(): Row[] {
  return [
    {
      flag: '--criterion',
      beside: '--planner prompt-plainact',
      values: [null, 'l2norm', 'gradnorm'],
    },
    { flag: '--scope', beside: '--planner prompt-plainact', values: [null, 'per-layer'] },
    // Only the floors are kept.
    { flag: '--scope', beside: '--planner prompt-plainact --sparsity 1', values: [null, 'hybrid'] },
    {
      flag: '--predictor',
      beside: '--planner dejavu',
      values: ['{predictors/dejavu.safetensors}', '{other-predictors/dejavu.safetensors}'],
    },
    {
      flag: '--predictor',
      beside: '--planner shadow',
      values: [null, '{other-predictors/shadow.safetensors}'],
    },
    { flag: '--calibration', beside: '--planner static', values: ['{traces}', '{other-traces}'] },
    {
      flag: '--moments',
      beside: '--planner static --criterion obs',
      values: ['{traces/moments.safetensors}', '{other-traces/moments.safetensors}'],
    },
    { flag: '--paper-compatible', beside: '--planner shadow --sparsity 0.3', values: [null, ''] },
    { flag: '--paper-compatible', beside: '--planner random --sparsity 0.7', values: [null, ''] },
  ]
}

/** The flags of what takes the place of skipped units. */
export function compensationRows(): Row[] {
  return [
    {
      flag: '--compensate',
      beside: '--planner random --calibration {traces}',
      values: [null, 'mean', 'least-squares'],
    },
    {
      flag: '--ridge',
      beside: '--planner random --calibration {traces} --compensate least-squares',
      values: [null, '1'],
    },
    {
      flag: '--prompt-share',
      beside: '--planner random --calibration {traces} --compensate least-squares',
      values: ['0.05', '0.9'],
    },
  ]
}
