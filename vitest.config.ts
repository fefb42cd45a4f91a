import { defineConfig } from 'vitest/config'
import LongestFirst from './scripts/sequencer.ts'
import { readTier, specFilesOf } from './spec/harness/tier.ts'

export default defineConfig({
  test: {
    ...specFilesOf(readTier(process.env.SHADOWLLM_TIER)),
    globalSetup: ['spec/harness/run.ts'],
    sequence: { sequencer: LongestFirst },
    // The files of a worker share its modules and backends; each has its own folder for temporary files.
    isolate: false,
    maxWorkers: '100%',
    setupFiles: ['spec/harness/setup.ts'],
    // A minute is a hang, not a slow machine. Where the emulator is given what is too slow for it, so is ten.
    testTimeout: process.env.SHADOWLLM_EMULATE ? 600_000 : 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 60_000,
  },
})
