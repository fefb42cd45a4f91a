/**
 * A temporary folder for each run, with a folder in it for each spec file, so that files left behind by tests are found and
 * fail the run.
 *
 * A spec file whose tests all were skipped is not checked, nor is a run with tests chosen by name: tests that did not run
 * could not clean up. Its files are removed all the same.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const suite = fileURLToPath(new URL('..', import.meta.url))

/** The variables that name the temporary folder: the first on Linux and macOS, the others on Windows. */
const variables = ['TMPDIR', 'TEMP', 'TMP']

/** The folder of a run. */
export interface TemporaryFolder {
  readonly path: string
  /**
   * Removes the folder.
   * @param idle spec files of which no test ran
   * @throws Error with the names of files that the others left in it
   */
  giveBack(idle?: readonly string[]): void
}

/** Gives this process and its children a new temporary folder inside the old one. */
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

/** Gives a spec file a folder in that of the run. */
export function useOwnFolder(runFolder: string, file: string): void {
  const folder = join(runFolder, folderName(file))
  mkdirSync(folder, { recursive: true })
  useFolder(folder)
}

function useFolder(path: string): void {
  for (const name of variables) process.env[name] = path
}

const folderEnding = '.spec.ts'

/** The folder of what a run makes once for all of its spec files (once.ts); it goes with the folder of the run. */
export function sharedFolder(runFolder: string): string {
  return join(runFolder, 'shared')
}

/** The name of a spec file's folder. */
function folderName(file: string): string {
  return relative(suite, file).replace(/[\\/]/g, '-')
}

/** The files in the folder of a run and in those of its spec files, except idle ones. */
function leftIn(path: string, idle: readonly string[]): string[] {
  return readdirSync(path)
    .sort()
    .filter((name) => !idle.includes(name) && join(path, name) !== sharedFolder(path))
    .flatMap((name) =>
      name.endsWith(folderEnding)
        ? readdirSync(join(path, name)).map((inside) => `${name}/${inside}`)
        : [name],
    )
}
