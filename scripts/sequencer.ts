/**
 * The order in which spec files begin: those that are known to take longest first, so that none of them is left to run by
 * itself at the end. All others follow in vitest's own order.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** What takes longest, by how its path ends. */
const first = [
  'spec/ops/agreement.spec.ts',
  'spec/cli/cli.spec.ts',
  'spec/cli/doors.spec.ts',
  'spec/model/laws.spec.ts',
  'spec/documentation.full.spec.ts',
  'spec/package/package.full.spec.ts',
  'spec/cli/full_disk.full.spec.ts',
  'spec/web/page.full.spec.ts',
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
