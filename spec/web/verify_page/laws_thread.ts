/**
 * The thread of that page: is told what to run, and answers with a report per law.
 */
import { listenAsThread } from '../../../src/platform/platform.ts'
import { verify, type LawReport, type VerifyOptions } from '../../../src/verify/index.ts'
import { wordsOf } from './words_of.ts'

/** What it says: a report, that it is done, or what ended it. */
export type ThreadAnswer = { report: LawReport } | { done: true } | { error: string }

const answer = listenAsThread((options) => {
  const say = (words: ThreadAnswer): void => answer?.(words)
  run(options as VerifyOptions, say).then(
    () => say({ done: true }),
    (error: unknown) => say({ error: wordsOf(error) }),
  )
})

async function run(options: VerifyOptions, say: (words: ThreadAnswer) => void): Promise<void> {
  for await (const report of verify(options)) say({ report })
}
