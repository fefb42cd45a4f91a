import { defineConfig } from 'vitest/config'
import LongestFirst from './scripts/sequencer.ts'

export default defineConfig({
  test: {
    include: ['spec/**/*.spec.ts'],
    globalSetup: ['spec/harness/run.ts'],
    sequence: { sequencer: LongestFirst },
    setupFiles: ['spec/harness/setup.ts'],
    // Laws try hundreds of cases; a minute is a hang, not a slow machine. Where the emulator is given what is too slow for
    // it, so is ten.
    testTimeout: process.env.SHADOWLLM_EMULATE ? 600_000 : 60_000,
  },
})
