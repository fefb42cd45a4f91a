/**
 * Worked examples of CONTRIBUTING.md, carried out on a copy of the project.
 *
 *   ```ts file=PATH      the text of a file that is added
 *   ```diff              lines added and removed, of files that each begin with `+++ b/PATH`: `@@`, then the lines around them, which
 *                        together are there once
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './syntax.ts'

/** The blocks of a section with the words after ```, and their text without the indent of the step that they stand in. */
function blocksOf(section: string): { readonly info: string; readonly text: string }[] {
  return [...section.matchAll(/^( *)```(\S.*)\n([^]*?)^ *```$/gm)].map(([, indent, info, text]) => ({
    info,
    text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))
}

/** A section of a document, by its heading. @throws Error if there is none */
export function sectionOf(text: string, heading: string): string {
  const [, section] = text.split(`\n## ${heading}\n`)
  if (section === undefined) throw new Error(`expected a section ${heading}, got none`)
  return section.split('\n## ')[0]
}

/** A text after a hunk. @throws Error if the lines that it finds are not there once */
function patched(text: string, hunk: string): string {
  const lines = hunk.split('\n').filter((line) => line !== '')
  const before = lines.filter((line) => !line.startsWith('+')).map((line) => `${line.slice(1)}\n`)
  const after = lines.filter((line) => !line.startsWith('-')).map((line) => `${line.slice(1)}\n`)
  const parts = text.split(before.join(''))
  if (parts.length !== 2) throw new Error(`expected these lines once, got ${parts.length - 1}:\n${hunk}`)
  return parts.join(after.join(''))
}

/** What a worked example does: the paths of files that it adds, and of those that it changes. */
export interface Carried {
  readonly added: readonly string[]
  readonly changed: readonly string[]
}

/** Not a package that is installed beside the sources, as those of bench/peers are: they are a gigabyte. */
const isOfTheProject = (path: string): boolean => !path.endsWith('node_modules')

/** Carries out a worked example in an empty folder: the project with the files and lines that the section adds. */
export function carryOut(section: string, folder: string): Carried {
  for (const name of ['src', 'spec', 'scripts', 'assembly', 'rust', 'cuda', 'fixtures', 'bench', 'examples'])
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: isOfTheProject })
  for (const name of ['package.json', 'tsconfig.json', 'vitest.config.ts', 'asconfig.json'])
    cpSync(join(root, name), join(folder, name))
  for (const name of ['node_modules', 'build', 'docs', 'tools'])
    symlinkSync(join(root, name), join(folder, name))
  const added: string[] = []
  const changed: string[] = []
  for (const { info, text } of blocksOf(section)) {
    const file = / file=(\S+)/.exec(info)?.[1]
    if (file !== undefined) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
      added.push(file)
    } else if (info === 'diff')
      for (const [, name, hunks] of text.matchAll(/^\+\+\+ b\/(\S+)\n@@\n([^]*?)(?=^--- |$(?![^]))/gm)) {
        const path = join(folder, name)
        writeFileSync(path, hunks.split(/^@@\n/m).reduce(patched, readFileSync(path, 'utf8')))
        changed.push(name)
      }
  }
  return { added, changed }
}
