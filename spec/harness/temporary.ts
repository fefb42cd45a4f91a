/**
 * Folders of their own for everything a run writes to the system's folder of temporary files, one in it per file of the
 * book, so that what tests leave behind can be seen, and fails the run.
 *
 * Nothing is said of a file none of whose tests ran for want of a tool, nor where tests are chosen by name: what did not run
 * was not let clean up.
 * What it left is removed all the same.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const book = fileURLToPath(new URL('..', import.meta.url))

/** What systems look at to find that folder: the first on Linux and macOS, the others on Windows. */
const variables = ['TMPDIR', 'TEMP', 'TMP']

/** The folder of a run. */
export interface TemporaryFolder {
  readonly path: string
  /**
   * Takes it away again.
   * @param idle files of the book of which no test ran
   * @throws Error with the names of what the others left in it
   */
  giveBack(idle?: readonly string[]): void
}

/** From now on this process and those it starts have a new folder, in the old one, as theirs for temporary files. */
export function lendTemporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), 'shadowllm-run-'))
  const before = variables.map((name) => [name, process.env[name]] as const)
  useFolder(path)
  return {
    path,
    giveBack(idle = []) {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
      const left = leftIn(path, idle.map(folderName))
      rmSync(path, { recursive: true })
      if (left.length > 0)
        throw new Error(`temporary files: expected tests to leave none behind, got ${left.join(', ')}`)
    },
  }
}

/** Gives a file of the book a folder in that of the run. */
export function useOwnFolder(runFolder: string, file: string): void {
  const folder = join(runFolder, folderName(file))
  mkdirSync(folder, { recursive: true })
  useFolder(folder)
}

function useFolder(path: string): void {
  for (const name of variables) process.env[name] = path
}

const folderEnding = '.spec.ts'

/** The name of a file's folder. */
function folderName(file: string): string {
  return relative(book, file).replace(/[\\/]/g, '-')
}

/** What is in the folder of a run, and in those of its files but for some. */
function leftIn(path: string, idle: readonly string[]): string[] {
  return readdirSync(path)
    .sort()
    .filter((name) => !idle.includes(name))
    .flatMap((name) =>
      name.endsWith(folderEnding)
        ? readdirSync(join(path, name)).map((inside) => `${name}/${inside}`)
        : [name],
    )
}
