/**
 * `npm run test:cuda-asan`: the laws of ops, streams and graphs on the emulated CUDA kernels with the address sanitizer, which
 * stops at the first access outside a buffer. Arguments go to vitest instead of these files.
 */
import { spawn } from 'node:child_process'
import { buildEmulator, emulatorPath } from './cuda/emulator.ts'
import { sanitizerLibrary } from './cuda/sanitizer.ts'
import { root } from './sources.ts'

const { missing, environment } = await sanitizerLibrary()
if (missing !== null) throw new Error(`address sanitizer: expected g++ with libasan.so, got none: ${missing}`)
const output = emulatorPath(true)
await buildEmulator({ output, asan: true })
const given = process.argv.slice(2)
const names = ['blocks', 'fast', 'graphs', 'stream'].map((name) => `spec/backends/cuda/${name}.full.spec.ts`)
const files = given.length > 0 ? given : ['spec/ops', ...names]
// Watched memory is several times as slow.
const options = ['--testTimeout=600000', '-t', 'cuda-(fast-)?emulated']
const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...files, ...options], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    ...environment,
    SHADOWLLM_TIER: 'full',
    SHADOWLLM_EMULATOR: output,
    SHADOWLLM_BACKENDS: 'cuda-emulated,cuda-fast-emulated',
  },
})
child.on('exit', (code) => (process.exitCode = code ?? 1))
