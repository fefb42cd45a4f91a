/**
 * A block: some windows that every arm scores together. Under one arm it is one part of the store.
 */
import { Random } from '../../tensor/random.ts'
import { hashWindows } from '../../calibration/manifest.ts'
import type { PartDescription } from '../../results/part_store.ts'
import type { Window } from '../../data/windows.ts'
import type { Arm } from './method.ts'
import type { Lab } from './experiment_cache.ts'

/** See the head of this file. */
export interface Block {
  readonly windows: readonly Window[]
  /** Of each window's random mask; the same for every sparsity, so that those masks are nested. */
  readonly seeds: readonly number[]
}

/** Windows in blocks of a size. */
export function makeBlocks(windows: readonly Window[], size: number, seed: number): Block[] {
  const seeds = new Random(seed)
  const blocks: Block[] = []
  for (let start = 0; start < windows.length; start += size) {
    const own = windows.slice(start, start + size)
    blocks.push({ windows: own, seeds: own.map(() => seeds.uint32()) })
  }
  return blocks
}

/** What a block's scores under an arm are kept by. */
export async function describeBlock(
  lab: Lab,
  { windows, seeds }: Block,
  arm: Arm,
  seed: number,
): Promise<PartDescription> {
  const calibrated = arm.examples ? await lab.examplesHash(arm.examples, seed) : null
  return {
    ...lab.identity('scores'),
    windows: await hashWindows(windows),
    arm,
    seed: calibrated ? seed : null,
    calibrated,
    seeds: arm.planner === 'random' ? seeds : null,
  }
}
