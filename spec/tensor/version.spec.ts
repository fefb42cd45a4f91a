/**
 * An old Node is refused by one line, which the command and the library have from package.json.
 */
import { afterEach, expect, test, vi } from 'vitest'
import { expectNode } from '../../src/tensor/version.ts'
import { ShadowModel } from '../../src/library/shadow_model.ts'
import { runtime } from '../../src/platform/platform.ts'
import { runInside } from '../cli/run_inside.ts'

const refused = 'node: expected version 22.18 or newer, got 20.20.2; "npm i node@24" beside this package'

afterEach(() => vi.restoreAllMocks())

test.each([
  ['node', '22.18.0', true],
  ['node', '22.9.1', false],
  ['node', '9.0.0', false],
  ['node', '100.0.0', true],
  ['deno', '2.9.6', true],
] as const)('%s %s may run: %s', (name, version, isNew) => {
  const start = (): void => expectNode({ name, version, system: 'linux x64' })
  if (isNew) expect(start).not.toThrow()
  else expect(start).toThrow(`node: expected version 22.18 or newer, got ${version}`)
})

test.skipIf(runtime.name !== 'node')('the command and the library refuse an old Node alike', async () => {
  vi.spyOn(runtime as { version: string }, 'version', 'get').mockReturnValue('20.20.2')
  const { code, stderr } = await runInside(['--version'])
  expect({ code, stderr }).toEqual({ code: 4, stderr: expect.stringContaining(refused) })
  await expect(ShadowModel.fromPretrained()).rejects.toThrow(refused)
})
