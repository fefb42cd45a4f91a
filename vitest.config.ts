import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['spec/**/*.spec.ts'],
    globalSetup: ['spec/harness/run.ts'],
    setupFiles: ['spec/harness/setup.ts'],
    // Laws try hundreds of cases; a minute is a hang, not a slow machine.
    testTimeout: 60_000,
  },
})
