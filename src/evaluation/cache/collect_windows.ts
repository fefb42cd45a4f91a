/**
 * Calibration for experiments: into their part store, where a finished or half-finished one may stand already, or in memory.
 */
import type { Criterion } from '../../criteria/criterion.ts'
import { criterionByName, datasetCriteria } from '../../criteria/index.ts'
import type { UnitMask } from '../../masks/mask.ts'
import type { UnitScores } from '../../masks/selection.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import type { OptModel } from '../../engine/opt_model.ts'
import { pause } from '../../platform/pause.ts'
import { calibrateToFolder } from '../../calibration/collect.ts'
import { collectExample, type CollectOptions, type GroupedExample } from '../../calibration/examples.ts'
import { hashMask, hashWindows } from '../../calibration/manifest.ts'
import { openCalibration } from '../../calibration/open.ts'
import { asCache, type PartStore } from '../../results/part_store.ts'
import type { ThreadModel } from '../../jobs/model_threads.ts'
import type { Window } from '../../data/windows.ts'
import type { MethodHash } from '../../results/method_hash.ts'

/** What a calibration needs of the experiments. */
export interface CollectContext {
  readonly model: OptModel
  readonly modelHash: string
  readonly dataName: string
  readonly store: PartStore | null
  readonly threads: ThreadModel | undefined
  readonly runner: JobRunner | undefined
  readonly method: MethodHash
  readonly signal: AbortSignal | undefined
  /** Whatever a calibration depends on besides what it is told here. */
  readonly identity: Readonly<Record<string, unknown>>
  readonly onWindow: (done: number, total: number) => void
}

/** What is collected. */
export interface CollectRequest {
  readonly windows: Window[]
  readonly seed: number
  readonly criteria: readonly string[]
  readonly keepSequence?: boolean
  readonly mask?: UnitMask | null
}

/** An example of each window. @throws the signal's reason; with a store, what was finished is kept */
export async function collectWindows(
  context: CollectContext,
  request: CollectRequest,
): Promise<GroupedExample[]> {
  if (context.store)
    return (await openCalibration(await fillFolder(context, context.store, request))).readAll()
  return collectInMemory(context, request, request.criteria.map(criterionByName))
}

/** Scores that only a whole data set has. */
export async function collectDataset(
  context: CollectContext,
  windows: Window[],
  seed: number,
  criterion: string,
): Promise<UnitScores> {
  const request = { windows, seed, criteria: [criterion] }
  if (context.store)
    return (await openCalibration(await fillFolder(context, context.store, request))).aggregate(criterion)
  const found = datasetCriteria.find(({ name }) => name === criterion)
  if (!found) throw new TypeError(`${criterion}: expected a criterion of data sets`)
  const scores = found.begin(context.model.shape, seed)
  await collectInMemory(context, request, [], new Map([[criterion, scores]]))
  return scores.finish()
}

async function collectInMemory(
  { model, signal, onWindow }: CollectContext,
  { windows, seed, keepSequence, mask }: CollectRequest,
  criteria: readonly Criterion[],
  dataset?: CollectOptions['dataset'],
): Promise<GroupedExample[]> {
  const examples: GroupedExample[] = []
  for (const [index, window] of windows.entries()) {
    onWindow(index, windows.length)
    await pause(signal)
    examples.push(collectExample(model, window, criteria, { index, seed, keepSequence, mask, dataset }))
  }
  onWindow(windows.length, windows.length)
  return examples
}

async function fillFolder(
  { model, modelHash, method, dataName, threads, runner, signal, identity, onWindow }: CollectContext,
  store: PartStore,
  { windows, seed, criteria, keepSequence = false, mask = null }: CollectRequest,
): Promise<string> {
  const sorted = criteria.toSorted()
  const folder = await store.folder({
    ...identity,
    windows: await hashWindows(windows),
    seed,
    criteria: sorted,
    keepSequence,
    mask: mask && (await hashMask(mask)),
  })
  const source = { name: dataName, windows }
  const examples = windows.length
  await asCache(folder, () =>
    calibrateToFolder(
      {
        model,
        modelHash,
        method,
        source,
        examples,
        folder,
        criteria: sorted,
        seed,
        keepSequence,
        mask,
        threads,
        runner,
      },
      ({ stage, done, total }) => {
        if (stage === 'calibrate') onWindow(done, total)
      },
      signal,
    ),
  )
  return folder
}
