/**
 * The other thread of that page: compares WebGPU with the definitions, and answers with what it found.
 *
 * The definitions are imported when Math.fround is watched: a packer runs modules that several files share before all others.
 */
import { rounding } from './watched_rounding.ts'
import type { ParityFound, ParityTask } from './parity.ts'

/** What it says: what it found, or what ended it. */
export type ParityAnswer = ParityFound | { error: string }

globalThis.addEventListener('message', ({ data }: MessageEvent<ParityTask>) => {
  // A packer keeps what is used.
  rounding.sawSubnormal = false
  const say = (words: ParityAnswer): void => globalThis.postMessage(words, { transfer: [] })
  void import('./parity.ts').then(({ answerTask }) => answerTask(data)).then(say)
})
