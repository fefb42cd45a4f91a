/**
 * Before the first test: chooses and prints the seed of the run and the number of cases, and passes both to the workers, where
 * `seed.ts` reads them. It also builds the CUDA emulator for the full tier if g++ is installed, unless it exists, and gives the
 * run a temporary folder, which must be empty after the last test.
 */
import { randomInt } from 'node:crypto'
import type { TestProject } from 'vitest/node'
import { buildEmulator, emulatorPath, whyNoEmulator } from '../../scripts/cuda/emulator.ts'
import { lendTemporaryFolder } from './temporary.ts'
import { readTier } from './tier.ts'

/** vitest's global setup. @returns what is done after the last test */
export default async function setup(project: TestProject): Promise<() => void> {
  const seed = readSeed(process.env.SHADOWLLM_SEED)
  const runs = readRuns(process.env.SHADOWLLM_RUNS)
  project.provide('seed', seed)
  project.provide('runs', runs)
  process.stdout.write(
    `seed ${seed}${runs === 1 ? '' : `, cases x ${runs}`} (SHADOWLLM_SEED=${seed} replays it)\n`,
  )
  if (['rest', 'full'].includes(readTier(process.env.SHADOWLLM_TIER))) {
    const missing = await whyNoEmulator()
    const emulator =
      missing === null ? await buildEmulator({ output: emulatorPath() }) : `not built: ${missing}`
    process.stdout.write(`CUDA emulator: ${emulator}\n`)
  }
  const temporary = lendTemporaryFolder()
  project.provide('temporaryFolder', temporary.path)
  return () => {
    // Where tests are chosen by name, any file may have parts of which none ran.
    const chosen = project.config.testNamePattern !== undefined
    const modules = project.vitest.state.getTestModules()
    const idle = modules.filter((module) => chosen || module.state() === 'skipped')
    temporary.giveBack(idle.map(({ moduleId }) => moduleId))
  }
}

/**
 * The seed asked for, or a new one.
 * @throws RangeError unless it is a 32-bit signed integer, which is what fast-check takes.
 */
export function readSeed(text: string | undefined): number {
  if (!text) return randomInt(2 ** 31)
  const seed = Number(text)
  if (seed === (seed | 0)) return seed
  throw new RangeError(`SHADOWLLM_SEED: expected a 32-bit integer, got ${text}`)
}

/**
 * The factor asked for, or 1.
 * @throws RangeError unless it is a positive number.
 */
export function readRuns(text: string | undefined): number {
  if (!text) return 1
  const runs = Number(text)
  if (runs > 0 && Number.isFinite(runs)) return runs
  throw new RangeError(`SHADOWLLM_RUNS: expected a positive number, got ${text}`)
}
