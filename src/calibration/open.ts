/**
 * Reads a finished calibration: example by example, all of it, or as one ranking.
 *
 * Every file is checked against the manifest and its own checksum.
 */
import type { UnitScores } from '../masks/selection.ts'
import { joinPath } from '../platform/platform.ts'
import { isThere } from '../io/files.ts'
import { refusal } from '../io/refusal.ts'
import { InputError, UsageError } from '../tensor/errors.ts'
import { expectOption, kinds } from '../tensor/option.ts'
import type { Aggregation } from '../results/method.ts'
import { ScoreAggregate } from './aggregate.ts'
import type { GroupedExample } from './examples.ts'
import { readManifest, type CalibrationManifest, type StoredManifest } from './manifest.ts'
import {
  datasetName,
  readDataset,
  readExamples,
  partCount,
  partName,
  partRange,
} from './calibration_files.ts'
import { describeWidths } from '../engine/config.ts'

/**
 * Opens the folder of a finished calibration: `readAll` gives its examples to `trainPredictor`, `aggregate` their mean scores to
 * `staticPlanner`. No file stays open.
 * @param folder what `shadowllm calibrate` or `calibrateToFolder` wrote
 * @throws InputError CALIBRATION_FORMAT, JSON_*, FILE_* for an invalid manifest, CALIBRATION_INCOMPLETE if the
 *   calibration is not finished; UsageError PATH for a folder that is no text
 */
export async function openCalibration(folder: string): Promise<Calibration> {
  expectOption('folder', folder, kinds.path)
  const stored = await readManifest(folder)
  const { manifest } = stored
  const expect = async (name: string): Promise<void> => {
    if (await isThere(joinPath(folder, name))) return
    const expected = `a finished calibration with ${name} (the same "calibrate" command goes on where it stopped)`
    throw refusal('CALIBRATION_INCOMPLETE', folder, expected, 'none')
  }
  for (let part = 0; part < partCount(manifest); part++) await expect(partName(part))
  if (manifest.datasetCriteria.length > 0) await expect(datasetName)
  return new Calibration(folder, stored)
}

/** See the head of this file; `openCalibration` makes one. */
export class Calibration {
  readonly path: string
  readonly manifest: CalibrationManifest
  readonly #stored: StoredManifest

  /** @param stored the manifest in the folder */
  constructor(path: string, stored: StoredManifest) {
    this.path = path
    this.manifest = stored.manifest
    this.#stored = stored
  }

  /** SHA-256 of the manifest: the identity of the calibration. */
  get identity(): string {
    return this.#stored.identity
  }

  /** The criteria with scores: those of examples, then those of the data set. */
  get criteria(): string[] {
    return [...this.manifest.criteria, ...this.manifest.datasetCriteria].map(({ name }) => name)
  }

  /**
   * Refuses a model of another shape.
   * @param model the sizes of the model that is to use the scores
   * @throws InputError CALIBRATION_MODEL
   */
  checkModel(model: Omit<CalibrationManifest['model'], 'hash'>): void {
    const words = ({ layers, heads, neurons, ...widths }: typeof model): string =>
      `${layers} layers of ${heads} heads and ${neurons} neurons, ${describeWidths(widths)}`
    const [expected, got] = [words(model), words(this.manifest.model)]
    if (expected === got) return
    throw new InputError(
      'CALIBRATION_MODEL',
      `${this.path}: expected a calibration of ${expected}, got one of ${got}`,
    )
  }

  /** Every example in order, one file in memory at a time. @throws InputError CALIBRATION_SHARD and others of `readExamples` */
  async *examples(): AsyncGenerator<GroupedExample, void, void> {
    for (let part = 0; part < partCount(this.manifest); part++)
      yield* await readExamples(
        joinPath(this.path, partName(part)),
        this.#stored,
        partRange(this.manifest, part),
      )
  }

  /** Every example at once. @throws InputError as `examples` */
  async readAll(): Promise<GroupedExample[]> {
    const all: GroupedExample[] = []
    for await (const example of this.examples()) all.push(example)
    return all
  }

  /**
   * One ranking of all units: the aggregated scores of the examples, or the scores of the data set for such a criterion.
   * @param criterion one of those that were calibrated
   * @param how examples become one ranking: `mean`, `sum`, `rank` or `per-layer`
   * @throws UsageError CRITERION_NAME if the calibration has no such scores, AGGREGATION; InputError as `examples`
   */
  async aggregate(criterion: string, how: Aggregation = 'mean'): Promise<UnitScores> {
    const sum = new ScoreAggregate(how)
    if (!this.criteria.includes(criterion))
      throw new UsageError(
        'CRITERION_NAME',
        `criterion: expected one that ${this.path} has (${this.criteria.join(', ')}), got ${criterion}`,
      )
    if (!this.manifest.criteria.some(({ name }) => name === criterion))
      return (await readDataset(joinPath(this.path, datasetName), this.#stored)).get(criterion) as UnitScores
    for await (const { scores, group } of this.examples()) sum.add(scores.get(criterion) as UnitScores, group)
    return sum.finish()
  }
}
