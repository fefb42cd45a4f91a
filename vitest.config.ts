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
    maxWorkers: '100%',
    setupFiles: ['spec/harness/setup.ts'],
    // A test that takes a minute hangs. With SHADOWLLM_EMULATE, which adds slow chapters, the limit is ten minutes.
    testTimeout: process.env.SHADOWLLM_EMULATE ? 600_000 : 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 60_000,
  },
})
