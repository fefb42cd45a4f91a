/**
 * What relations between runs cannot see: that this is OPT at all. The golden values of another implementation, as a
 * law that a mutant can be held to; spec/golden has the whole account.
 */
import { traceForward } from '../../src/engine/trace.ts'
import { expectNear, get, getIds, readCase, tolerance, variants } from '../golden/golden.ts'
import { goldenConfig, goldenSource } from '../golden/model.ts'
import { lawAlways } from '../../src/verify/law.ts'
import type { Subject } from './cases.ts'

export const outsideLaws = {
  golden: lawAlways<Subject>(
    'logits and every stream between blocks are those of another implementation of OPT',
    async ({ load, backend }) => {
      for (const variant of variants) {
        const model = await load(goldenConfig(variant), goldenSource(variant), backend)
        const tensors = readCase(variant, 'single')
        const trace = traceForward(model, getIds(tensors, 'input_ids'))
        for (let index = 0; index <= model.config.layers; index++)
          expectNear(
            trace.hidden(index),
            get(tensors, `hidden.${index}`).values,
            tolerance.logits,
            `hidden.${index}`,
          )
        expectNear(trace.logits(), get(tensors, 'logits').values, tolerance.logits, 'logits')
        trace.dispose()
        model.dispose()
      }
    },
  ),
}
