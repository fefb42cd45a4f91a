/**
 * A checkpoint of a training run: a model folder from which the run can be resumed.
 *
 *   config.json, vocab.json, merges.txt   of the model, written at the start of the run
 *   model.safetensors                     the weights in Hugging Face names, float32: every command loads the folder
 *   training.safetensors                  weights and both moments of the last saved state, with step and settings
 *   loss.jsonl                            the loss curve, one JSON object a line: steps, and held-out losses
 *
 * A state is saved by one rename of one file, `training.safetensors`, which contains all of it. `model.safetensors` is written
 * after it and is not read on resume. So a run can be killed at any moment. The loss curve is appended step by step; on
 * resume the lines after the saved state are removed, because those steps are repeated.
 */
import * as v from 'valibot'
import { openSafetensors } from '../io/safetensors.ts'
import { writeSafetensors, type TensorToWrite } from '../io/safetensors_writer.ts'
import { isThere, readWhole } from '../io/files.ts'
import { parseJson, toPlain } from '../io/json.ts'
import { checkSchema, parseBySchema } from '../io/schema.ts'
import type { ModelConfig } from '../engine/config.ts'
import { parameterShapes } from '../engine/program.ts'
import { withoutOffsets } from '../engine/weight_layout.ts'
import { appendFile, joinPath, sha256, writeFileAtomic } from '../platform/platform.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { concatenate } from '../tensor/concatenate.ts'
import type { HostTensor } from '../tensor/memory_source.ts'
import { recordOf } from '../tensor/records.ts'
import type { RawTensorSource, TensorSource } from '../tensor/tensor_source.ts'
import type { HeldOutReport, StepReport } from './pretrain.ts'
import { settingNames, type PretrainSettings } from './pretrain_settings.ts'
import type { TrainerState } from './pretrain_trainer.ts'

const stateFile = 'training.safetensors'
const modelFile = 'model.safetensors'
const curveFile = 'loss.jsonl'

/** The settings in which a run and the state it resumes from must be equal. */
export interface RunIdentity {
  readonly settings: PretrainSettings
  readonly config: ModelConfig
  /** SHA-256 of the training windows. */
  readonly data: string
}

/** SHA-256 of windows: of their tokens as int32, one after the other. */
export function hashWindows(windows: readonly Int32Array[]): Promise<string> {
  return sha256(new Uint8Array(concatenate(Int32Array, windows).buffer))
}

/** Whether a folder holds a run. */
export function hasCheckpoint(folder: string): Promise<boolean> {
  return isThere(joinPath(folder, stateFile))
}

const kinds = ['weights', 'means', 'squares'] as const

/** Saves a state, then the model in Hugging Face form. */
export async function saveCheckpoint(
  folder: string,
  state: TrainerState,
  identity: RunIdentity,
): Promise<void> {
  const tensors = kinds.flatMap((kind) =>
    [...state[kind]].map(([name, tensor]) => [`${kind}.${name}`, tensor] as const),
  )
  await writeSafetensors(joinPath(folder, stateFile), floats(tensors), {
    step: String(state.step),
    settings: JSON.stringify(identity.settings),
    config: JSON.stringify(identity.config),
    data: identity.data,
  })
  // Transformers requires a format entry; "pt" stands for row-major tensors.
  const weights = withoutOffsets(identity.config, state.weights)
  await writeSafetensors(joinPath(folder, modelFile), floats([...weights]), { format: 'pt' })
}

function floats(tensors: readonly (readonly [string, HostTensor])[]): Map<string, TensorToWrite> {
  return new Map(tensors.map(([name, { shape, values }]) => [name, { dtype: 'F32', shape, data: values }]))
}

/** A saved state. Its tensors are read after the identity is checked. */
interface Checkpoint {
  /** The settings of its run. */
  readonly settings: PretrainSettings
  /**
   * The state, for a run with the same identity.
   * @throws UsageError RESUME naming the difference; InputError TENSOR_MISSING, TENSOR_SHAPE
   */
  read(identity: RunIdentity): Promise<TrainerState>
  close(): Promise<void>
}

