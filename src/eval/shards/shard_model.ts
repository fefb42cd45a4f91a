/**
 * What a shard is done with besides its files, and what both sides must agree on.
 */
import { refusal } from '../../io/refusal.ts'
import type { OptModel } from '../../model/opt/opt_model.ts'
import type { MethodHash } from '../lab/method.ts'

/** A model, and the hashes by which shards ask for it. */
export interface ShardModel {
  readonly model: OptModel
  /** SHA-256 of the model's files. */
  readonly hash: string
  /** Of the sources that decide what a number is: results of another version are never taken for ours. */
  readonly method: MethodHash
}

/** Refuses a shard of another model or another version. @throws InputError SHARD_MODEL */
export function checkAgreed(what: 'model' | 'method', ours: string, theirs: unknown): void {
  if (theirs !== ours) throw refusal('SHARD_MODEL', `shard ${what}`, ours, String(theirs).slice(0, 64))
}
