/**
 * The other thread of that page: compares a backend with the definitions, and answers with what it found.
 */
import { findParity, type ParityFound } from './parity.ts'
import type { BackendName } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import type { Family } from '../../../src/engine/config.ts'
import { listenAsThread } from '../../../src/platform/platform.ts'
import { wordsOf } from './words_of.ts'

/** What it is told to compare. */
export interface ParityTask {
  readonly backend: BackendName
  readonly families: readonly Family[]
  readonly seed: number
}

/** What it says: what it found, or what ended it. */
export type ParityAnswer = ParityFound | { error: string }

const answer = listenAsThread((task) => {
  const say = (words: ParityAnswer): void => answer?.(words)
  run(task as ParityTask).then(say, (error: unknown) => say({ error: wordsOf(error) }))
})

async function run({ backend: name, families, seed }: ParityTask): Promise<ParityFound> {
  const backend = await createBackend(name)
  const reference = await createBackend('reference')
  try {
    return await findParity(backend, reference, families, seed)
  } finally {
    backend.dispose()
    reference.dispose()
  }
}
