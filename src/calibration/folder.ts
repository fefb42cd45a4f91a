/**
 * The files of an unfinished calibration: those that are valid, and those of the examples that are added.
 *
 * An example has its own file until all examples of its part are there. Every file is checked against its checksum
 * (calibration_files.ts). Two processes may fill the same folder, because they write the same bytes.
 */
import type { UnitScores } from '../masks/selection.ts'
import { exists, joinPath, list, remove, writeFileAtomic } from '../platform/platform.ts'
import { InputError } from '../tensor/errors.ts'
import { pause } from '../platform/pause.ts'
import type { GroupedExample } from './examples.ts'
import type { StoredManifest } from './manifest.ts'
import {
  datasetName,
  encodeDataset,
  encodeExamples,
  exampleName,
  readDataset,
  readExamples,
  partCount,
  partName,
  partRange,
  type Range,
} from './calibration_files.ts'

/** See the head of this file. */
export class CalibrationFolder {
  readonly path: string
  /** Examples that exist, in a part or in their own file. */
  readonly kept = new Set<number>()
  /** Damaged files. */
  readonly damaged: string[] = []
  readonly #stored: StoredManifest
  /** The lengths of the prompts. */
  readonly #lengths: readonly number[]
  readonly #sealed = new Set<number>()
  #hasDataset = false

  private constructor(path: string, stored: StoredManifest, lengths: readonly number[]) {
    this.path = path
    this.#stored = stored
    this.#lengths = lengths
  }

  /**
   * Opens a folder that has this manifest (`claimFolder`) and checks every file: damaged files are removed, complete parts are
   * merged.
   * @param lengths of all prompts
   * @param onProgress called before each part and at the end
   * @throws the signal's reason
   */
  static async open(
    path: string,
    stored: StoredManifest,
    lengths: readonly number[],
    onProgress: (done: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<CalibrationFolder> {
    const folder = new CalibrationFolder(path, stored, lengths)
    await folder.#scan(onProgress, signal)
    return folder
  }

  /** Whether the scores of the data set exist, or none were requested. */
  get hasDataset(): boolean {
    return this.#hasDataset || this.#stored.manifest.datasetCriteria.length === 0
  }

  async #scan(onProgress: (done: number, total: number) => void, signal?: AbortSignal): Promise<void> {
    const there = new Set(await list(this.path))
    const total = partCount(this.#stored.manifest)
    for (let part = 0; part < total; part++) {
      onProgress(part, total)
      await pause(signal)
      await this.#scanPart(part, there)
      await this.#seal(part)
    }
    onProgress(total, total)
    if (this.hasDataset) return
    const read = (path: string): Promise<unknown> => readDataset(path, this.#stored)
    this.#hasDataset = await this.#isValid(datasetName, there, read)
  }

  /** Adds an example that is missing. */
  async add(example: GroupedExample): Promise<void> {
    const { index } = example
    const lengths = [this.#lengths[index]]
    await this.#write(exampleName(index), await encodeExamples(this.#stored, [example], lengths))
    this.kept.add(index)
    await this.#seal(Math.floor(index / this.#stored.manifest.shardExamples))
  }

  /** Adds the scores of the data set. */
  async addDataset(scores: ReadonlyMap<string, UnitScores>): Promise<void> {
    await this.#write(datasetName, await encodeDataset(this.#stored, scores))
    this.#hasDataset = true
  }

  async #scanPart(part: number, there: ReadonlySet<string>): Promise<void> {
    const range = partRange(this.#stored.manifest, part)
    const reads =
      (places: Range) =>
      (path: string): Promise<unknown> =>
        readExamples(path, this.#stored, places)
    if (await this.#isValid(partName(part), there, reads(range))) this.#sealed.add(part)
    for (const index of placesOf(range)) {
      const name = exampleName(index)
      if (this.#sealed.has(part)) {
        this.kept.add(index)
        if (there.has(name)) await remove(this.#pathOf(name))
      } else if (await this.#isValid(name, there, reads(oneOf(index)))) this.kept.add(index)
    }
  }

  async #isValid(
    name: string,
    there: ReadonlySet<string>,
    read: (path: string) => Promise<unknown>,
  ): Promise<boolean> {
    if (!there.has(name)) return false
    try {
      await read(this.#pathOf(name))
      return true
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      this.damaged.push(name)
      await remove(this.#pathOf(name))
      return false
    }
  }

  /** Merges the examples of a part into one file once all of them are there. */
  async #seal(part: number): Promise<void> {
    const range = partRange(this.#stored.manifest, part)
    const places = placesOf(range)
    if (this.#sealed.has(part) || !places.every((index) => this.kept.has(index))) return
    const path = this.#pathOf(partName(part))
    const lengths = places.map((index) => this.#lengths[index])
    try {
      const examples: GroupedExample[] = []
      for (const index of places)
        examples.push(...(await readExamples(this.#pathOf(exampleName(index)), this.#stored, oneOf(index))))
      await this.#write(partName(part), await encodeExamples(this.#stored, examples, lengths))
    } catch (error) {
      // Another process may have merged them first and removed their files.
      if (!(error instanceof InputError) || !(await exists(path))) throw error
      await readExamples(path, this.#stored, range)
    }
    this.#sealed.add(part)
    for (const index of places) await remove(this.#pathOf(exampleName(index)))
  }

  #write(name: string, bytes: Uint8Array): Promise<void> {
    return writeFileAtomic(this.#pathOf(name), bytes)
  }

  #pathOf(name: string): string {
    return joinPath(this.path, name)
  }
}

function oneOf(index: number): Range {
  return { first: index, end: index + 1 }
}

function placesOf({ first, end }: Range): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i)
}
