/**
 * The wide build gives the bits of the definitions, whether an engine joins its vectors or not.
 *
 * V8 does with `--experimental-wasm-revectorize`, which is a flag of the process. So the laws run in processes of their own
 * (wide_laws.ts), in which the optimising compiler alone compiles kernels, as no other joins anything.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runtime } from '../../../src/platform/platform.ts'
import { runSeed } from '../../harness/seed.ts'
import { root } from '../../../scripts/sources.ts'
import { builds } from './compile.ts'

const joins = '--experimental-wasm-revectorize'
const optimising = '--no-liftoff'
const laws = fileURLToPath(new URL('./wide_laws.ts', import.meta.url))
const committed = join(root, 'src/backends/wasm', builds.wide)
const isNode = runtime.name === 'node'
const knowsFlag = isNode && spawnSync(process.execPath, [joins, '--eval', '']).status === 0

/** What the laws of the committed module print, and how they end. */
function runLaws(...flags: string[]): { status: number | null; printed: string } {
  const args = [
    '--conditions=@shadowllm/source',
    optimising,
    ...flags,
    laws,
    committed,
    String(runSeed()),
    '3',
  ]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return { status, printed: stdout + stderr }
}

test.skipIf(!isNode)('wide kernels agree with the definitions where nothing is joined', () => {
  const { status, printed } = runLaws()
  expect(status, printed).toBe(0)
})

test.skipIf(!knowsFlag)('wide kernels agree with the definitions where vectors are joined', () => {
  const { status, printed } = runLaws(joins)
  expect(status, printed).toBe(0)
})

test.skipIf(!knowsFlag || process.arch !== 'x64')('V8 joins the vectors of the tiles', () => {
  const compile = 'new WebAssembly.Module(process.getBuiltinModule("fs").readFileSync(process.argv[1]))'
  const traced = [joins, '--trace-wasm-revectorize', '--single-threaded', '--no-wasm-lazy-compilation']
  const { stdout } = spawnSync(process.execPath, [optimising, ...traced, '--eval', compile, committed], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  // A tile has at least eight pairs of sums, each with its loads, products and stores.
  const sizes = Array.from(stdout.matchAll(/Decide to vectorize, (\d+) revectorizable/g), ([, size]) =>
    Number(size),
  )
  expect(sizes.filter((size) => size > 100).length).toBeGreaterThan(10)
})
