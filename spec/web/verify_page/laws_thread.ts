/**
 * The thread of that page: is told what to run, and answers with a report per law.
 */
import { listenAsThread } from '../../../src/platform/platform.ts'
import { ShadowError } from '../../../src/tensor/errors.ts'
import { verify, type LawReport, type VerifyOptions } from '../../../src/verify/index.ts'

/** What it says: a report, that it is done, or what ended it. */
export type ThreadAnswer = { report: LawReport } | { done: true } | { error: string }

const answer = listenAsThread((options) => {
  const say = (words: ThreadAnswer): void => answer?.(words)
  run(options as VerifyOptions, say).then(
    () => say({ done: true }),
    (error: unknown) => say({ error: wordsOf(error) }),
  )
})

/** With its code: the names of classes are not kept where code is packed. */
function wordsOf(error: unknown): string {
  return error instanceof ShadowError ? `${error.message} [${error.code}]` : String(error)
}

async function run(options: VerifyOptions, say: (words: ThreadAnswer) => void): Promise<void> {
  for await (const report of verify(options)) say({ report })
}
