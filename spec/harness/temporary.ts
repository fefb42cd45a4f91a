/**
 * A folder of its own for everything a run writes to the system's folder of temporary files, so that what its tests leave
 * behind can be seen, and fails the run.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What systems look at to find that folder: the first on Linux and macOS, the others on Windows. */
const variables = ['TMPDIR', 'TEMP', 'TMP']

/**
 * From now on this process and those it starts have a new folder, in the old one, as theirs for temporary files.
 * @returns what takes it away again. @throws Error then, with the names of what was left in it
 */
export function lendTemporaryFolder(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-run-'))
  const before = variables.map((name) => [name, process.env[name]] as const)
  for (const name of variables) process.env[name] = folder
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    const left = readdirSync(folder).sort()
    rmSync(folder, { recursive: true })
    if (left.length > 0)
      throw new Error(`temporary files: expected tests to leave none behind, got ${left.join(', ')}`)
  }
}
