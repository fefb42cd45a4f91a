/**
 * A small random model and windows to calibrate it on, for laws that calibrate many times.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Backend } from '../../src/backends/backend.ts'
import { criterionByName } from '../../src/criteria/index.ts'
import type { CalibrateOptions } from '../../src/calibration/collect.ts'
import { hashWindows, storeManifest } from '../../src/calibration/manifest.ts'
import { calibrateJobs } from '../../src/calibration/calibrate_job.ts'
import type { JobModel } from '../../src/jobs/job_model.ts'
import type { Window } from '../../src/data/windows.ts'
import type { JobRunner } from '../../src/jobs/runner.ts'
import type { Job } from '../../src/jobs/job.ts'
import { makeConfig, type ModelConfig } from '../../src/engine/config.ts'
import { initialWeights } from '../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { memorySource } from '../../src/tensor/memory_source.ts'
import { Random } from '../../src/tensor/random.ts'

export const smallConfig: ModelConfig = makeConfig({
  layers: 2,
  width: 8,
  heads: 2,
  neurons: 6,
  vocabulary: 20,
  positions: 32,
})

/** The model on a backend. */
export function makeSmallModel(backend: Backend, config: ModelConfig = smallConfig): Promise<LanguageModel> {
  const weights = initialWeights(config, { seed: 3, deviation: 0.4, biasDeviation: 0.2 })
  return LanguageModel.load(config, memorySource(weights), backend)
}

/** Windows of random tokens and lengths, of two groups. */
export function makeWindows(count: number, seed = 1): Window[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, i) => {
    const promptLength = 1 + random.below(6)
    const length = promptLength + 1 + random.below(4)
    const tokens = Int32Array.from({ length }, () => random.below(smallConfig.vocabulary))
    return { document: `page ${i}`, genre: i % 3 ? 'prose' : 'verse', tokens, promptLength, words: 1 }
  })
}

/** Options of a calibration of so many windows. */
export function smallOptions(
  model: LanguageModel,
  folder: string,
  windows: readonly Window[],
  more: Partial<CalibrateOptions> = {},
): CalibrateOptions {
  return {
    model,
    modelHash: '0'.repeat(64),
    source: { name: 'pages', windows },
    examples: windows.length,
    folder,
    criteria: ['plainact', 'plainact-signed'],
    ...more,
  }
}

/** A job for each of these windows, as a calibration by plainact and by chance has them. */
export async function jobsOf(
  jobModel: JobModel,
  windows: readonly Window[],
  { store }: Pick<JobRunner, 'store'>,
): Promise<Job[]> {
  const { model, hash } = jobModel
  const named = ['plainact', 'random'].map(criterionByName).map(({ name, formula }) => ({ name, formula }))
  const stored = await storeManifest({
    model: { hash, ...model.shape, width: model.config.width },
    data: {
      name: 'pages',
      hash: await hashWindows(windows),
      windows: windows.length,
      groups: [...new Set(windows.map(({ genre }) => genre))],
    },
    criteria: named,
    datasetCriteria: [],
    seed: 7,
    keepSequence: true,
    mask: null,
    shardExamples: 4,
  })
  const ranges = [...windows.keys()].map((first) => ({ first, end: first + 1 }))
  return calibrateJobs({ stored, windows, mask: null }, ranges, jobModel, store)
}

/** Every file of a folder, by name. */
export function filesOf(folder: string): Record<string, string> {
  mkdirSync(folder, { recursive: true })
  return Object.fromEntries(
    readdirSync(folder)
      .toSorted()
      .map((name) => [name, readFileSync(join(folder, name), 'latin1')]),
  )
}
