/**
 * Every example of the documents runs and prints the output in the document. documentation.spec.ts compiles
 * them all, and runs those that are nothing but command lines of `shadowllm`.
 *
 * Each check also gets a wrong document, and must report it.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import * as documents from './harness/documents.ts'
import { allExamples, programs } from './harness/all_examples.ts'
import { commandLinesOf, runExamples } from './harness/examples.ts'
import { root, type Source } from './harness/syntax.ts'

/** A page of these lines. */
function page(...lines: string[]): Source {
  return { path: 'page.md', text: lines.join('\n') }
}

describe('examples of the documents run', () => {
  test(
    'README, CONTRIBUTING, guides, spec/README, examples/, and every @example in src/',
    { timeout: 600_000 },
    async () => {
      expect(programs.length).toBeGreaterThan(2)
      const others = allExamples().filter((example) => commandLinesOf(example) === null)
      expect(others.filter(({ run }) => run).length).toBeGreaterThan(10)
      // Guides show what a first run prints, so nothing of an earlier run is left.
      rmSync(join(root, 'build/guide'), { recursive: true, force: true })
      expect(await runExamples(others)).toEqual([])
    },
  )

  test('a program that fails or prints something else is found', async () => {
    const program = (text: string): documents.Example =>
      documents.exampleOfProgram({ path: 'examples/planted.ts', text })
    expect(await runExamples([program("console.log('a')\n\n// prints\n// a\n")])).toEqual([])
    expect(await runExamples([program("console.log('a')\n\n// prints\n// b\n")])).toEqual([
      'examples/planted.ts:1: expected the output\nb\ngot\na',
    ])
    expect(await runExamples([program("throw new Error('planted')")])).toEqual([
      expect.stringContaining('examples/planted.ts:1: the example failed'),
    ])
  })

  test('of several programs the one that fails is found, and one that ends the process', async () => {
    const program = (name: string, text: string): documents.Example =>
      documents.exampleOfProgram({ path: `examples/${name}.ts`, text })
    const right = program('right', "console.log('a')\n\n// prints\n// a\n")
    const wrong = program('wrong', "throw new Error('planted')")
    expect(await runExamples([right, wrong, right])).toEqual([
      expect.stringContaining('examples/wrong.ts:1: the example failed'),
    ])
    const ends = program('ends', "setTimeout(() => { throw new Error('late') })\nawait new Promise(() => {})")
    expect(await runExamples([right, ends, right])).toEqual([
      expect.stringContaining('examples/ends.ts:1: the example failed'),
    ])
  })

  test('correct examples pass', async () => {
    const text = page(
      '```ts',
      "const words: string[] = ['one', 'two']",
      'for (const word of words) console.log(word)',
      '```',
      '',
      '```text',
      'one',
      '...',
      '```',
      '<!-- run -->',
      '',
      '```sh',
      'echo three',
      '```',
      '```text',
      'three',
      '```',
    )
    const examples = documents.examplesOf(text)
    expect(examples).toHaveLength(2)
    expect(await runExamples(examples)).toEqual([])
  })

  test.each([
    [
      'an error thrown',
      ['text', '```ts', "throw new Error('planted')", '```'],
      /^page\.md:2: the example failed/,
    ],
    [
      'another output',
      ['```ts', 'console.log(1)', '```', '```text', '2', '```'],
      /expected the output\n2\ngot\n1$/,
    ],
    [
      'a command that fails',
      ['<!-- run -->', '```sh', 'true', 'false', 'true', '```'],
      /^page\.md:2: the example fa/,
    ],
    ['a failure inside a pipe', ['<!-- run -->', '```sh', 'false | true', '```'], /the example failed/],
    ['no such command', ['<!-- run -->', '```sh', 'shadowllm no-such-command', '```'], /the example failed/],
    ['other words', ['<!-- run -->', '```sh', 'echo a', '```', '```text', 'b', '```'], /expected the output/],
  ])('%s is found', async (_, lines, fault) => {
    expect(await runExamples(documents.examplesOf(page(...lines)))).toContainEqual(
      expect.stringMatching(fault),
    )
  })
})
