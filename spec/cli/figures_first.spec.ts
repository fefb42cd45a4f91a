/**
 * A command that cannot draw its figures says so before it works.
 *
 * Tests src/cli/output.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, expect, test, vi } from 'vitest'
import { makeProgram } from '../../src/cli/program.ts'
import { quietSession, runInside } from './run_inside.ts'

vi.mock('../../src/platform/platform.ts', async (original) => ({
  ...(await original<object>()),
  hasPackage: (name: string) => !name.startsWith('vega'),
}))

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-figures-'))
afterAll(() => rmSync(folder, { recursive: true }))

const program = await makeProgram(
  quietSession(() => {}),
  '0',
  () => {},
)
const drawing = program.commands.filter(({ options }: Command) =>
  options.some(({ long }) => long === '--html'),
)

test('some commands draw', () => {
  expect(drawing.map((command) => command.name())).toEqual(expect.arrayContaining(['cost', 'reproduce']))
})

test.each(drawing.map((command) => command.name()))(
  '%s --html without the packages of figures is refused first',
  async (name) => {
    const { code, stdout, stderr } = await runInside([name, '--html', join(folder, 'page.html')])
    expect([code, stdout]).toEqual([4, ''])
    expect(stderr).toMatch(
      /^shadowllm: --html: expected the packages vega vega-lite [^\n]* \[PACKAGE_MISSING\]\n$/,
    )
  },
)
