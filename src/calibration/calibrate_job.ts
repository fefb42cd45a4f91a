/**
 * Calibration as jobs: a range of examples of one calibration. The result is a calibration file of these examples
 * (calibration/calibration_files.ts) with the calibration's identity and a checksum.
 *
 *   settings   first, end      the range of indices in the set
 *              model, ...      the agreement on the model, see job_model.ts
 *   files      manifest        the manifest of the calibration
 *              windows         the windows of the range
 *              mask            the mask of the passes, if there is one
 */
import * as v from 'valibot'
import { criterionByName } from '../criteria/index.ts'
import { refusal } from '../io/refusal.ts'
import { checkSchema, wholeNumber } from '../io/schema.ts'
import type { Job, JobContext } from '../jobs/job.ts'
import type { JobStore } from '../jobs/job_store.ts'
import type { JobRunner } from '../jobs/runner.ts'
import type { UnitMask } from '../masks/mask.ts'
import { pause } from '../platform/pause.ts'
import { collectExample, type GroupedExample } from './examples.ts'
import { parseStored, type StoredManifest } from './manifest.ts'
import { encodeExamples, parseExamples, type Range } from './calibration_files.ts'
import type { Window } from '../data/windows.ts'
import { encodeUnits, encodeWindows, parseUnits, parseWindows } from './job_inputs.ts'
import { agreementOf, checkAgreed, checkAgreement, type JobModel } from '../jobs/job_model.ts'

export const calibrateKind = 'calibrate'

/** A calibration to be computed. */
export interface CalibrationData {
  readonly stored: StoredManifest
  readonly windows: readonly Window[]
  readonly mask: UnitMask | null
}

/** The jobs of these ranges. Their files are added to the store. */
export async function calibrateJobs(
  { stored, windows, mask }: CalibrationData,
  ranges: readonly Range[],
  model: JobModel,
  store: JobStore,
): Promise<Job[]> {
  const manifest = await store.add(new TextEncoder().encode(stored.text))
  const masked = mask && (await store.add(encodeUnits(mask)))
  const jobs: Job[] = []
  for (const { first, end } of ranges) {
    const own = await store.add(encodeWindows(windows.slice(first, end)))
    const files = { manifest, windows: own, ...(masked && { mask: masked }) }
    const settings = { first, end, ...agreementOf(model, 'calibration') }
    jobs.push({ kind: calibrateKind, settings, files })
  }
  return jobs
}

/**
 * Collects these examples by jobs. The ranges of the jobs are the same in every run, so that a resumed run requests the same
 * jobs, whose results may be stored already.
 * @throws as `JobRunner.run`; InputError as `parseExamples`
 */
export async function* collectByJobs(
  calibration: CalibrationData,
  indices: readonly number[],
  model: JobModel,
  runner: JobRunner,
  signal?: AbortSignal,
): AsyncGenerator<GroupedExample, void, void> {
  const { stored, windows } = calibration
  const size = runner.examplesPerJob
  const asked = new Set(indices)
  const ranges = [...new Set(indices.map((index) => Math.floor(index / size)))].map((place): Range => {
    return { first: place * size, end: Math.min(windows.length, (place + 1) * size) }
  })
  const jobs = await calibrateJobs(calibration, ranges, model, runner.store)
  let next = 0
  for await (const result of runner.run(jobs, { signal }))
    for (const example of await parseExamples(result, stored, ranges[next++]))
      if (asked.has(example.index)) yield example
}

/** The maximal number of examples of a job. */
const MAX_EXAMPLES = 2 ** 16
const about = { code: 'SHARD_FORMAT', subject: 'job' }

/** The range of a job's examples, among `count`. */
const rangeSchema = (count: number): v.GenericSchema<unknown, Range> =>
  v.pipe(
    v.object({ first: wholeNumber(0, count), end: wholeNumber(0, count) }),
    v.check(
      ({ first, end }) => first < end && end - first <= MAX_EXAMPLES,
      `a range of 1 to ${MAX_EXAMPLES} examples`,
    ),
  )

/**
 * Does such a job.
 * @throws InputError SHARD_MODEL for a calibration of another model, SHARD_FORMAT, CALIBRATION_FORMAT and others for
 *   invalid settings or files; the signal's reason
 */
export async function doCalibrate(
  { settings, files }: Job,
  { read, onProgress, signal }: JobContext,
  ours: JobModel,
): Promise<Uint8Array> {
  checkAgreement(ours, 'calibration', settings)
  const { model, hash } = ours
  const stored = await parseStored(await read('manifest'), 'job manifest')
  const { manifest } = stored
  const range = checkSchema(rangeSchema(manifest.data.windows), settings, about)
  checkAgreed('model', hash, manifest.model.hash)
  const criteria = manifest.criteria.map(({ name }) => criterionByName(name))
  const windows = parseWindows(await read('windows'))
  const total = range.end - range.first
  if (windows.length !== total) throw refusal('SHARD_FORMAT', 'job windows', `${total}`, `${windows.length}`)
  const mask = 'mask' in files ? await parseUnits(await read('mask'), model.shape) : null
  const { seed, keepSequence } = manifest
  const examples: GroupedExample[] = []
  for (const [i, window] of windows.entries()) {
    await pause(signal)
    examples.push(
      collectExample(model, window, criteria, { index: range.first + i, seed, keepSequence, mask }),
    )
    onProgress?.({ done: i + 1, total })
  }
  const lengths = windows.map(({ promptLength }) => promptLength)
  return encodeExamples(stored, examples, lengths)
}