/**
 * Opens the state of a folder. Close it.
 * @throws UsageError RESUME if there is none; InputError CHECKPOINT for invalid metadata, and as
 *   `openSafetensors`
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const path = joinPath(folder, stateFile)
  if (!(await isThere(path)))
    throw new UsageError('RESUME', `${folder}: expected a run to resume (${stateFile}), got none`)
  const source = await openSafetensors(path)
  try {
    const kept = readAbout(source, path)
    return {
      settings: kept.settings,
      async read(identity) {
        checkIdentity(path, kept, identity)
        const [weights, means, squares] = await Promise.all(
          kinds.map((kind) => readKind(source, kind, identity.config)),
        )
        return { step: kept.step, weights, means, squares }
      },
      close: () => source.close(),
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

async function readKind(
  source: TensorSource,
  kind: (typeof kinds)[number],
  config: ModelConfig,
): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>()
  for (const [name, shape] of parameterShapes(config)) {
    const stored = `${kind}.${name}`
    const got = source.tensors.get(stored)?.shape ?? shape
    if (got.join() !== shape.join())
      throw new InputError(
        'TENSOR_SHAPE',
        `${stored}: expected [${shape.join(', ')}], got [${got.join(', ')}]`,
      )
    tensors.set(name, { shape, values: await source.read(stored) })
  }
  return tensors
}

const aboutSchema = v.object({
  step: v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'a number of steps'), v.transform(Number)),
  settings: v.string(),
  /** As JSON. */
  config: v.string(),
  data: v.string(),
})
const settingsSchema = v.object(recordOf(settingNames, () => v.number()))

interface About extends Omit<v.InferOutput<typeof aboutSchema>, 'settings'> {
  readonly settings: PretrainSettings
}

function readAbout({ metadata }: RawTensorSource, path: string): About {
  const about = { code: 'CHECKPOINT', subject: path }
  const stored = checkSchema(aboutSchema, Object.fromEntries(metadata), about)
  const settings = parseBySchema(settingsSchema, stored.settings, { ...about, subject: `${path} settings` })
  return { ...stored, settings }
}

function checkIdentity(path: string, kept: About, { settings, config, data }: RunIdentity): void {
  const refuse = (what: string, expected: string, got: string): never => {
    throw new UsageError('RESUME', `${what}: expected ${expected}, as in ${path}, got ${got}`)
  }
  for (const name of settingNames)
    if (settings[name] !== kept.settings[name]) refuse(name, `${kept.settings[name]}`, `${settings[name]}`)
  if (JSON.stringify(config) !== kept.config) refuse('config', 'the same model', 'another model')
  if (data !== kept.data) refuse('text', 'the same training tokens', 'other tokens')
}

/** A line of the loss curve. */
export type CurveRow = StepReport | HeldOutReport

/** The maximal size of a curve: two million steps. */
const CURVE_LIMIT = 2 ** 28

/**
 * The loss curve of a folder; empty if there is none. It ends before the first invalid line, such as one truncated by a
 * crash; the steps after it are repeated.
 * @throws InputError FILE_KIND, FILE_LIMIT, FILE_READ
 */
export async function readCurve(folder: string): Promise<CurveRow[]> {
  const path = joinPath(folder, curveFile)
  if (!(await isThere(path))) return []
  const text = new TextDecoder().decode(await readWhole(path, CURVE_LIMIT))
  const rows: CurveRow[] = []
  // The text after the last line break is empty or a truncated line.
  for (const line of text.split('\n').slice(0, -1)) {
    const row = rowOf(line)
    if (row === null) break
    rows.push(row)
  }
  return rows
}

function rowOf(line: string): CurveRow | null {
  try {
    const row = parseJson(new TextEncoder().encode(line), curveFile, { maxDepth: 1 })
    if (!(row instanceof Map) || !Number.isSafeInteger(row.get('step'))) return null
    return toPlain(row) as CurveRow
  } catch (error) {
    if (error instanceof InputError) return null
    throw error
  }
}

/** Truncates the curve to the state after `step` steps; later steps and measurements are repeated. */
export async function cutCurve(folder: string, step: number): Promise<void> {
  const rows = (await readCurve(folder)).filter(
    (row) => row.step < step || (row.step === step && 'loss' in row),
  )
  await writeFileAtomic(joinPath(folder, curveFile), rows.map(lineOf).join(''))
}

/** Appends a line to the curve. */
export function addToCurve(folder: string, row: CurveRow): Promise<void> {
  return appendFile(joinPath(folder, curveFile), lineOf(row))
}

function lineOf(row: CurveRow): string {
  return `${JSON.stringify(row)}\n`
}
