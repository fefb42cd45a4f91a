/**
 * A dead link in a docstring ends the making of the API reference, as does a parameter without words, a type without a page, or a default of what must be given. That the reference has none: spec/web/site.full.spec.ts.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runtime } from '../../src/platform/platform.ts'
import { root } from '../harness/syntax.ts'

const typedoc = join(root, 'docs/node_modules/typedoc/bin/typedoc')

const options = JSON.parse(readFileSync(join(root, 'docs/typedoc.json'), 'utf8')) as { entryPoints: string[] }

const cannot = !existsSync(typedoc)
  ? 'typedoc is not installed'
  : runtime.name !== 'node'
    ? 'it needs Node'
    : null
const why = cannot === null ? '' : ` (skipped: ${cannot})`

/** Runs typedoc without writing pages. */
function judge(optionsFile: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const all = [typedoc, '--options', optionsFile, '--emit', 'none']
    execFile(process.execPath, all, { cwd: root, timeout: 240_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : 1, output: stdout + stderr }),
    )
  })
}

/** What typedoc says of a module, which is planted. */
async function judgePlanted(text: string, plugin: readonly string[] = []): ReturnType<typeof judge> {
  mkdirSync(join(root, 'build'), { recursive: true })
  const folder = mkdtempSync(join(root, 'build', 'reference-'))
  try {
    const write = (name: string, content: string): void => writeFileSync(join(folder, name), content)
    write('planted.ts', text)
    const compilerOptions = { skipLibCheck: true, allowImportingTsExtensions: true, noEmit: true }
    write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['planted.ts'] }))
    const planted = {
      ...options,
      entryPoints: ['planted.ts'],
      projectDocuments: [],
      plugin,
      readme: 'none',
      tsconfig: 'tsconfig.json',
    }
    write('typedoc.json', JSON.stringify(planted))
    return await judge(join(folder, 'typedoc.json'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test.skipIf(cannot !== null)(
  `a dead link in a docstring is an error${why}`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await judgePlanted('/** See {@link Nothing}. */\nexport const planted = 1\n')
    expect(output).toContain('Nothing')
    expect(code).toBe(1)
  },
)

test.skipIf(cannot !== null)(
  `a parameter without words is an error; its own words, those of its line and of its type, and a sentence that names it are words${why}`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await judgePlanted(
      `/** How much. */
export interface Budget {
  /** Of all. */
  readonly share: number
}
/**
 * Gives \`named\` back.
 * @param own words
 */
export function planted(
  own: number,
  line: number, // from 0
  budget: Budget,
  named: number,
  bare: number,
): number {
  return own + line + budget.share + named + bare
}
`,
      [join(root, 'docs/words.mjs')],
    )
    expect(output).toContain('planted: expected words about bare, got none')
    expect(output.match(/expected words about/g)).toHaveLength(1)
    expect(code).toBe(1)
  },
)

test.skipIf(cannot !== null)(
  `a type of the sources without a page is an error where a signature names it; one that is exported is not, nor is a parameter of a type${why}`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await judgePlanted(
      `import type { Budget, Scope } from '../../src/masks/budget.ts'
export type { Scope } from '../../src/masks/budget.ts'
/**
 * Gives the scope of a budget.
 * @param budget of a mask
 * @param other anything
 */
export function planted<Own>(budget: Budget, other: Own): [Scope, Own] {
  return [budget.scope, other]
}
`,
      [join(root, 'docs/words.mjs')],
    )
    expect(output).toContain(
      'planted.planted.budget: expected a page for Budget of src/masks/budget.ts, got none',
    )
    expect(output.match(/expected a page for/g)).toHaveLength(1)
    expect(code).toBe(1)
  },
)

test.skipIf(cannot !== null)(
  `a default of a property that must be given is an error${why}`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await judgePlanted(
      `/** Settings. */
export interface Planted {
  /** How many; default 1. */
  readonly given: number
  /** How many; default 1. */
  readonly open?: number
  /** By default, many. */
  readonly most: number
}
`,
      [join(root, 'docs/words.mjs')],
    )
    expect(output).toContain(
      'Planted.given: expected no default of a property that must be given, got: How many; default 1.',
    )
    expect(output.match(/expected no default/g)).toHaveLength(1)
    expect(code).toBe(1)
  },
)

test.skipIf(cannot !== null)(
  `a value of a type without words is an error where another has some: by its comment, or as help of a record${why}`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await judgePlanted(
      `/** A record. */
export const known = { name: 'known', help: 'is known' } as const
/** The ways. */
export const ways = [
  /** Has words. */
  'said',
  'bare',
] as const
/** A way. */
export type Way = (typeof ways)[number]
/** The records. */
export const list = [known] as const
/** A name. */
export type Name = (typeof list)[number]['name']
/** Words, of which none has any. */
export type Silent = 'one' | 'two'
`,
      [join(root, 'docs/words.mjs')],
    )
    expect(output).toContain('Way: expected words about the value bare, got none')
    expect(output.match(/expected words about/g)).toHaveLength(1)
    expect(code).toBe(1)
  },
)
