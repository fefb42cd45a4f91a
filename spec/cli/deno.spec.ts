/**
 * The tasks of deno.json have the permissions that they need and no more; spec/cli/deno.full.spec.ts runs command lines.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from './run_cli.ts'

test('the task `reproduce` of deno.json has the permissions that it needs, and no others', () => {
  const { tasks } = JSON.parse(readFileSync(join(root, 'deno.json'), 'utf8')) as {
    tasks: Record<string, string>
  }
  for (const permission of ['--allow-read', '--allow-write', '--allow-sys'])
    expect(tasks.reproduce).toContain(permission)
  expect(tasks.reproduce).not.toMatch(/-A\b|--allow-all/)
})
