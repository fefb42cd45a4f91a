/**
 * Worked examples of CONTRIBUTING.md, carried out on a copy of the project.
 *
 *   ```ts file=PATH      the text of a file that is added
 *   ```diff              lines added to a file: `@@`, then a line before them, or more of them, each of which is there once
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

/** A text with the lines of a hunk added. @throws Error if what is around them is not there once */
function added(text: string, hunk: string): string {
  const lines = hunk.split('\n').filter((line) => line !== '')
  const before = lines.filter((line) => !line.startsWith('+')).map((line) => `${line.slice(1)}\n`)
  const after = lines.map((line) => `${line.slice(1)}\n`)
  const parts = text.split(before.join(''))
  if (parts.length !== 2) throw new Error(`expected these lines once, got ${parts.length - 1}:\n${hunk}`)
  return parts.join(after.join(''))
}

/**
 * Carries out a worked example in an empty folder: the project with the files and lines that the section adds, and
 * tsconfig.example.json, which checks the types of these files.
 * @returns the paths of files that were added
 */
export function carryOut(section: string, folder: string): string[] {
  for (const name of ['src', 'spec', 'scripts'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  for (const name of ['package.json', 'tsconfig.json', 'vitest.config.ts'])
    cpSync(join(root, name), join(folder, name))
  for (const name of ['node_modules', 'fixtures', 'build', 'docs', 'tools'])
    symlinkSync(join(root, name), join(folder, name))
  const files: string[] = []
  for (const { info, text } of blocksOf(section)) {
    const file = / file=(\S+)/.exec(info)?.[1]
    if (file !== undefined) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
      files.push(file)
    } else if (info === 'diff') {
      const [head, ...hunks] = text.split(/^@@\n/m)
      const path = join(folder, /^\+\+\+ b\/(\S+)$/m.exec(head)?.[1] ?? '')
      writeFileSync(path, hunks.reduce(added, readFileSync(path, 'utf8')))
    }
  }
  const config = { extends: './tsconfig.json', include: [], files }
  writeFileSync(join(folder, 'tsconfig.example.json'), JSON.stringify(config))
  return files
}
