/**
 * The chapters that run on the CUDA emulator although they take it minutes: those that SHADOWLLM_EMULATE names. The emulator
 * runs in the full tier only.
 *
 *   SHADOWLLM_EMULATE=criteria,engine npm run test:full -- spec/criteria spec/engine
 *   SHADOWLLM_EMULATE=all npm run test:full
 *
 * A chapter is a folder of the book.
 */
import { readdirSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const book = fileURLToPath(new URL('..', import.meta.url))

/** The chapters there are. */
export function chapterNames(): string[] {
  const entries = readdirSync(book, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

/** The chapter a file of the book is in. */
export function chapterOf(path: string): string {
  return relative(book, path).split(/[\\/]/)[0]
}

/**
 * The chapters that are named, separated by commas; `all` is each of them.
 * @throws RangeError for a name that no chapter has
 */
export function readEmulated(text: string | undefined, chapters = chapterNames()): string[] {
  const names = (text ?? '').split(',').filter((name) => name !== '')
  for (const name of names)
    if (name !== 'all' && !chapters.includes(name))
      throw new RangeError(
        `SHADOWLLM_EMULATE: expected all, or names from ${chapters.join(', ')}, got ${name}`,
      )
  return names.includes('all') ? chapters : names
}
