/**
 * The quick tier's test of every backend except `reference` and `wasm`: each op agrees with its definition, and masked = zeroed.
 * The full tier states all laws over each of them.
 *
 * Tests src/backends/backend.ts and src/backends/select.ts.
 */
import { test } from 'vitest'
import { LanguageModel } from '../../src/engine/language_model.ts'
import { kernelNames } from '../../src/ops/catalog.ts'
import { maskLaws } from '../../src/verify/model/mask_laws.ts'
import { randomSizes } from '../../src/verify/ops/agreement.ts'
import { overOtherBackends } from '../harness/backends.ts'
import { checkOn } from '../harness/seed.ts'
import { checkModel } from '../engine/cases.ts'

await overOtherBackends((backend) => {
  for (const name of kernelNames) {
    const law = { ...randomSizes(name), runs: 20 }
    test(law.sentence, () => checkOn(law, backend))
  }
  const law = { ...maskLaws.maskedIsZeroed, runs: 10 }
  test(law.sentence, () => checkModel(law, { backend, load: LanguageModel.load }))
})
