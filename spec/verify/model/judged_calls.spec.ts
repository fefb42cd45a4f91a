/**
 * A backend that owes bounds is judged call by call: a number past the bound of its op is found in the run of a model, and one
 * within it is not.
 */
import { expect, test } from 'vitest'
import type { Backend } from '../../../src/backends/backend.ts'
import { ReferenceBackend } from '../../../src/backends/reference.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { judgeCalls } from '../../../src/verify/model/judged_calls.ts'
import { feedOnce, smallCase, withModel } from '../../engine/cases.ts'
import { wrongBackend } from '../../engine/plant.ts'

/** The reference under the name of a backend that owes bounds; the results of linear are off by a share. */
function offBy(share: number): Backend {
  return wrongBackend((right) => ({
    name: 'wasm-relaxed',
    ops: {
      ...right.ops,
      linear(y, ...rest) {
        right.ops.linear(y, ...rest)
        right.write(
          y,
          right.readF32(y).map((value) => value * (1 + share)),
        )
      },
    },
  })).backend
}

async function run(share: number): Promise<void> {
  const subject = { backend: judgeCalls(offBy(share)), load: LanguageModel.load.bind(LanguageModel) }
  await withModel(subject, smallCase, (loaded) => void feedOnce(loaded, Int32Array.of(1, 2, 3)))
}

test('a call within its bound passes', async () => {
  await run(0)
  await run(2 ** -24)
})

test('a call past its bound is named, with both numbers and the bound', async () => {
  await expect(run(1e-3)).rejects.toThrow(/^linear: y\[\d+\]: expected \S+ ± \S+, got \S+$/)
})

test('a backend that owes bits is held to bits', async () => {
  const backend = judgeCalls(new ReferenceBackend())
  const subject = { backend, load: LanguageModel.load.bind(LanguageModel) }
  await withModel(subject, smallCase, (loaded) => void feedOnce(loaded, Int32Array.of(1, 2, 3)))
})
