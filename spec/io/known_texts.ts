/**
 * Texts whose ids are known: llama.cpp, tokenizers and sentencepiece agree on them (fixtures/tokenizers/README.md).
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A text and its ids. */
interface KnownText {
  readonly text: string
  readonly ids: readonly number[]
}

/** The known texts of a tokenizer of fixtures/tokenizers. */
export function knownTextsOf(name: string): readonly KnownText[] {
  const isOfItsOwn = name === 'gemma'
  const file = new URL(
    `../../fixtures/tokenizers/${isOfItsOwn ? 'gemma.cases' : 'cases'}.json`,
    import.meta.url,
  )
  const cases = JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as Record<string, unknown>[]
  const count = isOfItsOwn ? 283 : 275
  if (cases.length !== count) throw new Error(`${name}: expected ${count} texts, got ${cases.length}`)
  return cases.map((one) => ({
    text: one.text as string,
    ids: one[isOfItsOwn ? 'ids' : name] as number[],
  }))
}
