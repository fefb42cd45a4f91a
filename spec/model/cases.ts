/**
 * How the laws of the model, which stand in src/verify/model, are stated here as tests.
 */
import { describe, test } from 'vitest'
import { OptModel } from '../../src/model/opt/opt_model.ts'
import type { ModelLaw, Subject } from '../../src/verify/model/cases.ts'
import { overBackends } from '../harness/backends.ts'
import { checkOn } from '../harness/seed.ts'

export * from '../../src/verify/model/cases.ts'

/** Checks a law of the model on one subject. @throws what `checkOn` throws */
export function checkModel(law: ModelLaw, subject: Subject): Promise<void> {
  return checkOn(law, subject, { name: `model ${law.sentence}` })
}

/** States laws, one test each, over every backend, or those named. */
export function stateLaws(
  chapter: string,
  laws: Readonly<Record<string, ModelLaw>>,
  over: typeof overBackends = overBackends,
): void {
  describe(chapter, () =>
    over((backend) => {
      for (const law of Object.values(laws))
        test(law.sentence, () => checkModel(law, { backend, load: OptModel.load }))
    }),
  )
}
