/**
 * The README of the package (scripts/package/readme.ts).
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageReadme, textFor } from '../../scripts/package/readme.ts'
import about from '../../package.json' with { type: 'json' }
import { root } from '../harness/syntax.ts'

test('notes, pictures and what only a checkout has are left out, and what is added by links to files that are not packed', () => {
  const page = [
    '<!-- checkout -->\n\n[a](b)\n\n<!-- /checkout -->',
    '<!-- package\n`npm i FILE.tgz`\n-->',
    '<!-- site\n[the live page](src/web/index.html)\n-->',
    '<!-- run -->\n\n```sh\nls\nshadowllm chat\n```',
    '![a picture](a.png)\n\nIt is <!--= f(1) -->3<!--/--> ([of\nall](docs/a.md#b)), `shadowllm serve` (so; [all](docs/b.md)), [here](#c), [there](https://a.org) and [logged](CHANGELOG.md#d).',
  ]
  const made = packageReadme(page.join('\n\n'), (path) => path === 'CHANGELOG.md')
  expect(made).toBe(
    [
      '`npm i FILE.tgz`',
      '```sh\nls\nnpx shadowllm chat\n```',
      'It is 3, `npx shadowllm serve` (so), [here](#c), [there](https://a.org) and [logged](CHANGELOG.md#d).',
    ].join('\n\n'),
  )
})

test('a sentence that needs a link to a file that is not packed is refused', () => {
  expect(() => packageReadme('See [all](docs/a.md).', () => false)).toThrow('[all](docs/a.md)')
  expect(() => packageReadme('See [all](docs/a.md).', () => true)).not.toThrow()
})

test.each([
  ['package', 'a\n\nin the package\nin both\nd'],
  ['site', 'a\n\nb\n\nc\n\non the site\nin both\nd'],
] as const)('each part of a document stands where it belongs: %s', (place, expected) => {
  const text =
    'a\n\n<!-- checkout -->\n\nx\n\n<!-- /checkout -->\n<!-- checkout, site -->\n\nb\n\nc\n\n<!-- /checkout -->\n' +
    '<!-- package\nin the package\n-->\n<!-- site\non the site\n-->\n<!-- package, site\nin both\n-->\nd'
  expect(textFor(place, text).replaceAll(/<!--[^]*?-->\n/g, '')).toBe(expected)
})

test('README.md tells who has the package how to install it, and of no file that it lacks', () => {
  const packed = ['LICENSE', ...about.files]
  const isPacked = (path: string): boolean =>
    packed.some((name) => path === name || path.startsWith(`${name}/`)) && existsSync(join(root, path))
  const made = packageReadme(readFileSync(join(root, 'README.md'), 'utf8'), isPacked)
  expect(made).toContain('npm i FILE.tgz')
  for (const absent of ['<!--', '](docs/', '![', 'npm ci', 'npm test', 'npm run', 'examples/'])
    expect(made).not.toContain(absent)
})
