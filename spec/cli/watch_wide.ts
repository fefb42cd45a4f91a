/**
 * Loaded before the command line (`--import`), in its process and in its threads: says on stderr which builds of the kernels are
 * compiled. SHADOWLLM_TEST_WIDE names a file that takes the place of the wide build.
 */
import { readFileSync, writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { kernelFiles } from '../../src/backends/kernel_files.ts'

const { SHADOWLLM_TEST_WIDE: planted } = process.env
const files = kernelFiles as { -readonly [name in keyof typeof kernelFiles]: (typeof kernelFiles)[name] }
if (planted !== undefined) files['wasm-wide'] = async () => new Uint8Array(readFileSync(planted))

for (const name of ['wasm-bytes', 'wasm-wide'] as const) {
  const read = files[name]
  files[name] = () => {
    writeSync(2, `${isMainThread ? 'process' : 'thread'}: ${name}\n`)
    return read()
  }
}
