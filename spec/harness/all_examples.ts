/**
 * All examples: those of the pages, those of the docstrings in src/, and the programs of examples/.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exampleOfProgram, examplesInDocstrings, examplesOf, type Example } from './documents.ts'
import { parseModule, readSources, root, type Source } from './syntax.ts'

/** The pages: README and its neighbours, spec/README, the guides. */
export const pages: readonly Source[] = [
  ...readdirSync(root)
    .filter((name) => name.endsWith('.md'))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') })),
  ...['spec', 'docs', 'cuda', 'bench'].flatMap((folder) => readSources(folder, '.md')),
]

/** The programs of examples/. A guide runs those that need arguments. */
export const programs: readonly Source[] = readSources('examples').filter(
  ({ text }) => !/examples\/\w+\.ts [A-Z]/.test(text),
)

/** The examples of pages and docstrings, and the programs. */
export function allExamples(): Example[] {
  return [
    ...pages.flatMap(examplesOf),
    ...readSources('src').map(parseModule).flatMap(examplesInDocstrings),
    ...programs.map(exampleOfProgram),
  ]
}
