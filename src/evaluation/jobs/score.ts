/**
 * Evaluation as shards: a few windows under some arms. The result is JSON, a list for each arm of what each window costs.
 *
 *   settings   model, ...      what both sides agree on, see shard_model.ts
 *              arms            each with the name of the file that it decides by, or null
 *              seeds           of each window's random mask
 *   files      windows         see inputs.ts
 *              by-0, ...       a predictor, or a static arm's mean scores
 */
import type { PlainJson } from '../../io/canonical_json.ts'
import { refusal } from '../../io/refusal.ts'
import type { Shard, ShardContext } from '../../jobs/shard.ts'
import type { ShardStore } from '../../jobs/shard_store.ts'
import { encodePredictor, parsePredictor } from '../../predictor/predictor_file.ts'
import { pause } from '../../platform/pause.ts'
import { predictorKindOf, type Arm } from '../cache/method.ts'
import { decideBy, Subject, type Decider, type ScoredWindow } from '../cache/window_evaluator.ts'
import type { Window } from '../../data/windows.ts'
import { encodeUnits, encodeWindows, parseUnits, parseWindows } from '../../calibration/job_inputs.ts'
import { agreementOf, checkAgreement, type ShardModel } from '../../jobs/shard_model.ts'

export const scoreKind = 'score'

/** An arm and what it decides by. */
export interface PreparedArm {
  readonly arm: Arm
  readonly decider: Decider
}

/** The shard of these windows under these arms; its files are put into the store. */
export async function scoreShard(
  model: ShardModel,
  windows: readonly Window[],
  seeds: readonly number[],
  prepared: readonly PreparedArm[],
  store: ShardStore,
): Promise<Shard> {
  const names = new Map<string, string>()
  const arms: PlainJson[] = []
  for (const { arm, decider } of prepared) {
    const bytes = bytesOf(decider)
    const file = bytes && (await store.add(bytes))
    if (file && !names.has(file)) names.set(file, `by-${names.size}`)
    arms.push({ arm: arm as unknown as PlainJson, by: file ? (names.get(file) as string) : null })
  }
  const files = Object.fromEntries([...names].map(([file, name]) => [name, file]))
  return {
    kind: scoreKind,
    settings: { ...agreementOf(model, 'all'), arms, seeds },
    files: { ...files, windows: await store.add(encodeWindows(windows)) },
  }
}

/** Encoded once: many shards are done with the same. */
const encoded = new WeakMap<object, Uint8Array>()

function bytesOf({ mean, predictor }: Decider): Uint8Array | null {
  const subject = predictor ?? mean
  if (!subject) return null
  let bytes = encoded.get(subject)
  if (!bytes) {
    bytes = predictor ? encodePredictor(predictor) : encodeUnits(mean as NonNullable<typeof mean>)
    encoded.set(subject, bytes)
  }
  return bytes
}

/** The scores of a shard's result: for each arm, of each window. @throws InputError SHARD_FORMAT for anything else */
export function scoreResult(result: Uint8Array, arms: number, windows: number): ScoredWindow[][] {
  const refuse = (): never => {
    throw refusal('SHARD_FORMAT', 'scores', `those of ${windows} windows under ${arms} arms`, 'others')
  }
  let found: unknown
  try {
    found = JSON.parse(new TextDecoder().decode(result))
  } catch {
    return refuse()
  }
  const isScore = (score: unknown): boolean =>
    typeof score === 'object' &&
    score !== null &&
    (['nll', 'tokens', 'words'] as const).every((key) => Number.isFinite((score as ScoredWindow)[key])) &&
    typeof (score as ScoredWindow).achieved === 'object'
  const isRow = (row: unknown): boolean => Array.isArray(row) && row.length === windows && row.every(isScore)
  return Array.isArray(found) && found.length === arms && found.every(isRow)
    ? (found as ScoredWindow[][])
    : refuse()
}

/**
 * Does such a shard.
 * @throws InputError SHARD_MODEL for one of another model or method, SHARD_FORMAT and the like for settings or files that
 *   are not what they should be; the signal's reason
 */
export async function doScore(
  shard: Shard,
  { read, onProgress, signal }: ShardContext,
  ours: ShardModel,
): Promise<Uint8Array> {
  checkAgreement(ours, 'all', shard.settings)
  const { seeds } = shard.settings
  const { model } = ours
  const windows = parseWindows(await read('windows'))
  const arms = armsOf(shard)
  if (!Array.isArray(seeds) || seeds.length !== windows.length || !seeds.every(Number.isInteger))
    throw refusal('SHARD_FORMAT', 'shard seeds', `${windows.length} whole numbers`, 'something else')
  const subjects = windows.map((window, i) => new Subject(model, window, seeds[i] as number))
  const total = arms.length * subjects.length
  const rows: ScoredWindow[][] = []
  for (const { arm, by } of arms) {
    const isStatic = arm.planner === 'static'
    const mean = isStatic && by ? await parseUnits(await read(by), model.shape) : undefined
    const predictor = !isStatic && by ? await parsePredictor(await read(by), model.backend) : undefined
    try {
      const decider = decideBy(arm, { mean, predictor })
      const row: ScoredWindow[] = []
      for (const subject of subjects) {
        await pause(signal)
        row.push(subject.score(arm, decider))
        onProgress?.({ done: rows.length * subjects.length + row.length, total })
      }
      rows.push(row)
    } finally {
      predictor?.dispose()
    }
  }
  return new TextEncoder().encode(JSON.stringify(rows))
}

interface ArmEntry {
  readonly arm: Arm
  readonly by: string | null
}

/** The arms of a shard. What an arm says is checked by those who act on it; here, that it has what it needs. */
function armsOf({ settings: { arms } }: Shard): ArmEntry[] {
  const entries = (Array.isArray(arms) ? arms : []) as unknown as Partial<ArmEntry>[]
  for (const entry of entries) {
    const { arm, by = null } = entry ?? {}
    const isArm =
      typeof arm === 'object' &&
      arm !== null &&
      typeof arm.planner === 'string' &&
      typeof arm.criterion === 'string' &&
      typeof arm.sparsity === 'number' &&
      (by !== null) === (arm.planner === 'static' || predictorKindOf(arm) !== null)
    if (!isArm) throw refusal('SHARD_FORMAT', 'shard arms', 'arms and what they decide by', 'something else')
  }
  if (entries.length === 0) throw refusal('SHARD_FORMAT', 'shard arms', 'at least one', 'none')
  return entries as ArmEntry[]
}
