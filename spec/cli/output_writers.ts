/**
 * Commands that write a file. If the system refuses to, each ends with one line and keeps the old file.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { tinyFolder, type CliResult } from './run_cli.ts'

/** The arguments of a command that writes a file. */
export type Writer = (output: string) => string[]

/** The commands, by name. @param text the path of a text file */
export const makeWriters = (text: string): Record<string, Writer> => ({
  'masks --output': (output) => ['masks', 'a', '--planner', 'random', '-o', output, '--quiet'],
  'perplexity --output': (output) => ['perplexity', '--text', text, '--by', 'stream', '-o', output],
  'parity export --output': (output) => {
    const cases = `${tinyFolder}/cases/batch.safetensors`
    return ['parity', 'export', '-m', tinyFolder, '--cases', cases, '-o', output]
  },
  'cost --html': (output) => ['cost', '-m', 'opt-125m', '--bandwidth', '10', '--html', output],
})

/** A text that is long enough for every writer. */
export const someText = 'The captain looked at the sea, and the men looked at him. '.repeat(80)

/** The paths of everything below a folder. */
export const below = (path: string): string[] =>
  existsSync(path) ? readdirSync(path, { recursive: true, encoding: 'utf8' }) : []

/** An output file in a folder of its own, and its content before the command. */
export interface Place {
  readonly folder: string
  readonly name: string
  readonly output: string
  readonly before: string | null
}

/** Makes a place. @param before the content of the file; null for no file */
export function makePlace(inFolder: string, name: string, before: string | null): Place {
  const folder = mkdtempSync(join(inFolder, 'place-'))
  const output = join(folder, name)
  if (before !== null) writeFileSync(output, before)
  return { folder, name, output, before }
}

/** Expects a refusal in one line, no new or partial file, and the old file unchanged. */
export function expectRefusedWhole(
  { code, stderr }: CliResult,
  { folder, name, output, before }: Place,
): void {
  expect(stderr).toMatch(/^shadowllm: [^\n]*: expected a file that can be written, got [^\n]+ \[OUTPUT\]\n$/)
  expect(stderr).toContain(`${output}: expected`)
  expect(code).toBe(2)
  expect(below(folder)).toEqual(before === null ? [] : [name])
  if (before !== null) expect(readFileSync(output, 'utf8')).toBe(before)
}
