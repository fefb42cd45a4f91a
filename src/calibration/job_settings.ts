/**
 * Settings of shards that anybody may have written, read field by field.
 */
import { refusal } from '../io/refusal.ts'
import type { Shard } from '../jobs/shard.ts'
import type { Range } from './shards.ts'

/** The most examples of one shard. */
const mostExamples = 2 ** 16

/** `first` and `end` of a shard. @throws InputError SHARD_FORMAT for a range that is none, or not one of `count` */
export function rangeOf({ first, end }: Shard['settings'], count: number): Range {
  const isRange =
    typeof first === 'number' &&
    typeof end === 'number' &&
    Number.isInteger(first) &&
    Number.isInteger(end) &&
    first >= 0 &&
    first < end &&
    end <= count &&
    end - first <= mostExamples
  if (isRange) return { first, end }
  throw refusal('SHARD_FORMAT', 'shard settings', `a range within 0 to ${count}`, 'another')
}
