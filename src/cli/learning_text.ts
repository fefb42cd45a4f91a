/**
 * The text that a command learns from: files, WikiText by its pages, or the part of the Brown corpus that is kept for it.
 */
import { loadBrown, splitDocuments, type Document } from '../data/corpus.ts'
import { expectText, readDocuments } from '../data/texts.ts'
import { readWikitext } from '../data/wikitext.ts'
import { fileNameOf } from '../platform/platform.ts'
import { UsageError } from '../tensor/errors.ts'
import type { FlagsOf } from './values.ts'

/** The flags of a command that learns from text. */
export const learningTextFlags = [
  ['--text <file...>', 'texts to cut windows from (default: the Brown corpus)'],
  ['--wikitext <file>', 'WikiText to cut windows from, page by page, raw or parquet'],
] as const
type LearningTextFlags = FlagsOf<typeof learningTextFlags>

/** Refuses two texts. @throws UsageError FLAGS */
export function checkLearningText({ text, wikitext }: LearningTextFlags): void {
  if (text && wikitext !== undefined)
    throw new UsageError('FLAGS', `--wikitext: expected it or --text, got ${wikitext} and ${text.join(' ')}`)
}

/** Refuses windows that are longer than the model's context. @throws UsageError CONTEXT_LENGTH */
export function checkWindow(prompt: number, continuation: number, positions: number): void {
  if (prompt + continuation > positions)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `--prompt and --continuation: expected at most ${positions} tokens together (the model's context), got ${prompt} + ${continuation}`,
    )
}

/** The documents, and what they are called. @throws as `readDocuments`, `readWikitext` and `loadBrown` */
export async function learningText({
  text,
  wikitext,
}: LearningTextFlags): Promise<{ readonly name: string; readonly documents: readonly Document[] }> {
  if (wikitext !== undefined) {
    const { name, pages } = await readWikitext(wikitext)
    return { name, documents: pages }
  }
  if (text) {
    const documents = await readDocuments(text)
    expectText(text.join(', '), documents)
    return { name: text.map(fileNameOf).join(', '), documents }
  }
  return { name: 'Brown corpus', documents: splitDocuments(await loadBrown()).calibrate }
}
