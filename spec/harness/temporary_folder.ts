/**
 * A temporary folder for tests, in that of their spec file (temporary.ts).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** A new folder, which is removed after the tests of the file or of the `describe` that asks for it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  return folder
}
