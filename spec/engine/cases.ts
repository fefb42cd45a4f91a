/**
 * How the laws of the model, which stand in src/verify/model, are stated here as tests.
 */
import { describe, expect, test } from 'vitest'
import { kernelSet, type Backend } from '../../src/backends/backend.ts'
import { ReferenceBackend } from '../../src/backends/reference.ts'
import { LanguageModel } from '../../src/engine/language_model.ts'
import type { ModelCase, ModelLaw, Subject } from '../../src/verify/model/cases.ts'
import { overBackends, shareOfCases, type Over } from '../harness/backends.ts'
import { checkOn, firstFailure, killingRuns, someOf } from '../harness/seed.ts'
import { isRest } from '../harness/tier.ts'

export * from '../../src/verify/model/cases.ts'

/** A small model for tests that need no other. */
export const smallCase: ModelCase = {
  layers: 2,
  heads: 2,
  headSize: 3,
  neurons: 7,
  vocabulary: 11,
  positions: 5,
  embeddingWidth: 0,
  preNorm: true,
  finalNorm: true,
  tied: true,
  seed: 1,
}

/** Checks a law of the model on one subject. @throws what `checkOn` throws */
export function checkModel(law: ModelLaw, subject: Subject): Promise<void> {
  return checkOn(law, subject, { name: `model ${law.sentence}` })
}

/**
 * The share of a model's cases that a backend tries besides `shareOfCases`: its kernels are judged on all cases by the laws of ops,
 * and the engine that calls them is the same on every backend. Another build of `wasm` differs from it by its kernels alone and tries
 * half of the cases. A GPU, emulated or not, takes ten times as long and tries a quarter. A fast set, each call of which is judged for
 * itself, and threads that share every call try a fifth. So does, in the tier rest, `wasm` without relaxed bytes: the quick tier tries
 * all cases on `wasm` with them, which differs by one instruction.
 */
export function shareOfModels({ name, threads }: Backend): number {
  if (kernelSet(name) === 'fast' || threads.threads > 1 || (name === 'wasm' && isRest)) return 1 / 5
  if (name === 'webgpu' || name === 'cuda-emulated') return 1 / 4
  return name === 'wasm-relaxed' || name === 'wasm-rust' ? 1 / 2 : 1
}

/** States laws, one test each, over every backend, or those named. */
export function stateLaws(
  chapter: string,
  laws: Readonly<Record<string, ModelLaw>>,
  over: Over = overBackends,
): void {
  const declare = (backend: Backend): void => {
    const share = shareOfCases(backend) * shareOfModels(backend)
    for (const law of Object.values(laws))
      test(law.sentence, () => checkModel(someOf(law, share), { backend, load: LanguageModel.load }))
  }
  describe(chapter, () => over(declare, { areLaws: true }))
}

/**
 * States that a law of models which judges something besides them, such as a way to make planners, breaks on each wrong one: a
 * test a mutant. @param title of a test, with %s for the name of its mutant
 */
export function findsEach<Judged>(
  title: string,
  lawOf: (judged: Judged) => ModelLaw,
  mutants: Readonly<Record<string, NoInfer<Judged>>>,
): void {
  test.each(Object.entries(mutants))(title, async (_, mutant) => {
    const law = lawOf(mutant)
    const subject = { backend: new ReferenceBackend(), load: LanguageModel.load }
    expect(await firstFailure(law, subject, killingRuns(law))).not.toBeNull()
  })
}
