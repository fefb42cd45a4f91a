/**
 * What the chapters on training a language model share.
 */
import { expect } from 'vitest'
import type { HostTensor } from '../../src/tensor/memory_source.ts'
import { type Arbitraries, checkLaw, type Predicate } from '../harness/seed.ts'
import type { ModelCase } from '../model/cases.ts'

/** Runs a law with a bug in it and expects the bug to be found. */
export async function killed<Args extends [unknown, ...unknown[]]>(
  arbitraries: Arbitraries<Args>,
  predicate: Predicate<Args>,
): Promise<void> {
  const check = checkLaw('mutant', arbitraries, predicate, { record: false, runs: 30 })
  await expect(check).rejects.toThrow('Counterexample')
}

/** A small model. */
export const someModel: ModelCase = {
  layers: 1,
  heads: 2,
  headSize: 4,
  neurons: 9,
  vocabulary: 11,
  positions: 6,
  embeddingWidth: 0,
  preNorm: true,
  finalNorm: true,
  tied: true,
  seed: 1,
}

/** The values of a matrix with rows and columns exchanged, under the old shape. */
export function turned({ shape: [rows, columns], values }: HostTensor): Float32Array {
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)])
}
