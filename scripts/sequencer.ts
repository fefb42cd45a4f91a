/**
 * The order of spec files: the slowest known ones first, so that none runs alone at the end. The others follow in vitest's
 * order.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What takes longest, by how its path ends. */
const first = [
  'spec/options/slow_commands.full.spec.ts',
  'spec/cli/queue.full.spec.ts',
  'spec/engine/laws.spec.ts',
  'spec/cli/signals.full.spec.ts',
  'spec/options/command_line.spec.ts',
  'spec/hostile/table.spec.ts',
  'spec/backends/cuda/fast.full.spec.ts',
  'spec/backends/cuda/fast_mutants.full.spec.ts',
  'spec/cli/cuda_certify.full.spec.ts',
  'spec/cli/cuda_certify_refusals.full.spec.ts',
  'spec/cli/parity_example.full.spec.ts',
  'spec/backends/wasm/rust_pack.full.spec.ts',
  'spec/ops/agreement.spec.ts',
  'spec/ops/mutants.spec.ts',
  'spec/ops/laws.spec.ts',
  'spec/cli/doors.spec.ts',
]

/** The place of a file in that list; behind all of it where it is in none. */
function rankOf({ moduleId }: TestSpecification): number {
  const place = first.findIndex((ending) => moduleId.endsWith(ending))
  return place < 0 ? first.length : place
}

/** See the head of this file. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => rankOf(a) - rankOf(b))
  }
}
