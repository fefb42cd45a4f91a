/**
 * `npm run test:cuda-asan`: the laws of the ops over the CUDA kernels, emulated with the address sanitizer watching: it
 * stops at the first number read or written outside a buffer. Arguments go to vitest in place of spec/ops.
 *
 * The sanitizer's library must be in the process before anything else; leaks are the runtime's own affair.
 */
import { spawn } from 'node:child_process'
import { buildEmulator, emulatorPath } from './cuda/emulator.ts'
import { root } from './cuda/sources.ts'
import { compile } from './cuda/tool.ts'

const output = emulatorPath(true)
await buildEmulator({ output, asan: true })
const library = (await compile('g++', ['-print-file-name=libasan.so'], root)).trim()
const given = process.argv.slice(2)
const args = ['run', ...(given.length > 0 ? given : ['spec/ops', 'spec/backends/cuda_blocks.spec.ts'])]
const child = spawn(
  process.execPath,
  ['node_modules/vitest/vitest.mjs', ...args, '--testTimeout=600000', '-t', 'cuda-emulated'],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      LD_PRELOAD: library,
      ASAN_OPTIONS: 'detect_leaks=0',
      SHADOWLLM_EMULATOR: output,
      SHADOWLLM_BACKENDS: 'cuda-emulated',
    },
  },
)
child.on('exit', (code) => (process.exitCode = code ?? 1))
