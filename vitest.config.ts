import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import LongestFirst from './scripts/sequencer.ts'
import { readTier, specFilesOf } from './spec/harness/tier.ts'

export default defineConfig({
  test: {
    ...specFilesOf(readTier(process.env.SHADOWLLM_TIER)),
    globalSetup: ['spec/harness/run.ts'],
    sequence: { sequencer: LongestFirst },
    // The spec files of a worker share modules and backends. Each file has its own folder for temporary files.
    isolate: false,
    // A worker waits for disks and timers a third of its time; vitest takes no share above 100 %.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    // Node 24 is reported to die in garbage collection under long test runs with V8's baseline compiler (nodejs/node 62393).
    execArgv: 'Deno' in globalThis ? [] : ['--no-sparkplug'],
    setupFiles: ['spec/harness/setup.ts'],
    // The limits are for tests that hang, and no test takes five minutes on a busy machine. SHADOWLLM_EMULATE adds slow sections.
    testTimeout: process.env.SHADOWLLM_EMULATE ? 600_000 : 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
  },
})
