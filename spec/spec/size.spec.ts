/**
 * The specification is as short as it says: lines of its core, and what one reaches from it by its imports.
 */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../harness/syntax.ts'

/** The method. Programs are its vocabulary, and derivatives and channel masks stand beside it. */
const core = [
  'model',
  'opt',
  'llama',
  'plainact',
  'predictor',
  'select',
  'shadowllm',
  'training',
  'plain',
].map((name) => `src/spec/${name}.ts`)

/** The lines of each file that these reach by imports, themselves included. */
function reachedFrom(files: readonly string[], read: (path: string) => string): Map<string, number> {
  const lines = new Map<string, number>()
  const visit = (path: string): void => {
    if (lines.has(path)) return
    const text = read(path)
    lines.set(path, text.split('\n').length - 1)
    for (const [, from] of text.matchAll(/ from '(\.[^']+)'/g)) visit(posix.join(posix.dirname(path), from))
  }
  files.forEach(visit)
  return lines
}

const sumOf = (lines: Iterable<number>): number => [...lines].reduce((sum, one) => sum + one, 0)

test('the core has at most 960 lines, and reaches at most 31 files of 2,800 lines', () => {
  const reached = reachedFrom(core, (path) => readFileSync(root + path, 'utf8'))
  expect(sumOf(core.map((path) => reached.get(path) as number))).toBeLessThanOrEqual(960)
  expect(reached.size).toBeLessThanOrEqual(31)
  expect(sumOf(reached.values())).toBeLessThanOrEqual(2800)
})

test('what is reached is counted once, by way of others too', () => {
  const texts: Readonly<Record<string, string>> = {
    'a.ts': "import { b } from './in/b.ts'\nimport type { c } from './c.ts'\n",
    'in/b.ts': "export { c } from '../c.ts'\n",
    'c.ts': "import 'vitest'\n",
  }
  const reached = reachedFrom(['a.ts'], (path) => texts[path])
  expect([...reached]).toEqual([
    ['a.ts', 2],
    ['in/b.ts', 1],
    ['c.ts', 1],
  ])
})
