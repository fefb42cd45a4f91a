/**
 * Loops are found soon, and ordinary texts that repeat themselves are none.
 */
import { describe, expect, test } from 'vitest'
import { RepetitionWatch, type Repetition } from '../../src/cli/repetition.ts'

/** The first repetition that is found, and after how many tokens. @param text whose words and marks are its tokens */
function found(text: string): (Repetition & { readonly after: number }) | null {
  const ids = new Map<string, number>()
  const watch = new RepetitionWatch()
  for (const [i, [word]] of [...text.matchAll(/\w+|[^\w ]| +/g)].entries()) {
    ids.set(word, ids.get(word) ?? ids.size)
    const repetition = watch.push(ids.get(word) as number, word)
    if (repetition) return { ...repetition, after: i + 1 }
  }
  return null
}

describe('a loop', () => {
  test.each<[string, string, Repetition & { after: number }]>([
    [
      'of a few words',
      'I saw a cat. '.concat('a cat in one, '.repeat(40)),
      { length: 9, times: 12, after: 116 },
    ],
    ['of one token', 'No'.concat('!'.repeat(200)), { length: 1, times: 96, after: 97 }],
    [
      'of a whole sentence',
      'The captain looked at the sea, and the men looked at him. '.repeat(20),
      { length: 26, times: 5, after: 130 },
    ],
  ])('%s is found', (_, text, expected) => expect(found(text)).toEqual(expected))
})

describe('no loop is', () => {
  const numbers = Array.from({ length: 60 }, (_, i) => i)
  test.each<[string, string]>([
    ['a numbered list of one word', numbers.map((i) => `${i}. apple\n`).join('')],
    [
      'a table with a ruler',
      `|${' name |'.repeat(8)}\n|${' --- |'.repeat(8)}\n${numbers.map((i) => `| ${i} | 0 | 0 |\n`).join('')}`,
    ],
    ['a matrix of zeros', `[\n${`  [${'0, '.repeat(9)}0],\n`.repeat(10)}]`],
    ['a refrain that comes four times', 'Row, row, row your boat gently down the stream. '.repeat(4)],
    ['code whose lines are equal', 'print("Hello, World")\n'.repeat(11)],
    ['a table whose rows are equal', '| yes | no | yes | no |\n'.repeat(11)],
    ['code of lines that are alike', numbers.map((i) => `  values[${i}] = 0;\n`).join('')],
    ['a row of 80 dashes', `Title\n${'-'.repeat(80)}\n`],
  ])('%s', (_, text) => expect(found(text)).toBeNull())
})
