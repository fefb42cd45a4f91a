import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import LongestFirst from './scripts/sequencer.ts'
import { readTier, specFilesOf } from './spec/harness/tier.ts'

const isDeno = 'Deno' in globalThis
const { include, exclude } = specFilesOf(readTier(process.env.SHADOWLLM_TIER))

/** The spec files that put stand-ins in the place of modules. */
const replacing = globSync(include, { exclude }).filter((path) =>
  /\bvi\.(do)?[mM]ock\(/.test(readFileSync(path, 'utf8')),
)

/** Laws make thousands of arrays and throw them away: in more room they are moved and marked less often. In MiB. */
const roomForTheYoung = ['--min-semi-space-size=16', '--max-semi-space-size=64']

/** What holds for every spec file. */
const shared: TestProjectInlineConfiguration['test'] = {
  // The spec files of a worker share modules and backends. Each file has its own folder for temporary files.
  isolate: false,
  // Node 24 is reported to die in garbage collection under long test runs with V8's baseline compiler (nodejs/node 62393).
  execArgv: isDeno ? [] : ['--no-sparkplug', ...roomForTheYoung],
  // Threads and processes that tests start load hundreds of modules. Compiling these once is enough for all of them, for later runs,
  // and for copies of the project, which share the folder build.
  env: {
    NODE_COMPILE_CACHE: fileURLToPath(new URL('build/compile-cache', import.meta.url)),
    NODE_COMPILE_CACHE_PORTABLE: '1',
    // Mesa's driver for processors: its calls are small, and handing them to threads cost more than the threads gained.
    LP_NUM_THREADS: '0',
  },
  setupFiles: ['spec/harness/setup.ts'],
  // The limits are for tests that hang, and no test takes five minutes on a busy machine. SHADOWLLM_EMULATE adds slow sections.
  testTimeout: process.env.SHADOWLLM_EMULATE ? 600_000 : 300_000,
  hookTimeout: 300_000,
}

/**
 * Node imports the modules itself. Vite would rewrite each of them first, and its modules reach every import through an object,
 * which costs time in loops; but tests can replace Vite's modules only.
 */
const byNode: TestProjectInlineConfiguration = {
  test: {
    ...shared,
    name: '',
    include,
    exclude: [...exclude, ...replacing],
    experimental: { viteModuleRunner: false, nodeLoader: false },
  },
}
const byVite: TestProjectInlineConfiguration = { test: { ...shared, name: 'stand-ins', include: replacing } }

export default defineConfig({
  test: {
    ...(isDeno
      ? { ...shared, include, exclude }
      : { projects: replacing.length > 0 ? [byNode, byVite] : [byNode] }),
    globalSetup: ['spec/harness/run.ts'],
    sequence: { sequencer: LongestFirst },
    // A worker waits for disks and timers a third of its time; vitest takes no share above 100 %.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    teardownTimeout: 60_000,
  },
})
