/**
 * JSR would accept the package, by a dry run of `deno publish`.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { findDeno } from '../../scripts/deno.ts'
import { root } from '../harness/syntax.ts'

const deno = findDeno()
const why = 'missing' in deno ? ` (skipped: ${deno.missing})` : ''
test.skipIf('missing' in deno)(
  `JSR would accept the package: every exported type is explicit${why}`,
  async () => {
    const program = 'program' in deno ? deno.program : ''
    const args = ['publish', '--config', 'jsr.json', '--dry-run', '--allow-dirty', '--no-check']
    const { stderr } = await promisify(execFile)(program, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: '1' },
      maxBuffer: 2 ** 24,
    })
    expect(stderr).toContain('Success Dry run complete')
    expect(stderr).not.toMatch(/^(warning|error)\[/m)
  },
)
