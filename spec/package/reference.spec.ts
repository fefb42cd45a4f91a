/**
 * The API reference covers every export of the package.
 */
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../harness/syntax.ts'

const options = JSON.parse(readFileSync(join(root, 'docs/typedoc.json'), 'utf8')) as { entryPoints: string[] }
test('covers every subpath of the package', () => {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | Record<string, string>>
  }
  const sources = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string' ? [] : [posix.normalize(entry['@shadowllm/source'])],
  )
  expect(options.entryPoints.map((path) => posix.join('docs', path)).sort()).toEqual(sources.sort())
})
