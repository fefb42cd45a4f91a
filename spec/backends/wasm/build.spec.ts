/**
 * The committed modules, one for each build, have a kernel for every op and nothing else. build.full.spec.ts compiles
 * them again.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { root } from '../../../scripts/sources.ts'
import { canJoinVectors } from '../../../src/platform/platform.ts'
import { builds, readCommitted, type Build } from './compile.ts'
import { exportsTheOps, hasNoData, importsMemoryAnd, takesWhatRowsList } from './module_laws.ts'

describe.each(Object.keys(builds) as Build[])('%s', async (build) => {
  const committed = await readCommitted(build)
  const module = new WebAssembly.Module(committed)

  test('every op of the catalogue is exported, parts of those that can be shared, the size of the scratch, and no more', () =>
    exportsTheOps(module))

  test('a kernel takes as many arguments as its row lists', () => takesWhatRowsList(module))

  test('it has no static data, which would overlap the scratch', () => hasNoData(committed))

  test('it imports a memory and a number, and nothing else', () =>
    importsMemoryAnd(module, [{ module: 'scratch', name: 'start' }]))
})

/** Compiles all functions of a module at once, as a trial compiles some. */
const atOnce = `
import { readFileSync } from 'node:fs'
new WebAssembly.Module(readFileSync(process.argv[1]))
process.stdout.write('compiled')`

/** Flags of the trial (src/platform/compiler_flags.ts), without waiting for calls. */
const joining = ['--experimental-wasm-revectorize', '--no-liftoff', '--no-wasm-lazy-compilation']

test.runIf(canJoinVectors()).each(Object.keys(builds) as Build[])(
  'no function of %s ends a process that joins its vectors',
  async (build) => {
    const path = join(root, 'src/backends/wasm', builds[build])
    const args = [...joining, '--input-type=module', '--eval', atOnce, path]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    expect(stdout).toBe('compiled')
  },
)

test('only the relaxed module leaves products unrounded; products of bytes are relaxed there and in the module of bytes', async () => {
  const [relaxedMadd, relaxedDot] = [Buffer.of(0xfd, 0x85, 0x02), Buffer.of(0xfd, 0x92, 0x02)]
  const has = async (build: Build): Promise<boolean[]> => {
    const committed = await readCommitted(build)
    return [committed.includes(relaxedMadd), committed.includes(relaxedDot)]
  }
  expect(await has('release')).toEqual([false, false])
  expect(await has('bytes')).toEqual([false, true])
  expect(await has('relaxed')).toEqual([true, true])
})
