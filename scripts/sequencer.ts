/**
 * The order of spec files: the slowest first, so that none runs alone at the end. vitest keeps what each file took in the last run
 * (node_modules/.vite) and sorts by it; in a fresh clone, where it knows nothing, the files below come first, then the largest.
 * SHADOWLLM_ORDER names the spec files in another order, separated by spaces: `npm run mutants` asks the nearest first.
 */
import { existsSync } from 'node:fs'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What takes longest, as paths from the root. */
const first = [
  'spec/engine/laws.spec.ts',
  'spec/ops/agreement.spec.ts',
  'spec/verify/runtimes.full.spec.ts',
  'spec/web/app.full.spec.ts',
  'spec/parity/kit.full.spec.ts',
  'spec/contributing.full.spec.ts',
  'spec/ops/laws.spec.ts',
  'spec/hostile/amounts.full.spec.ts',
  'spec/backends/cuda/mutants.full.spec.ts',
  'spec/hostile/table.spec.ts',
  'spec/backends/wasm/mutants.full.spec.ts',
  'spec/web/verify_browser.full.spec.ts',
  'spec/cli/options/slow_commands.full.spec.ts',
  'spec/cli/commands/worker.full.spec.ts',
  'spec/server/load.full.spec.ts',
  'spec/backends/cuda/fast.full.spec.ts',
  'spec/backends/webgpu/engine.full.spec.ts',
  'spec/backends/wasm/build.full.spec.ts',
  'spec/golden/smollm2.full.spec.ts',
  'spec/web/spec_page/main.full.spec.ts',
  'spec/cli/options/command_line.spec.ts',
  'spec/cli/doors.spec.ts',
]

const gone = first.filter((path) => !existsSync(path))
if (gone.length > 0) throw new Error(`sequencer: expected spec files, got no file of ${gone.join(', ')}`)

/** The place of a file in a list; behind all of it where it is in none. */
function rankIn(list: readonly string[], { moduleId }: TestSpecification): number {
  const place = list.findIndex((path) => moduleId.endsWith(`/${path}`))
  return place < 0 ? list.length : place
}

/** See the head of this file. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const order = process.env.SHADOWLLM_ORDER?.split(' ')
    if (order) return files.toSorted((a, b) => rankIn(order, a) - rankIn(order, b))
    const sorted = await super.sort(files)
    const isMeasured = files.every((file) => this.ctx.cache.getTestSpecificationResult(file) !== undefined)
    return isMeasured ? sorted : sorted.toSorted((a, b) => rankIn(first, a) - rankIn(first, b))
  }
}
