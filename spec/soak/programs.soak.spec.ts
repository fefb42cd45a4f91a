/**
 * Long runs, each a program of its own that ends with 0 if it finds nothing. SHADOWLLM_SOAK scales their length: 0.1 is a tenth,
 * 10 is ten times as long.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { sanitizerLibrary } from '../../scripts/cuda/sanitizer.ts'
import { root } from '../harness/syntax.ts'
import { runSeed } from '../harness/seed.ts'

const length = Number(process.env.SHADOWLLM_SOAK || 1)
if (!(length > 0 && Number.isFinite(length)))
  throw new RangeError(`SHADOWLLM_SOAK: expected a number above 0, got ${process.env.SHADOWLLM_SOAK}`)

const { missing } = await sanitizerLibrary()

const programs = [
  {
    name: 'the fuzzer finds no file that a reader neither reads nor refuses',
    args: ['scripts/fuzz.ts', '--minutes', String(30 * length), '--seed', String(runSeed())],
    missing: null,
  },
  {
    name: 'texts and loads leave memory, buffers and threads as they were',
    args: ['bench/soak.ts', '--cycles', String(Math.max(50, Math.round(2000 * length)))],
    missing: null,
  },
  {
    name: 'a server with 64 clients answers all of them, and its memory stays what it was',
    args: ['bench/serve.ts', '--seconds', String(Math.max(60, Math.round(600 * length)))],
    missing: null,
  },
  { name: 'the address sanitizer reports nothing', args: ['scripts/test_cuda_asan.ts'], missing },
]

for (const { name, args, missing: reason } of programs)
  test.skipIf(reason !== null)(`${name}${reason === null ? '' : `: ${reason}`}`, { timeout: 0 }, async () => {
    const run = promisify(execFile)(process.execPath, ['--conditions=@shadowllm/source', ...args], {
      cwd: root,
      maxBuffer: 2 ** 28,
    })
    await expect(run, args.join(' ')).resolves.toBeTruthy()
  })
